"""The settings that people turn in the dashboard: the workspace's switches, with those shown locked that the
environment holds, and the model that writes its texts."""

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

#: Each switch in an operator's words: what it is called, what it does, and what is so while it is off.
SWITCHES = {
    "run_tracking": (
        "Run tracking",
        "Counts an automation's run when its first message, comment reply or follow check succeeds.",
        "Off, everything is sent as before and nothing is counted.",
    ),
    "stats_in_api": (
        "Statistics in the API",
        "Puts total runs and those of the last 24 hours into the API's list of automations.",
        "Off, the list leaves “stats” out.",
    ),
    "execution_tracking": (
        "Execution tracking",
        "Records what playbooks do in visitors' browsers.",
        "Off, reports are answered and not kept.",
    ),
}


@settings_pages.get("/settings")
def show() -> Any:
    """The page."""
    call = layout.require_page_permission()
    current = switches.resolve_switches(current_settings(), call.workspace_id)
    rows = [
        {"name": name, "title": title, "does": does, "off": off, "on": getattr(current.switches, name),
         "variable": name.upper() if name in current.locked else None}
        for name, (title, does, off) in SWITCHES.items()
    ]  # fmt: skip
    model = model_settings.serialize(stored.load(call.workspace_id))
    return layout.render("settings.html", call, switches=rows, model=model, may_own="admin" in call.permissions)


@settings_pages.post("/settings/model")
def change_model() -> Any:
    """Change which model writes; an empty field is left to the environment, an empty key stays as it was."""
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
    return layout.redirect("/settings", "The model was changed; workers follow within seconds.")


def _read_field(name: str) -> Any:
    text = flask.request.form.get(name, "").strip()
    if name in ("maxTokens", "temperature"):
        return _parse_number(text)
    return text or None


def _parse_number(text: str) -> Any:
    """A number of a form; what is none is left to be refused."""
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text or None


@settings_pages.post("/settings/switches/<name>")
def change_switch(name: str) -> Any:
    """Turn one switch."""
    call = layout.require_page_permission("admin")
    if name not in NAMES:
        flask.abort(404)
    on = flask.request.form.get("on") == "true"
    try:
        switches.change(current_settings(), call.workspace_id, {name: on}, call.actor)
    except Conflict as error:
        return layout.redirect("/settings", error.message, bad=True)
    return layout.redirect("/settings", f"{SWITCHES[name][0]} is {'on' if on else 'off'}.")
