"""What is due and not running yet, why, and what waits for the end of a pause."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import flask
from pydantic import Field

from dashboard.api import schemas
from dashboard.bodies import Body
from dashboard.errors import invalid_request
from dashboard.pages import layout
from dashboard.responses import decode_cursor, encode_cursor
from models.ids import is_id
from models.reports import pending as report
from models.reports.pending import DueRow, Place
from rules.problems import Problem
from tasks.operators import actions as operator_actions
from tasks.operators.pending import list_pending
from tasks.runtime.broker import EXECUTION_QUEUES

pending_pages = flask.Blueprint("pending-pages", __name__)

#: Executions on one page.
PAGE_SIZE = 50


class PendingQuery(Body):
    """The queue to show, and the page."""

    queue: Annotated[str, schemas.Choice(EXECUTION_QUEUES)] | None = None
    cursor: Annotated[str, Field(max_length=200)] | None = None
    updates: Literal["paused"] | None = None


@pending_pages.get("/executions/pending")
def show() -> Any:
    """The list, longest due first."""
    call = layout.require_page_permission()
    form, _ = layout.parse_query(PendingQuery)
    rows = list_pending(call.workspace_id, PAGE_SIZE + 1, form.queue, _parse_place(form.cursor))
    counts = {name: count["due"] for name, count in report.count_by_queue(call.workspace_id).items()}
    fields = {"queue": form.queue} if form.queue else {}
    next_page = {**fields, "cursor": _format_place(rows[PAGE_SIZE - 1])} if len(rows) > PAGE_SIZE else None
    return layout.render(
        "pending_list.html" if layout.is_fragment() else "pending.html",
        call,
        rows=rows[:PAGE_SIZE],
        queue=form.queue,
        queues=EXECUTION_QUEUES,
        counts=counts,
        due=sum(counts.values()),
        address="/executions/pending" + (f"?{urlencode(fields)}" if fields else ""),
        next_page=next_page and "/executions/pending?" + urlencode(next_page),
        is_first=form.cursor is None,
        is_paused=form.updates == "paused",
    )


@pending_pages.post("/executions/pending")
def process() -> Any:
    """Notify the workers of everything that is due."""
    call = layout.require_page_permission("write")
    processed = operator_actions.process_pending(call.workspace_id, call.actor)
    noun = "execution" if processed == 1 else "executions"
    return layout.redirect(layout.read_next_path("/executions/pending"), f"{processed:,} {noun} enqueued.")


def _format_place(row: DueRow) -> str:
    return encode_cursor(f"{row['due_at'].isoformat()} {row['id']}")


def _parse_place(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    due_at, _, row_id = decode_cursor(cursor).partition(" ")
    try:
        moment = datetime.fromisoformat(due_at)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or not is_id(row_id):
        raise invalid_request([Problem("cursor", "is not a cursor of this list")])
    return moment, row_id
