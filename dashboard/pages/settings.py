"""The settings that people turn in the dashboard: the workspace's switches, with those shown locked that the
environment holds."""

from __future__ import annotations

from typing import Any

import flask

from dashboard.access import settings
from dashboard.pages import frame
from models.refusals import Conflict
from models.switches import NAMES
from tasks import switches

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
    return frame.render("settings.html", call, switches=shown)


@settings_pages.post("/settings/switches/<name>")
def turn(name: str) -> Any:
    """Turn one switch."""
    call = frame.visitor("write")
    if name not in NAMES:
        flask.abort(404)
    on = flask.request.form.get("on") == "true"
    try:
        switches.change(settings(), call.workspace_id, {name: on}, call.actor)
    except Conflict as error:
        return frame.go("/settings", error.message, bad=True)
    return frame.go("/settings", f"{SWITCHES[name][0]} is {'on' if on else 'off'}.")
