"""`beckon execution`: the list of executions, and one execution's timeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from workers.console import as_json as json_option
from workers.console import connect, find_workspace_id, in_workspace, show_json, show_table
from workers.filter_options import build_filters, filter_options

if TYPE_CHECKING:
    from models.reports.executions import ExecutionItem

#: Maximum page size, the same as the API's.
MAX_PAGE_SIZE = 200


@click.group()
def command() -> None:
    """Show executions. An execution processes one workflow version for one contact."""


@command.command()
@click.argument("execution_id", metavar="ID")
@in_workspace
@json_option
def show(execution_id: str, workspace: str, as_json: bool) -> None:
    """Show the timeline of the execution ID.

    It has each stage with its time, each step with its attempts, each message with the provider's id, and the reason
    for the current status.
    """
    with connect():
        from workers import timeline

        detail = timeline.read(find_workspace_id(workspace), execution_id)
        return show_json(timeline.as_json(detail)) if as_json else timeline.show(detail)


@command.command("list")
@in_workspace
@filter_options
@click.option(
    "--limit", type=click.IntRange(1, MAX_PAGE_SIZE), default=20, show_default=True, help="Maximum number of rows."
)
@click.option("--before", help="Only executions older than this id: the next page.")
@json_option
def list_(workspace: str, limit: int, before: str | None, as_json: bool, **options: Any) -> None:
    """List the executions that match all filters, newest first."""
    from models.ids import is_id

    if before is not None and not is_id(before):
        raise click.BadParameter("not an id", param_hint="--before")
    filters = build_filters(options)
    with connect():
        from models.reports import executions as report
        from workers import timeline

        rows = report.fetch_page(find_workspace_id(workspace), filters, limit, before)
    if as_json:
        show_json({"executions": [timeline.serialize(row) for row in rows]})
        return
    lines = [
        [row["id"], row["created_at"], row["automation_name"], row["contact_name"], row["status"], row["stage"],
         _name_reason(row),
         "test" if row["test"] else ""]
        for row in rows
    ]  # fmt: skip
    headings = ("id", "accepted (UTC)", "automation", "contact", "status", "stage", "reason", "")
    show_table(headings, lines, "No executions match. `beckon trigger TYPE` starts one.")
    if len(rows) == limit:
        click.echo(f"next page: --before {rows[-1]['id']}")


def _name_reason(row: ExecutionItem) -> str | None:
    if row["error"]:
        return row["error"]["class"]
    return row["skipped_because"]["rule"] if row["skipped_because"] else None
