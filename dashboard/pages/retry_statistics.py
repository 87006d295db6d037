"""Retry statistics: how retries end by day and error class, the next ones, and the switch of each automation."""

from __future__ import annotations

from typing import Any

import flask

from dashboard.pages import layout
from dashboard.pages.counts import build_list_path
from models import automation
from models.errors import NotFound
from models.ids import is_id
from models.reports import retries

retry_pages = flask.Blueprint("retry-pages", __name__)

#: Rows of the next retries and of the automations.
MAX_NEXT, MAX_AUTOMATIONS = 20, 200


@retry_pages.get("/failures/retries")
def show_retries() -> Any:
    """The page."""
    call = layout.require_page_permission()
    return layout.render(
        "retry_statistics.html",
        call,
        statistics=retries.fetch_statistics(call.workspace_id, layout.load_workspace(call)["timezone"]),
        next_retries=retries.list_next_retries(call.workspace_id, MAX_NEXT),
        automations=retries.list_automations(call.workspace_id, MAX_AUTOMATIONS),
        pending_path=build_list_path(retries.PENDING),
        days=retries.DAYS,
    )


@retry_pages.post("/automations/<automation_id>/automatic-retries/<any(on, off):state>")
def set_automatic_retries(automation_id: str, state: str) -> Any:
    """Turn an automation's automatic retries on or off."""
    call = layout.require_page_permission("write")
    if not is_id(automation_id):
        raise NotFound("There is no automation with that id.")
    automation.set_automatic_retries(call.workspace_id, automation_id, state == "on", call.actor)
    return layout.redirect(layout.read_next_path("/failures/retries"), f"Automatic retries turned {state}.")
