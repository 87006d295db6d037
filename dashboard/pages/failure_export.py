"""The failures as CSV, streamed, at most a stated number of rows."""

from __future__ import annotations

from typing import Any

import flask

from dashboard.csv_download import respond_with_csv
from dashboard.pages import layout
from dashboard.pages.failures import FailuresForm
from models.reports import executions
from models.reports.executions import ExecutionItem

failure_export_pages = flask.Blueprint("failure-export-pages", __name__)

#: Rows of a file.
MAX_ROWS = 100_000
COLUMNS = (
    "execution", "automation", "version", "contact", "contactId", "status", "stage", "class", "provider", "code",
    "message", "attempt", "since", "nextRetryAt", "waitingFor",
)  # fmt: skip


@failure_export_pages.get("/failures/export.csv")
def export() -> Any:
    """The failures that the filters match, newest first."""
    call = layout.require_page_permission()
    form, _ = layout.parse_query(FailuresForm)
    filters = form.build_filters()
    return respond_with_csv(
        "failures.csv",
        COLUMNS,
        lambda limit, before: executions.fetch_page(call.workspace_id, filters, limit, before),
        _build_cells,
        max_rows=MAX_ROWS,
    )


def _build_cells(row: ExecutionItem) -> tuple[Any, ...]:
    error = row["error"]
    return (
        row["id"], row["automation_name"], row["version"], row["contact_name"], row["contact_id"], row["status"],
        row["stage"], error and error["class"], row["provider"], error and error["code"], error and error["message"],
        row["attempt"], row["stage_since"].isoformat(), row["next_retry_at"] and row["next_retry_at"].isoformat(),
        row["waiting_for"],
    )  # fmt: skip
