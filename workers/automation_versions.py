"""`beckon automation versions`, `diff` and `restore`: the versions of an automation and its draft."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from workers.console import (
    CommandError,
    connect,
    current_actor,
    find_workspace_id,
    in_workspace,
    show_json,
    show_table,
    to_api_names,
)
from workers.console import as_json as json_option

_VERSION = click.IntRange(1, 2**31 - 1)


def find_automation(workspace: str, automation_id: str) -> tuple[str, Any]:
    """Return the workspace's id and the automation. Raises `CommandError`."""
    from models.ids import is_id
    from models.reports import automations as report

    workspace_id = find_workspace_id(workspace)
    row = report.find(workspace_id, automation_id) if is_id(automation_id) else None
    if row is None:
        raise CommandError("There is no automation with that id.")
    return workspace_id, row


@click.command()
@click.argument("automation_id", metavar="ID")
@in_workspace
@json_option
def versions(automation_id: str, workspace: str, as_json: bool) -> None:
    """List the versions of the automation ID, newest first."""
    with connect():
        _, row = find_automation(workspace, automation_id)
    if as_json:
        draft = {name: row[name] for name in ("draft_saved_at", "draft_saved_by", "draft_revision")}
        show_json({"versions": [to_api_names(version) for version in row["versions"]], **to_api_names(draft)})
        return
    lines = [
        [f"v{version['version']}", f"{version['published_at']:%Y-%m-%d %H:%M}", version["published_by"],
         version["note"] or ""]
        for version in row["versions"]
    ]  # fmt: skip
    show_table(("version", "published", "by", "note"), lines, "No versions yet.")
    if row["has_draft"]:
        click.echo(f"Draft saved by {row['draft_saved_by']} at {row['draft_saved_at']:%Y-%m-%d %H:%M}.")


@click.command()
@click.argument("automation_id", metavar="ID")
@click.argument("before", metavar="FROM", type=_VERSION)
@click.argument("after", metavar="TO", type=_VERSION, required=False)
@in_workspace
@json_option
def diff(automation_id: str, before: int, after: int | None, workspace: str, as_json: bool) -> None:
    """Compare the version FROM of the automation ID with the version TO, or with the published one."""
    from rules.definition_changes import list_changes
    from rules.line_diff import compare_lines

    with connect():
        workspace_id, row = find_automation(workspace, automation_id)
        sides = [_require_version(workspace_id, row, number) for number in (before, after or row["version"])]
    changes = list_changes(sides[0][0], sides[1][0])
    lines = compare_lines(sides[0][1], sides[1][1])
    if as_json:
        show_json({"changes": [asdict(change) for change in changes], "lines": [asdict(line) for line in lines]})
        return
    for change in changes:
        click.echo(change.sentence)
    if lines:
        click.echo("")
    marks = {"added": "+", "removed": "-", "same": " ", "gap": "…"}
    for line in lines:
        click.echo(f"{marks[line.kind]} {line.text}".rstrip())


@click.command()
@click.argument("automation_id", metavar="ID")
@click.argument("version", type=_VERSION)
@click.option("--replace", is_flag=True, help="Replace the draft, if there is one.")
@in_workspace
def restore(automation_id: str, version: int, replace: bool, workspace: str) -> None:
    """Make VERSION of the automation ID its draft. It publishes nothing."""
    with connect():
        from models import automation

        workspace_id, row = find_automation(workspace, automation_id)
        if row["has_draft"] and not replace:
            raise CommandError(f"{row['draft_saved_by']} saved a draft. Use --replace to replace it.")
        definition, source = _require_version(workspace_id, row, version)
        automation.save_draft_source(
            workspace_id, row["id"], source, definition, current_actor(), base_version=row["version"],
            revision=row["draft_revision"],
        )  # fmt: skip
    click.echo(f'Version {version} of "{row["name"]}" is the draft now. Nothing was published.')


def _require_version(workspace_id: str, row: Any, version: int) -> tuple[dict[str, Any], str]:
    """Return a version's definition and its text. Raises `CommandError`."""
    from models.reports import automations as report
    from rules.definition_text import get_source

    published = report.find_published(workspace_id, row["id"], version)
    if published is None:
        raise CommandError(f"This automation has no version {version}.")
    return published["definition"], get_source(published["source"], published["definition"]) or ""
