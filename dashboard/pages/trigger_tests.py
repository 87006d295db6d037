"""Test triggers: edit the sample event, choose sample contacts or selected ones, start the tests, open the monitor.

The executions are tests: whatever is configured, they only go to the sandbox and are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import flask

from dashboard.access import Caller, current_settings
from dashboard.api.automations import require_automation
from dashboard.pages import layout
from models.errors import Conflict, NotFound
from models.ids import is_id
from models.published import PublishedWorkflow
from models.reports import contacts as people
from models.reports.automations import AutomationDetail
from models.reports.contacts import ContactFilters
from rules import samples
from rules.bodies import find_invalid_values
from rules.json_text import format_json, load_json
from rules.language import PLAYBOOK
from rules.problems import Problem
from rules.samples import MAX_CONTACTS
from tasks.intake.triggers import RejectedTrigger, TriggerResult
from tasks.operators import test_triggers

trigger_test_pages = flask.Blueprint("trigger-test-pages", __name__)

#: Contacts offered at once.
PAGE_SIZE = 30
#: Maximum characters of an edited event.
MAX_EVENT_LENGTH = 100_000


@dataclass(frozen=True)
class _Form:
    """What the operator entered: the event's text (None: not edited), the contacts, and the number of samples."""

    event: str | None = None
    contact_ids: Sequence[str] = ()
    sample: str = "1"
    q: str = ""
    problems: Sequence[Problem] = field(default_factory=list)


@trigger_test_pages.get("/automations/<automation_id>/test")
def show(automation_id: str) -> Any:
    """Offer the sample event, sample contacts, and contacts to select, the newest first."""
    call = layout.require_page_permission("trigger")
    automation = require_automation(call.workspace_id, automation_id)
    if automation["type"] == PLAYBOOK:
        return layout.redirect(f"/automations/{automation['id']}", test_triggers.PLAYBOOK_NOT_TESTED, bad=True)
    return _render(call, automation, _Form())


@trigger_test_pages.post("/automations/<automation_id>/test")
def start(automation_id: str) -> Any:
    """Start the tests and redirect to the monitor; or search contacts, keeping what was entered."""
    call = layout.require_page_permission("trigger")
    automation, form = require_automation(call.workspace_id, automation_id), _read_form()
    if "find" in flask.request.form:
        return _render(call, automation, form)
    try:
        test_triggers.require_sandbox(current_settings())
        workflow = test_triggers.find_published(call.workspace_id, automation["id"])
    except (Conflict, NotFound) as error:
        return layout.redirect("/automations", error.message, bad=True)
    payload, problems = _read_event(workflow, form.event)
    problems += _find_contact_problems(form)
    if problems:
        return _render(call, automation, _Form(form.event, form.contact_ids, form.sample, form.q, problems)), 422
    return _start(call, workflow, payload, form)


def _read_form() -> _Form:
    form = flask.request.form
    ids = [contact_id for contact_id in dict.fromkeys(form.getlist("contactId")) if is_id(contact_id)]
    event = form.get("event")
    return _Form(event, ids[:MAX_CONTACTS], form.get("sample", "1").strip(), form.get("q", "").strip()[:200])


def _read_event(workflow: PublishedWorkflow, text: str | None) -> tuple[Mapping[str, Any] | None, list[Problem]]:
    """The edited payload, or None where the event was not edited, and its problems."""
    if text is None:
        return None, []
    if len(text) > MAX_EVENT_LENGTH:
        return None, [Problem("event", f"must have at most {MAX_EVENT_LENGTH:,} characters")]
    try:
        payload = load_json(text)
    except ValueError as error:
        return None, [Problem("event", f"is not valid JSON: {error}")]
    if not isinstance(payload, dict):
        return None, [Problem("event", "must be a JSON object, such as {}")]
    return payload, find_invalid_values(payload) or samples.find_payload_problems(workflow.definition, payload)


def _find_contact_problems(form: _Form) -> list[Problem]:
    if "chosen" in flask.request.form:
        return [] if form.contact_ids else [Problem("contacts", "choose at least one contact")]
    is_whole = form.sample.isascii() and form.sample.isdigit() and len(form.sample) < 5
    if is_whole and 1 <= int(form.sample) <= MAX_CONTACTS:
        return []
    return [Problem("sample", f"must be a whole number from 1 to {MAX_CONTACTS}")]


def _start(call: Caller, workflow: PublishedWorkflow, payload: Mapping[str, Any] | None, form: _Form) -> Any:
    event = test_triggers.choose_event(workflow, payload=payload)
    contact_ids = form.contact_ids
    if "chosen" not in flask.request.form:
        contact_ids = test_triggers.ensure_sample_contacts(call.workspace_id, workflow, int(form.sample))
    results = test_triggers.start(call.workspace_id, workflow, event, contact_ids)
    return _redirect_started(workflow.automation_id, results)


def _redirect_started(automation_id: str, results: Sequence[TriggerResult]) -> Any:
    rejections = [result for result in results if isinstance(result, RejectedTrigger)]
    message = ""
    if rejections:
        reason = rejections[0].problems[0].message if rejections[0].problems else "the trigger was rejected"
        message = f"{len(rejections)} of {len(results)} did not start: {reason}."
    if len(rejections) == len(results):
        return layout.redirect(f"/automations/{automation_id}/test", message, bad=True)
    return layout.redirect(f"/automations/{automation_id}/monitor", message, bad=bool(rejections))


def _render(call: Caller, automation: AutomationDetail, form: _Form) -> Any:
    selected = people.list_by_ids(call.workspace_id, form.contact_ids)
    matching = people.fetch_page(call.workspace_id, ContactFilters(q=form.q or None), limit=PAGE_SIZE + 1)
    others = [row for row in matching if row["id"] not in form.contact_ids]
    definition = automation["definition"]
    event = form.event
    if event is None and definition is not None:
        event = format_json(samples.build_payload(definition), indent=2)
    return layout.render(
        "trigger_test.html", call, automation=automation, form=form, event=event or "{}", selected=selected,
        others=others[:PAGE_SIZE], more=len(others) > PAGE_SIZE, max_contacts=MAX_CONTACTS,
        sandbox_off=current_settings().sandbox == "off",
    )  # fmt: skip
