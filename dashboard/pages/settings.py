"""The settings that people turn in the dashboard: the workspace's switches, with those shown locked that the
environment holds, and the model that writes its texts."""

from __future__ import annotations

from typing import Any

import flask

from dashboard.access import settings
from dashboard.api.model_settings import WantedModel
from dashboard.bodies import check
from dashboard.pages import frame
from models import model_settings as stored
from models.refusals import Conflict
from models.switches import NAMES
from tasks import model_settings, switches

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
    call = frame.visitor()
    held = switches.held(settings(), call.workspace_id)
    shown = [
        {"name": name, "title": title, "does": does, "off": off, "on": getattr(held.switches, name),
         "variable": name.upper() if name in held.locked else None}
        for name, (title, does, off) in SWITCHES.items()
    ]  # fmt: skip
    model = model_settings.shown(stored.of(call.workspace_id))
    return frame.render("settings.html", call, switches=shown, model=model, may_own="admin" in call.permissions)


@settings_pages.post("/settings/model")
def choose_model() -> Any:
    """Change which model writes; an empty field is left to the environment, an empty key stays as it was."""
    call = frame.visitor("admin")
    given = {name: _field(name) for name in ("provider", "model", "maxTokens", "temperature", "baseUrl")}
    if flask.request.form.get("forgetKey"):
        given["apiKey"] = None
    elif _field("apiKey"):
        given["apiKey"] = _field("apiKey")
    chosen, problems = check(WantedModel, given)
    problems = problems or model_settings.problems(settings(), call.workspace_id, chosen.wanted() if chosen else {})
    if chosen is None or problems:
        faults = "; ".join(f"{problem.path} {problem.message}" for problem in problems)
        return frame.go("/settings", f"Nothing was changed: {faults}.", bad=True)
    model_settings.change(settings(), call.workspace_id, chosen.wanted(), call.actor)
    return frame.go("/settings", "The model was changed; workers follow within seconds.")


def _field(name: str) -> Any:
    text = flask.request.form.get(name, "").strip()
    if name in ("maxTokens", "temperature"):
        return _number(text)
    return text or None


def _number(text: str) -> Any:
    """A number of a form; what is none is left to be refused."""
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text or None


@settings_pages.post("/settings/switches/<name>")
def turn(name: str) -> Any:
    """Turn one switch."""
    call = frame.visitor("admin")
    if name not in NAMES:
        flask.abort(404)
    on = flask.request.form.get("on") == "true"
    try:
        switches.change(settings(), call.workspace_id, {name: on}, call.actor)
    except Conflict as error:
        return frame.go("/settings", error.message, bad=True)
    return frame.go("/settings", f"{SWITCHES[name][0]} is {'on' if on else 'off'}.")
