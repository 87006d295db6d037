"""The settings page: the workspace's switches, where those set by the environment are locked, and the AI model."""

from __future__ import annotations

from typing import Any

import flask

from dashboard.access import current_settings
from dashboard.api.model_settings import ModelSettingsUpdate
from dashboard.bodies import check
from dashboard.pages import layout
from models import model_settings as stored
from models.errors import Conflict
from models.switches import NAMES
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
    return layout.render("settings.html", call, switches=rows, model=model, may_own="admin" in call.permissions)


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
        faults = "; ".join(f"{problem.path} {problem.message}" for problem in problems)
        return layout.redirect("/settings", f"Nothing was changed: {faults}.", bad=True)
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
