"""The settings page: switches (some locked by the environment), the AI model, the sender, delivery and retention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flask

from dashboard.access import current_settings
from dashboard.api.model_settings import ModelSettingsUpdate
from dashboard.api.preferences import (
    DeliveryUpdate,
    RetentionUpdate,
    SenderUpdate,
    list_periods,
    save_retention,
    save_sender,
)
from dashboard.api.webhook_secrets import read_secrets, rotate_secret
from dashboard.bodies import check
from dashboard.pages import forms, layout
from models import model_settings as stored
from models import workspace_preferences
from models.checks.execution_retention import KEEP_DAYS, MIN_KEEP_DAYS
from models.errors import Conflict
from models.switches import NAMES
from rules.problems import Problem
from tasks.operators import model_settings, switches

settings_pages = flask.Blueprint("settings-pages", __name__)

#: Each switch: its title, what it does, and what happens while it is off.
SWITCHES = {
    "run_tracking": (
        "Run tracking",
        "Counts an automation's run when its first message, comment reply or follow check succeeds.",
        "While off, messages are still sent and nothing is counted.",
    ),
    "stats_in_api": (
        "Statistics in the API",
        "Adds total runs and runs of the last 24 hours to the API's list of automations.",
        "While off, the list has no “stats”.",
    ),
    "execution_tracking": (
        "Execution tracking",
        "Records playbook executions in visitors' browsers.",
        "While off, reports are accepted and not stored.",
    ),
}


@settings_pages.get("/settings")
def show() -> Any:
    """The page."""
    call = layout.require_page_permission()
    current = switches.resolve_switches(current_settings(), call.workspace_id)
    rows = [
        {"name": name, "title": title, "description": description, "off_description": off_description,
         "on": getattr(current.switches, name),
         "variable": name.upper() if name in current.locked else None}
        for name, (title, description, off_description) in SWITCHES.items()
    ]  # fmt: skip
    model = model_settings.serialize(stored.load(call.workspace_id))
    own = workspace_preferences.load(call.workspace_id)
    return layout.render(
        "settings.html",
        call,
        switches=rows,
        model=model,
        own=own,
        periods=list_periods(own),
        keep_range=(MIN_KEEP_DAYS, KEEP_DAYS),
        signing=read_secrets(call) if "admin" in call.permissions else None,
        may_own="admin" in call.permissions,
    )


@settings_pages.get("/settings/signing-secret/rotate")
def ask_to_rotate_signing_secret() -> Any:
    """Ask for confirmation before a new signing secret is created."""
    return layout.render("rotate_secret.html", layout.require_page_permission("admin"))


@settings_pages.post("/settings/signing-secret/rotate")
def rotate_signing_secret() -> Any:
    """Create a new secret for outgoing webhooks."""
    rotate_secret(layout.require_page_permission("admin"))
    return layout.redirect("/settings#signing", "New signing secret created. The previous one is valid for 24 hours.")


@settings_pages.post("/settings/sender")
def change_sender() -> Any:
    """Change the sender identity; an empty field clears it."""
    call = layout.require_page_permission("admin")
    fields = {name: _read_field(name) for name in ("name", "address", "postalAddress", "helpText")}
    body, problems = check(SenderUpdate, fields)
    if body is None:
        return _refuse(problems, "#sender")
    save_sender(call, body)
    return layout.redirect("/settings#sender", "Sender saved. New e-mails use it.")


@settings_pages.post("/settings/delivery")
def change_delivery() -> Any:
    """Change the policy for messages of unknown outcome."""
    call = layout.require_page_permission("admin")
    body, problems = check(DeliveryUpdate, {"whenUnknown": _read_field("whenUnknown")})
    if body is None:
        return _refuse(problems, "#delivery")
    workspace_preferences.change(call.workspace_id, "delivery", {"when_unknown": body.when_unknown}, call.actor)
    return layout.redirect("/settings#delivery", "Delivery policy saved.")


@settings_pages.post("/settings/retention")
def change_retention() -> Any:
    """Change for how many days history is kept; an empty field takes the default."""
    call = layout.require_page_permission("admin")
    fields = {name: _parse_number(forms.read_field(name).strip()) for name in ("keepDays", "keepTextDays")}
    body, problems = check(RetentionUpdate, fields)
    if body is None:
        return _refuse(problems, "#retention")
    save_retention(call, body)
    return layout.redirect("/settings#retention", "Retention saved. Older history is removed within the hour.")


def _refuse(problems: Sequence[Problem], anchor: str) -> Any:
    faults = "; ".join(f"{problem.path} {problem.message}" for problem in problems)
    return layout.redirect(f"/settings{anchor}", f"Nothing was changed: {faults}.", bad=True)


@settings_pages.post("/settings/model")
def change_model() -> Any:
    """Change the AI model; an empty field uses the environment's value, an empty key keeps the saved one."""
    call = layout.require_page_permission("admin")
    fields = {name: _read_field(name) for name in ("provider", "model", "maxTokens", "temperature", "baseUrl")}
    if flask.request.form.get("forgetKey"):
        fields["apiKey"] = None
    elif _read_field("apiKey"):
        fields["apiKey"] = _read_field("apiKey")
    payload, problems = check(ModelSettingsUpdate, fields)
    problems = problems or model_settings.find_problems(
        current_settings(), call.workspace_id, payload.to_changes() if payload else {}
    )
    if payload is None or problems:
        return _refuse(problems, "#model")
    model_settings.change(current_settings(), call.workspace_id, payload.to_changes(), call.actor)
    return layout.redirect("/settings", "Model settings saved. Changes take effect within five seconds.")


def _read_field(name: str) -> Any:
    text = flask.request.form.get(name, "").strip()
    if name in ("maxTokens", "temperature"):
        return _parse_number(text)
    return text or None


def _parse_number(text: str) -> Any:
    """A number in a form; other text is returned for the validation to reject."""
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text or None


@settings_pages.post("/settings/switches/<name>")
def change_switch(name: str) -> Any:
    """Turn a switch on or off."""
    call = layout.require_page_permission("admin")
    if name not in NAMES:
        flask.abort(404)
    on = flask.request.form.get("on") == "true"
    try:
        switches.change(current_settings(), call.workspace_id, {name: on}, call.actor)
    except Conflict as error:
        return layout.redirect("/settings", error.message, bad=True)
    return layout.redirect("/settings", f"{SWITCHES[name][0]} turned {'on' if on else 'off'}.")
