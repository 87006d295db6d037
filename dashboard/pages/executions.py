"""The list of executions: filters in the address, one line for each, older ones by keyset."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import flask

import clock
from dashboard.access import Caller
from dashboard.answers import paged, row_id_of
from dashboard.pages import choosing, frame, words
from models.database import Row
from models.reports import automations, executions

executions_pages = flask.Blueprint("executions-pages", __name__)

#: Executions on one page, and automations to pick from.
PAGE_SIZE = 50
LISTED_AUTOMATIONS = 200


@executions_pages.get("/executions")
def show() -> Any:
    """The list, newest first."""
    call = frame.visitor()
    chosen = choosing.read(flask.request.args)
    filters = choosing.filters(chosen, call)
    before = row_id_of(chosen.cursor)
    found: list[Row] = []
    cursor = None
    if filters is not None:
        found, cursor = paged(lambda limit: executions.page(call.workspace_id, filters, limit, before), PAGE_SIZE)
    query = {name: text for name, text in flask.request.args.items() if text and name != "cursor"}
    names = _names(call)
    return frame.render(
        "executions_list.html" if frame.is_fragment() else "executions.html",
        call,
        executions=[_line(one) for one in found],
        chosen=chosen,
        chips=choosing.chips(chosen, names.get(choosing.automation_id(chosen) or "")),
        automations=names,
        times=choosing.TIMES,
        older=cursor and "/executions?" + urlencode({**query, "cursor": cursor}),
        newest="/executions" + (f"?{urlencode(query)}" if query else "") if chosen.cursor else None,
        query=urlencode(query),
    )


def _names(call: Caller) -> dict[str, str]:
    return {one["id"]: one["name"] for one in automations.page(call.workspace_id, limit=LISTED_AUTOMATIONS)}


def _line(found: Row) -> Row:
    return {**found, "next": words.next_for(found, clock.now())}
