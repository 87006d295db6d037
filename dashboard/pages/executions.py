"""The list of executions, filtered by the query and paged by keyset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import flask

import clock
from dashboard.access import Caller
from dashboard.pages import filter_forms, labels, layout
from dashboard.responses import fetch_page, parse_row_cursor
from models.reports import automations, executions
from models.reports.executions import ExecutionItem

executions_pages = flask.Blueprint("executions-pages", __name__)

#: Executions on one page, and automations in the filter.
PAGE_SIZE = 50
MAX_AUTOMATIONS = 200


@executions_pages.get("/executions")
@executions_pages.get("/automations/monitor")
def show() -> Any:
    """The list, newest first: a page of its own, or the tab Monitor beside the automations."""
    call = layout.require_page_permission()
    form = filter_forms.parse(flask.request.args)
    filters = filter_forms.build_filters(form, call)
    before = parse_row_cursor(form.cursor)
    rows: list[ExecutionItem] = []
    cursor = None
    if filters is not None:
        rows, cursor = fetch_page(
            lambda limit: executions.fetch_page(call.workspace_id, filters, limit, before), PAGE_SIZE
        )
    params = {name: text for name, text in flask.request.args.items() if text and name != "cursor"}
    names = _load_automation_names(call)
    return layout.render(
        "executions_list.html" if layout.is_fragment() else "executions.html",
        call,
        executions=[_build_line(row) for row in rows],
        filters=form,
        chips=filter_forms.build_chips(
            form,
            names.get(filter_forms.find_automation_id(form) or ""),
            layout.load_zone(call),
            flask.request.path,
        ),
        automations=names,
        times=filter_forms.TIMES,
        older=cursor and _build_path({**params, "cursor": cursor}),
        newest=_build_path(params) if form.cursor else None,
        query=urlencode(params),
        base_path=flask.request.path,
        is_paused=params.get("updates") == "paused",
        live_path=_build_path({name: text for name, text in params.items() if name != "updates"}),
        paused_path=_build_path({**params, "updates": "paused"}),
    )


def _build_path(params: Mapping[str, str]) -> str:
    return flask.request.path + (f"?{urlencode(params)}" if params else "")


def _load_automation_names(call: Caller) -> dict[str, str]:
    return {
        automation["id"]: automation["name"]
        for automation in automations.fetch_page(call.workspace_id, limit=MAX_AUTOMATIONS)
    }


def _build_line(row: ExecutionItem) -> dict[str, Any]:
    return {**row, "next": labels.describe_next(row, clock.now()), "duration": _format_duration(row)}


def _format_duration(row: ExecutionItem) -> str:
    """How long the execution took, or has taken so far; empty before it has started."""
    if row["execution_time_ms"] is not None:
        return labels.format_duration(row["execution_time_ms"] / 1000)
    if row["started_at"] is None or row["finished_at"] is not None:
        return ""
    return labels.format_rough_duration((clock.now() - row["started_at"]).total_seconds())
