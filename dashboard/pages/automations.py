"""The list of the workspace's automations with their state and counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import flask

import metrics
from dashboard.access import Caller
from dashboard.api.automations import ChannelName, require_automation
from dashboard.api.schemas import QueryBool
from dashboard.bodies import Body, ShortText
from dashboard.duplicates import duplicate_automation
from dashboard.overlaps import fetch_overlaps
from dashboard.pages import layout
from dashboard.responses import fetch_page, parse_row_cursor
from ephemeral import workflow_cache
from models import automation
from models.database import acting_as, db
from models.reports import automations as report
from models.reports import runs
from models.reports.automations import AutomationRow
from models.reports.runs import LastDay
from rules.actions import ACTIONS, Action
from rules.language import AutomationType
from rules.tallies import compute_success_rate
from tasks.operators import actions as operator_actions

automation_pages = flask.Blueprint("automation-pages", __name__)

#: Automations on one page.
PAGE_SIZE = 48


class AutomationFilterForm(Body):
    """The filters in the query."""

    q: ShortText | None = None
    type: AutomationType | None = None
    channel: ChannelName | None = None
    enabled: QueryBool | None = None
    cursor: ShortText | None = None


class Card(AutomationRow, LastDay):
    """One automation in the list. `success_rate` is None while no execution has succeeded or failed; unknown outcomes
    are in neither."""

    trigger: dict[str, Any] | None
    #: The actions of a playbook.
    actions: list[Action]
    in_flight: int
    unknown: int
    #: What to say of automations that answer the same comments or messages.
    overlaps: list[str]
    success_rate: float | None


@automation_pages.get("/automations")
def show() -> Any:
    """The list."""
    call = layout.require_page_permission()
    form, params = layout.parse_query(AutomationFilterForm)
    before = parse_row_cursor(form.cursor)
    rows, cursor = fetch_page(
        lambda limit: report.fetch_page(
            call.workspace_id,
            limit=limit,
            before=before,
            q=form.q,
            type=form.type,
            enabled=form.enabled,
            channel=form.channel,
        ),
        PAGE_SIZE,
    )
    older = cursor and "/automations?" + urlencode({**params, "cursor": cursor})
    filtered = bool(form.q or form.type or form.channel or form.enabled is not None)
    return layout.render(
        "automations.html",
        call,
        automations=_build_cards(call, rows),
        totals=report.fetch_totals(call.workspace_id),
        older=older,
        filters=form,
        filtered=filtered,
    )


def _build_cards(call: Caller, rows: Sequence[AutomationRow]) -> list[Card]:
    ids = [row["id"] for row in rows]
    overlaps = fetch_overlaps(call.workspace_id, ids)
    card_data, day = report.fetch_card_data(call.workspace_id, ids), runs.fetch_last_day(call.workspace_id, ids)
    return [
        {
            **row,
            **day[row["id"]],
            "trigger": card_data[row["id"]]["trigger"],
            "actions": [ACTIONS[name] for name in card_data[row["id"]]["actions"] or () if name in ACTIONS],
            "in_flight": card_data[row["id"]]["in_flight"],
            "unknown": card_data[row["id"]]["unknown"],
            "overlaps": overlaps.get(row["id"], []),
            "success_rate": compute_success_rate(row["succeeded"], row["failed"] - card_data[row["id"]]["unknown"]),
        }
        for row in rows
        if row["id"] in card_data and row["id"] in day
    ]


@automation_pages.post("/automations/<automation_id>/toggle")
def toggle(automation_id: str) -> Any:
    """Turn an automation on or off."""
    call = layout.require_page_permission("write")
    row = require_automation(call.workspace_id, automation_id)
    enabled = flask.request.form.get("enabled") == "true"
    automation.toggle(call.workspace_id, row["id"], enabled, call.actor)
    workflow_cache.invalidate(call.workspace_id)
    if not layout.is_fragment():
        return layout.redirect(layout.read_next_path("/automations"))
    (card,) = _build_cards(call, [require_automation(call.workspace_id, automation_id)])
    return layout.render(
        "automation_toggled.html", call, automation=card, totals=report.fetch_totals(call.workspace_id)
    )


@automation_pages.post("/automations/<automation_id>/duplicate")
def duplicate(automation_id: str) -> Any:
    """Create a copy that is off and not published, and open it in the editor."""
    call = layout.require_page_permission("write")
    row = require_automation(call.workspace_id, automation_id)
    copy = duplicate_automation(call, row)
    return layout.redirect(
        f"/automations/{copy['id']}/edit", f'"{copy["name"]}" created. It is off until you publish it and turn it on.'
    )


@automation_pages.get("/automations/<automation_id>/delete")
def ask_to_delete(automation_id: str) -> Any:
    """Ask for confirmation, with the number of active executions."""
    call = layout.require_page_permission("write")
    row = require_automation(call.workspace_id, automation_id)
    tests = report.count_tests_in_flight(call.workspace_id, row["id"])
    return layout.render("delete_automation.html", call, automation=row, in_flight=row["in_flight"] + tests)


@automation_pages.post("/automations/<automation_id>/delete")
def delete(automation_id: str) -> Any:
    """Delete an automation and cancel its active executions."""
    call = layout.require_page_permission("write")
    row = require_automation(call.workspace_id, automation_id)
    with acting_as(call.workspace_id):
        cancelled = automation.delete(
            call.workspace_id,
            row["id"],
            call.actor,
            lambda: operator_actions.cancel_in_flight(call.workspace_id, row["id"], call.actor),
        )
        db.after_commit(lambda: workflow_cache.invalidate(call.workspace_id))
    metrics.operator_actions_total.labels(action="delete", result="done").inc()
    cancellation = f"{cancelled} active executions cancelled" if cancelled != 1 else "1 active execution cancelled"
    outcome = cancellation if cancelled else "no active executions"
    return layout.redirect("/automations", f'"{row["name"]}" deleted; {outcome}. Its history stays.')
