"""`beckon execution`: the list of executions, and one execution's story."""

from __future__ import annotations

from typing import Any

import click

from workers.filter_options import filter_options, filters
from workers.terminal import as_json as json_option
from workers.terminal import connected, in_workspace, named, show_json, show_table, workspace_id

#: The longest page, as the API's.
MOST = 200


@click.group()
def command() -> None:
    """Look at executions: one contact's passage through one workflow each."""


@command.command()
@click.argument("execution_id", metavar="ID")
@in_workspace
@json_option
def show(execution_id: str, workspace: str, as_json: bool) -> None:
    """Tell the story of one execution: each stage with its times, each step with its attempts, each message with the
    provider's id, and why it rests where it rests."""
    with connected():
        from workers import story

        detail = story.read(workspace_id(workspace), execution_id)
        return show_json(story.as_json(detail)) if as_json else story.show(detail)


@command.command("list")
@in_workspace
@filter_options
@click.option("--limit", type=click.IntRange(1, MOST), default=20, show_default=True, help="At most so many.")
@click.option("--before", help="Only those older than the execution with this id: the next page.")
@json_option
def list_(workspace: str, limit: int, before: str | None, as_json: bool, **given: Any) -> None:
    """List executions, newest first; all filters that are given must hold."""
    from models.ids import is_id

    if before is not None and not is_id(before):
        raise click.BadParameter("is not an id", param_hint="--before")
    chosen = filters(given)
    with connected():
        from models.reports import executions as report

        found = report.page(workspace_id(workspace), chosen, limit, before)
    if as_json:
        show_json({"executions": [named(one) for one in found]})
        return
    shown = [
        [one["id"], one["created_at"], one["automation_name"], one["contact_name"], one["status"], one["stage"],
         (one["error"] or one["skipped_because"] or {}).get("class" if one["error"] else "rule"),
         "test" if one["test"] else ""]
        for one in found
    ]  # fmt: skip
    headings = ("id", "accepted (UTC)", "automation", "contact", "status", "stage", "because", "")
    show_table(headings, shown, "No execution matches. `beckon trigger TYPE` makes one.")
    if len(found) == limit:
        click.echo(f"more: --before {found[-1]['id']}")
