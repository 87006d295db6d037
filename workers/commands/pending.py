"""`beckon pending`: executions that are due and wait for a worker."""

from __future__ import annotations

import click

from workers.console import as_json as json_option
from workers.console import (
    connect,
    current_actor,
    find_workspace_id,
    format_duration,
    in_workspace,
    show_json,
    show_table,
    to_api_names,
)


@click.command()
@in_workspace
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Maximum number of rows.")
@click.option("--process", is_flag=True, help="Notify the workers of all due executions, not only of those shown.")
@json_option
def command(workspace: str, limit: int, process: bool, as_json: bool) -> None:
    """List executions that are due and not being processed, longest overdue first, and why.

    On a healthy system the list is short and changes all the time. --process enqueues a notification for each due
    execution again.
    """
    with connect():
        from tasks.operators import actions as operator_actions
        from tasks.operators.pending import list_pending

        workspace_id = find_workspace_id(workspace)
        due = list_pending(workspace_id, limit)
        processed = operator_actions.process_pending(workspace_id, current_actor()) if process else None
    if as_json:
        show_json({"pending": [to_api_names(row) for row in due], "processed": processed})
        return
    lines = [
        [row["id"], format_duration(max(0, row["overdue_seconds"])), row["automation_name"], row["contact_name"],
         row["stage"], row["queue"], row["because"]]
        for row in due
    ]  # fmt: skip
    show_table(("id", "due for", "automation", "contact", "stage", "queue", "why"), lines, "No executions are due.")
    if processed is not None:
        click.echo(f"{processed} enqueued.")
