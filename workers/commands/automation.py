"""`beckon automation`: import, export and publish definitions as files, and turn automations on and off."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import settings
from rules.language import AUTOMATION_TYPES
from rules.outbound_urls import Networks
from rules.problems import Problem
from workers.automation_tests import test
from workers.automation_versions import diff, find_automation, restore, versions
from workers.console import (
    CommandError,
    connect,
    current_actor,
    find_workspace_id,
    format_problems,
    in_workspace,
    show_json,
    show_table,
    to_api_names,
)
from workers.console import as_json as json_option

if TYPE_CHECKING:
    from rules.definition_text import TextCheck

_TYPE = click.option(
    "--type", "type_", type=click.Choice(AUTOMATION_TYPES),
    help="Type of the automation. Without it: the one that the trigger belongs to.",
)  # fmt: skip
_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)


@click.group()
def command() -> None:
    """Manage automations as files: validate, import, export and publish definitions; turn automations on and off.

    A definition is YAML or JSON as described in docs/workflow-language.md. FILE may be - for standard input.
    """


def _read_text(file: Path) -> str:
    """Read a file as it is, line ends and byte order mark included."""
    try:
        with click.open_file(str(file), "rb") as stream:
            return bytes(stream.read()).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} cannot be read: {error}") from None


def _load_allowed_networks() -> Networks:
    """Load the private networks that a definition's URLs may reach."""
    return settings.load().webhook_allowed_networks


def _check(file: Path, text: str, type_: str | None = None) -> TextCheck:
    """Check a text as this type of automation, or as the one that its trigger belongs to."""
    from rules.definition_text import check_text

    checked = check_text(text, type_, _load_allowed_networks())
    if checked.document is None:
        raise CommandError(f"{file}: {checked.problems[0].message}")
    return checked


def _require_valid(file: Path, text: str, type_: str | None = None) -> TextCheck:
    checked = _check(file, text, type_)
    if checked.problems:
        raise CommandError(f"{file} cannot be published:\n{_format_problems(checked)}")
    return checked


def _format_problems(checked: TextCheck) -> str:
    return format_problems([Problem(problem.path, problem.message) for problem in checked.problems])


@command.command("list")
@in_workspace
@click.option("--search", "q", help="Part of the name.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="Maximum number of rows.")
@json_option
def list_(workspace: str, q: str | None, limit: int, as_json: bool) -> None:
    """List automations, newest first."""
    with connect():
        from models.reports import automations as report

        rows = report.fetch_page(find_workspace_id(workspace), limit=limit, q=q)
    if as_json:
        show_json({"automations": [to_api_names(row) for row in rows]})
        return
    lines = [
        [row["id"], row["name"], row["trigger_type"], "on" if row["enabled"] else "off", f"v{row['version']}",
         row["executions"], row["succeeded"], row["failed"]]
        for row in rows
    ]  # fmt: skip
    headings = ("id", "name", "trigger", "", "", "executions", "succeeded", "failed")
    show_table(headings, lines, "No automations yet. `beckon automation import FILE` creates one.")


@command.command()
@click.argument("file", type=_FILE)
@_TYPE
@json_option
def validate(file: Path, type_: str | None, as_json: bool) -> None:
    """Check whether the definition in FILE can be published, and list each problem with its path.

    The exit code is 1 if there are problems.
    """
    checked = _check(file, _read_text(file), type_)
    if as_json:
        show_json({"valid": not checked.problems, "errors": [asdict(problem) for problem in checked.problems]})
    else:
        click.echo(_format_problems(checked) or f"{file} can be published.")
    raise SystemExit(1 if checked.problems else 0)


@command.command("import")
@click.argument("file", type=_FILE)
@in_workspace
@_TYPE
@click.option("--name", help="Name of the automation. Without it: the file's name.")
@click.option("--on/--off", "enabled", default=True, show_default=True, help="Turn the automation on after publishing.")
@json_option
def import_(file: Path, workspace: str, type_: str | None, name: str | None, enabled: bool, as_json: bool) -> None:
    """Create an automation from the definition in FILE and publish it as version 1."""
    text = _read_text(file)
    checked = _require_valid(file, text, type_)
    automation_name = name or file.stem.replace("-", " ").replace("_", " ").strip().capitalize() or "Imported"
    with connect() as config:
        from ephemeral import workflow_cache
        from models import automation

        workspace_id = find_workspace_id(workspace)
        publication = automation.create(
            workspace_id,
            name=automation_name,
            type=checked.automation_type,
            definition=checked.document,
            actor=current_actor(),
            enabled=enabled,
            is_valid=True,
            source=text,
        )
        workflow_cache.invalidate(workspace_id)
        _show_publication(publication, f'"{automation_name}" is published', config.url, as_json)


@command.command()
@click.argument("automation_id", metavar="ID")
@click.argument("file", type=_FILE)
@click.option("--note", help="What the version changes.")
@in_workspace
@json_option
def publish(automation_id: str, file: Path, note: str | None, workspace: str, as_json: bool) -> None:
    """Publish the definition in FILE as the next version of the automation ID.

    Executions in flight stay on their version.
    """
    text = _read_text(file)
    with connect() as config:
        from ephemeral import workflow_cache
        from models import automation
        from rules.definition_text import get_source

        workspace_id, row = find_automation(workspace, automation_id)
        checked = _require_valid(file, text, row["type"])
        if text == get_source(row["source"], row["definition"]):
            click.echo(f"Nothing to publish: version {row['version']} is identical.", err=True)
            return
        publication = automation.publish(
            workspace_id, automation_id, checked.document, current_actor(), is_valid=True, note=note, source=text
        )
        workflow_cache.invalidate(workspace_id)
        _show_publication(publication, f'"{row["name"]}" is published', config.url, as_json)


def _show_publication(publication: Any, summary: str, url: str, as_json: bool) -> None:
    hook = publication.hook_token and f"{url}/api/hooks/{publication.hook_token}"
    if as_json:
        show_json({"id": publication.automation_id, "version": publication.version, "hookUrl": hook})
        return
    click.echo(f"{summary} as version {publication.version}: {publication.automation_id}")
    if hook:
        click.echo(f"Webhook URL (secret, shown only once): {hook}")


@command.command()
@click.argument("automation_id", metavar="ID")
@in_workspace
@click.option("--version", type=click.IntRange(1, 2**31 - 1), help="A version. Without it: the published one.")
@json_option
def export(automation_id: str, workspace: str, version: int | None, as_json: bool) -> None:
    """Print the definition of the automation ID as its author wrote it, in the format that `publish` reads."""
    with connect():
        from models.reports import automations as report
        from rules.definition_text import get_source

        workspace_id, row = find_automation(workspace, automation_id)
        published = report.find_published(workspace_id, row["id"], version or row["version"])
    if published is None:
        raise CommandError("This automation has no such version." if version else "It has no published version.")
    if as_json:
        show_json(published["definition"])
        return
    text = get_source(published["source"], published["definition"]) or ""
    # As bytes: a text stream would change the line ends.
    click.echo(text.encode(), nl=False)


@command.command()
def schema() -> None:
    """Print the JSON Schema of definitions, for editors. It covers what this version supports."""
    from rules.schema import build_json_schema

    show_json(build_json_schema())


def _switch(workspace: str, automation_id: str, enabled: bool) -> None:
    with connect():
        from ephemeral import workflow_cache
        from models import automation

        workspace_id, row = find_automation(workspace, automation_id)
        automation.toggle(workspace_id, automation_id, enabled, current_actor())
        workflow_cache.invalidate(workspace_id)
    click.echo(f'"{row["name"]}" is {"on" if enabled else "off"}.')


@command.command()
@click.argument("automation_id", metavar="ID")
@in_workspace
def enable(automation_id: str, workspace: str) -> None:
    """Turn the automation ID on: triggers start executions again."""
    _switch(workspace, automation_id, True)


@command.command()
@click.argument("automation_id", metavar="ID")
@in_workspace
def disable(automation_id: str, workspace: str) -> None:
    """Turn the automation ID off: no new execution starts; executions past their checks finish."""
    _switch(workspace, automation_id, False)


for _command in (test, versions, diff, restore):
    command.add_command(_command)
