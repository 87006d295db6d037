"""`beckon pending`: what is due and waits for a worker."""

from __future__ import annotations

import click

from workers.terminal import as_json as json_option
from workers.terminal import connected, in_workspace, named, show_json, show_table, span, workspace_id


@click.command()
@in_workspace
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Show at most so many.")
@click.option("--process", is_flag=True, help="Nudge all that is due, not only what is shown.")
@json_option
def command(workspace: str, limit: int, process: bool, as_json: bool) -> None:
    """List executions that are due now and that nobody works on, the longest first.

    On a healthy system the list is short and changes with every look. --process rings for each of them again.
    """
    with connected():
        from models.reports import pending
        from tasks import operators

        found = workspace_id(workspace)
        due = pending.due(found, limit)
        processed = operators.process_pending(found) if process else None
    if as_json:
        show_json({"pending": [named(one) for one in due], "processed": processed})
        return
    shown = [
        [one["id"], span(max(0, one["overdue_seconds"])), one["automation_name"], one["contact_name"], one["stage"],
         one["queue"]]
        for one in due
    ]  # fmt: skip
    show_table(("id", "due for", "automation", "contact", "stage", "queue"), shown, "Nothing is due.")
    if processed is not None:
        click.echo(f"{processed} nudged.")
