"""The landing page: the workspace's automations, whether each is on, what it has done, and what it does now."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import flask

import metrics
from dashboard.access import Caller
from dashboard.answers import paged, row_id_of
from dashboard.api.automations import Type, automation_of
from dashboard.api.shapes import QueryTruth
from dashboard.bodies import Body, ShortText
from dashboard.pages import frame
from ephemeral import workflow_cache
from models import automation
from models.database import Row, acting_as, db
from models.reports import automations as report
from models.reports import runs
from tasks import operators

automation_pages = flask.Blueprint("automation-pages", __name__)

#: Automations on one page.
PAGE_SIZE = 48


class Chosen(Body):
    """Which automations the address names."""

    q: ShortText | None = None
    type: Type | None = None
    enabled: QueryTruth | None = None
    cursor: ShortText | None = None


@automation_pages.get("/")
def home() -> Any:
    """To the landing page."""
    return flask.redirect("/automations")


@automation_pages.get("/automations")
def show() -> Any:
    """The list."""
    call = frame.visitor()
    chosen, given = frame.asked(Chosen)
    before = row_id_of(chosen.cursor)
    found, cursor = paged(
        lambda limit: report.page(
            call.workspace_id, limit=limit, before=before, q=chosen.q, type=chosen.type, enabled=chosen.enabled
        ),
        PAGE_SIZE,
    )
    older = cursor and "/automations?" + urlencode({**given, "cursor": cursor})
    filtered = bool(chosen.q or chosen.type or chosen.enabled is not None)
    return frame.render(
        "automations.html", call, automations=_cards(call, found), older=older, chosen=chosen, filtered=filtered
    )


def _cards(call: Caller, found: list[Row]) -> list[Row]:
    ids = [one["id"] for one in found]
    motion, day = report.in_motion(call.workspace_id, ids), runs.last_day(call.workspace_id, ids)
    return [
        {**one, **motion[one["id"]], **day[one["id"]], "success_rate": _rate(one)}
        for one in found
        if one["id"] in motion and one["id"] in day
    ]


def _rate(one: Row) -> float | None:
    """Of those that succeeded or failed; None while there are none."""
    ended = one["succeeded"] + one["failed"]
    return one["succeeded"] / ended if ended else None


@automation_pages.post("/automations/<automation_id>/toggle")
def toggle(automation_id: str) -> Any:
    """Switch one on or off."""
    call = frame.visitor("write")
    found = automation_of(call.workspace_id, automation_id)
    enabled = flask.request.form.get("enabled") == "true"
    automation.toggle(call.workspace_id, found["id"], enabled, call.actor)
    workflow_cache.invalidate(call.workspace_id)
    if not frame.is_fragment():
        return frame.go(frame.back("/automations"))
    (card,) = _cards(call, [automation_of(call.workspace_id, automation_id)])
    return frame.render("automation_card.html", call, automation=card)


@automation_pages.get("/automations/<automation_id>/delete")
def ask_to_delete(automation_id: str) -> Any:
    """Ask, with the number in flight."""
    call = frame.visitor("write")
    return frame.render("delete_automation.html", call, automation=automation_of(call.workspace_id, automation_id))


@automation_pages.post("/automations/<automation_id>/delete")
def delete(automation_id: str) -> Any:
    """Delete one and cancel what it has in flight; say so."""
    call = frame.visitor("write")
    found = automation_of(call.workspace_id, automation_id)
    with acting_as(call.workspace_id):
        cancelled = automation.delete(
            call.workspace_id,
            found["id"],
            call.actor,
            lambda: operators.cancel_in_flight(call.workspace_id, found["id"], call.actor),
        )
        db.after_commit(lambda: workflow_cache.invalidate(call.workspace_id))
    metrics.operator_actions_total.labels(action="delete", result="done").inc()
    flight = f"{cancelled} executions in flight were cancelled" if cancelled != 1 else "1 execution was cancelled"
    words = flight if cancelled else "nothing was in flight"
    return frame.go("/automations", f'"{found["name"]}" was deleted; {words}. Its history stays.')
