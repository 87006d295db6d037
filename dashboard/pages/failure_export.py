"""The failures as CSV, streamed, at most a stated number of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import flask

from dashboard.pages import layout
from dashboard.pages.failures import FailuresForm
from models.execution_filters import ExecutionFilters
from models.reports import executions
from models.reports.executions import ExecutionItem
from rules.csv_cells import format_row

failure_export_pages = flask.Blueprint("failure-export-pages", __name__)

#: Rows of a file, and of one query.
MAX_ROWS, PAGE_SIZE = 100_000, 1_000
COLUMNS = (
    "execution", "automation", "version", "contact", "contactId", "status", "stage", "class", "provider", "code",
    "message", "attempt", "since", "nextRetryAt", "waitingFor",
)  # fmt: skip


@failure_export_pages.get("/failures/export.csv")
def export() -> Any:
    """The failures that the filters match, newest first."""
    call = layout.require_page_permission()
    form, _ = layout.parse_query(FailuresForm)
    lines = _write_lines(call.workspace_id, form.build_filters())
    headers = {"Content-Disposition": 'attachment; filename="failures.csv"'}
    return flask.Response(lines, mimetype="text/csv", headers=headers)


def _write_lines(workspace_id: str, filters: ExecutionFilters) -> Iterator[str]:
    yield format_row(COLUMNS)
    before, written = None, 0
    while written < MAX_ROWS:
        rows = executions.fetch_page(workspace_id, filters, PAGE_SIZE, before)
        yield "".join(format_row(_build_cells(row)) for row in rows)
        written += len(rows)
        if len(rows) < PAGE_SIZE:
            return
        before = rows[-1]["id"]


def _build_cells(row: ExecutionItem) -> tuple[Any, ...]:
    error = row["error"]
    return (
        row["id"], row["automation_name"], row["version"], row["contact_name"], row["contact_id"], row["status"],
        row["stage"], error and error["class"], row["provider"], error and error["code"], error and error["message"],
        row["attempt"], row["stage_since"].isoformat(), row["next_retry_at"] and row["next_retry_at"].isoformat(),
        row["waiting_for"],
    )  # fmt: skip
