"""Settings, Channels: the workspace's own credentials at providers, one card for each. For owners only.

The cards, fields and tests are derived from the registry of providers: nothing here names one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import flask

from dashboard.access import Caller, current_settings
from dashboard.api.channels import change, require_entry, run_test
from dashboard.errors import ProblemError
from dashboard.pages import forms, layout
from providers.registry import ProviderEntry
from tasks.operators import channel_credentials, channel_tests

channels_pages = flask.Blueprint("channels-pages", __name__)

PATH = "/settings/channels"

#: The label of a test message's address, and the type of its field.
_ADDRESS_INPUTS = {"email": ("E-mail address for the test", "email"), "phone": ("Phone number for the test", "tel")}


@dataclass(frozen=True)
class _Outcome:
    """The result of an action on one card, in words."""

    provider: str
    good: bool
    text: str


@channels_pages.get(PATH)
def show() -> Any:
    """The page."""
    return _render_page(layout.require_page_permission("admin"))


@channels_pages.post(f"{PATH}/<provider>")
def save(provider: str) -> Any:
    """Save the entered settings; an empty field stays as it is, and a ticked "remove" uses the environment's value."""
    call = layout.require_page_permission("admin")
    entry = require_entry(provider)
    changes = _read_changes(entry)
    try:
        change(call, entry, changes)
    except ProblemError as error:
        return _render_page(call, error.status, _Outcome(provider, False, _format_error(error)))
    if not changes:
        return layout.redirect(f"{PATH}#{provider}", "Nothing was entered, so nothing was changed.")
    notice = f"{entry.label} saved. Messages that wait for these credentials continue now."
    return layout.redirect(f"{PATH}#{provider}", notice)


@channels_pages.post(f"{PATH}/<provider>/test")
def test(provider: str) -> Any:
    """Test the entered settings without saving them."""
    call = layout.require_page_permission("admin")
    entry = require_entry(provider)
    try:
        result = run_test(call, entry, _read_changes(entry), forms.read_field("to").strip() or None)
        outcome, status = _Outcome(provider, result.passed, result.message), 200
    except ProblemError as error:
        outcome, status = _Outcome(provider, False, _format_error(error)), error.status
    if layout.is_fragment():
        # htmx replaces the line below the form, so that what was entered stays in its fields.
        return layout.render("channel_outcome.html", call, outcome=outcome)
    return _render_page(call, status, outcome)


def _read_changes(entry: ProviderEntry) -> dict[str, str | None]:
    changes: dict[str, str | None] = {}
    for name in channel_credentials.list_settings(entry):
        if text := forms.read_field(name).strip():
            changes[name] = text
        elif forms.read_field(f"remove:{name}"):
            changes[name] = None
    return changes


def _render_page(call: Caller, status: int = 200, outcome: _Outcome | None = None) -> flask.Response:
    cards = channel_credentials.list_cards(current_settings(), call.workspace_id)
    page = layout.render(
        "channels.html",
        call,
        cards=cards,
        outcome=outcome,
        url=current_settings().url,
        find_address_input=_find_address_input,
        describe_test=_describe_test,
        sandboxed=current_settings().sandbox == "auto" and layout.load_workspace(call)["demo"],
    )
    page.status_code = status
    return page


def _find_address_input(entry: ProviderEntry) -> tuple[str, str] | None:
    """The label and the type of the field for a test's address, or None."""
    return _ADDRESS_INPUTS.get(channel_tests.find_address_field(entry) or "")


def _describe_test(entry: ProviderEntry) -> str:
    """What the test of a provider does."""
    if entry.check is not None:
        return "Reads the name of the account that the token belongs to. Sends nothing."
    if entry.generate is not None:
        return "Generates one word with the model."
    return "Sends one message to it." if _find_address_input(entry) else "Posts one message to the channel."


def _format_error(error: ProblemError) -> str:
    faults = [f"{problem.path.removeprefix('settings.')} {problem.message}" for problem in error.problems]
    return f"Nothing was changed: {'; '.join(faults)}." if faults else error.detail
