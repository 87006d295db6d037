"""Executions of playbooks: the list, filtered by the query and paged by keyset, and the page of one execution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import urlencode

import flask

import clock
from dashboard.access import Caller, current_settings
from dashboard.api.tracked_executions import Filters
from dashboard.bodies import ShortText
from dashboard.errors import not_found
from dashboard.pages import labels, layout
from dashboard.pages.filter_forms import TIMES, Chip
from dashboard.responses import fetch_page, parse_row_cursor
from models.ids import is_id
from models.reports import automations
from models.reports import tracked_executions as report
from models.reports.tracked_executions import TrackedAction, TrackedFilters, TrackedRow
from rules.json_text import format_json
from rules.tracking import DEVICE_TYPES
from tasks.operators import switches

tracked_execution_pages = flask.Blueprint("tracked-execution-pages", __name__)

PATH = "/executions/playbooks"
#: Executions on one page, and playbooks in the filter.
PAGE_SIZE = 50
MAX_PLAYBOOKS = 200

STATUSES = {"success": "Succeeded", "failed": "Error or timed out", "error": "Error", "timeout": "Timed out"}
#: The stage whose icon and colour each result has.
STAGES = {"success": "completed", "error": "failed", "timeout": "failed"}
_SPANS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}


class TrackedFilterForm(Filters):
    """The filters in the query; `time` uses the workspace's time zone."""

    time: Literal["hour", "today", "day", "week"] | None = None
    updates: Literal["paused"] | None = None
    cursor: ShortText | None = None


@tracked_execution_pages.get(PATH)
def show_list() -> Any:
    """The list, newest first."""
    call = layout.require_page_permission()
    form, params = layout.parse_query(TrackedFilterForm)
    before = parse_row_cursor(form.cursor)
    filters = _build_filters(form, call)
    rows, cursor = fetch_page(
        lambda limit: [] if filters is None else report.fetch_page(call.workspace_id, filters, limit, before), PAGE_SIZE
    )
    params = {name: text for name, text in params.items() if name != "cursor"}
    names = _load_names(call)
    return layout.render(
        "tracked_executions_list.html" if layout.is_fragment() else "tracked_executions.html",
        call,
        executions=[build_line(row) for row in rows],
        filters=form,
        chips=_build_chips(form, params, _find_name(call, form.automation_id, names)),
        playbooks=names,
        statuses=STATUSES,
        devices={name: name.capitalize() for name in DEVICE_TYPES},
        times=TIMES,
        older=cursor and _build_path({**params, "cursor": cursor}),
        newest=_build_path(params) if form.cursor else None,
        own_path=_build_path(params),
        is_paused=form.updates == "paused",
        live_path=_build_path({name: text for name, text in params.items() if name != "updates"}),
        paused_path=_build_path({**params, "updates": "paused"}),
        tracked=switches.is_on(current_settings(), call.workspace_id, "execution_tracking"),
    )


@tracked_execution_pages.get(f"{PATH}/<tracked_execution_id>")
def show(tracked_execution_id: str) -> Any:
    """One execution with its actions."""
    call = layout.require_page_permission()
    is_known = is_id(tracked_execution_id)
    row = report.fetch_detail(call.workspace_id, tracked_execution_id.lower()) if is_known else None
    if row is None:
        raise not_found("There is no execution of a playbook with that id.")
    slowest = max((action["execution_time_ms"] or 0 for action in row["actions"]), default=0)
    return layout.render(
        "tracked_execution.html",
        call,
        execution=build_line(row),
        actions=[_build_action(action, slowest) for action in row["actions"]],
    )


def build_line(row: TrackedRow) -> dict[str, Any]:
    """An execution with the words, icon and colour of its result."""
    return {
        **row,
        "label": STATUSES[row["status"]],
        "stage": STAGES[row["status"]],
        "duration": _format_ms(row["execution_time_ms"]),
        "page": row["page_path"] or row["page_url"] or "",
    }


def _build_action(action: TrackedAction, slowest_ms: int) -> dict[str, Any]:
    config = action["config"]
    return {
        **action,
        "duration": _format_ms(action["execution_time_ms"]),
        "share": round(100 * (action["execution_time_ms"] or 0) / slowest_ms) if slowest_ms else 0,
        "config_text": "" if config in (None, {}) else format_json(config, indent=2),
    }


def _format_ms(milliseconds: int | None) -> str:
    return "" if milliseconds is None else labels.format_duration(milliseconds / 1000)


def _build_filters(form: TrackedFilterForm, call: Caller) -> TrackedFilters | None:
    """The filters for the report; None where no execution can match."""
    if form.matches_nothing():
        return None
    filters = form.to_filters()
    since = layout.start_of_day(call) if form.time == "today" else None
    if form.time in _SPANS:
        since = clock.now() - _SPANS[form.time]
    if since is None or (filters.since is not None and filters.since > since):
        return filters
    return replace(filters, since=since)


def _build_chips(form: TrackedFilterForm, params: Mapping[str, str], automation_name: str) -> list[Chip]:
    texts = {
        "q": form.q and f"“{form.q}”",
        "automationId": form.automation_id and f"playbook {automation_name}",
        "status": form.status and STATUSES[form.status].lower(),
        "deviceType": form.device_type and f"on {form.device_type}",
        "page": form.page and f"page {form.page}",
        "triggerName": form.trigger_name and f"trigger {form.trigger_name}",
        "time": form.time and TIMES[form.time],
        "from": form.since and f"from {form.since}",
        "to": form.until and f"before {form.until}",
    }
    return [
        Chip(text, _build_path({other: value for other, value in params.items() if other != name}))
        for name, text in texts.items()
        if text
    ]


def _build_path(params: Mapping[str, str]) -> str:
    return PATH + (f"?{urlencode(params)}" if params else "")


def _load_names(call: Caller) -> dict[str, str]:
    rows = automations.fetch_page(call.workspace_id, limit=MAX_PLAYBOOKS, type="playbook")
    return {row["id"]: row["name"] for row in rows}


def _find_name(call: Caller, automation_id: str | None, names: Mapping[str, str]) -> str:
    """The name of the automation in the filter, which may be no playbook, or none of the newest."""
    if automation_id is None or not is_id(automation_id):
        return "unknown"
    row = None if automation_id in names else automations.find(call.workspace_id, automation_id)
    return names.get(automation_id) or (row["name"] if row else "unknown")
