"""`beckon automation`: import, export and publish definitions as files, and turn automations on and off."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml

import settings
from rules.outbound_urls import Networks
from workers.automation_tests import test
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
    from models.reports.automations import AutomationDetail
    from rules.problems import Problem

_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)


@click.group()
def command() -> None:
    """Manage automations as files: validate, import, export and publish definitions; turn automations on and off.

    A definition is YAML or JSON as described in docs/workflow-language.md. FILE may be - for standard input.
    """


def _read(file: Path) -> Any:
    from rules.definition import DefinitionError, read

    try:
        with click.open_file(str(file), encoding="utf-8") as stream:
            return read(stream.read())
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} cannot be read: {error}") from None
    except DefinitionError as error:
        raise CommandError(f"{file}: {error}") from None


def _load_allowed_networks() -> Networks:
    """Load the private networks that a definition's URLs may reach."""
    return settings.load().webhook_allowed_networks


def _read_valid_definition(file: Path) -> dict[str, Any]:
    document = _read(file)
    problems = _find_problems(document)
    if problems:
        raise CommandError(f"{file} cannot be published:\n{format_problems(problems)}")
    return dict(document)


def _find_problems(document: Any) -> list[Problem]:
    """Validate a document as the type of automation that its trigger belongs to."""
    from rules.language import infer_type
    from rules.validation import validate

    return validate(document, automation_type=infer_type(document), networks=_load_allowed_networks())


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
@json_option
def validate(file: Path, as_json: bool) -> None:
    """Check whether the definition in FILE can be published, and list each problem with its path.

    The exit code is 1 if there are problems.
    """
    problems = _find_problems(_read(file))
    if as_json:
        errors = [{"path": problem.path, "message": problem.message} for problem in problems]
        show_json({"valid": not problems, "errors": errors})
    else:
        click.echo(format_problems(problems) or f"{file} can be published.")
    raise SystemExit(1 if problems else 0)


@command.command("import")
@click.argument("file", type=_FILE)
@in_workspace
@click.option("--name", help="Name of the automation. Without it: the file's name.")
@click.option("--on/--off", "enabled", default=True, show_default=True, help="Turn the automation on after publishing.")
@json_option
def import_(file: Path, workspace: str, name: str | None, enabled: bool, as_json: bool) -> None:
    """Create an automation from the definition in FILE and publish it as version 1."""
    definition = _read_valid_definition(file)
    automation_name = name or file.stem.replace("-", " ").replace("_", " ").strip().capitalize() or "Imported"
    with connect() as config:
        from ephemeral import workflow_cache
        from models import automation
        from rules.language import infer_type

        workspace_id = find_workspace_id(workspace)
        publication = automation.create(
            workspace_id,
            name=automation_name,
            type=infer_type(definition),
            definition=definition,
            actor=current_actor(),
            enabled=enabled,
            networks=config.webhook_allowed_networks,
        )
        workflow_cache.invalidate(workspace_id)
        _show_publication(publication, f'"{automation_name}" is published', config.url, as_json)


@command.command()
@click.argument("automation_id", metavar="ID")
@click.argument("file", type=_FILE)
@in_workspace
@json_option
def publish(automation_id: str, file: Path, workspace: str, as_json: bool) -> None:
    """Publish the definition in FILE as the next version of the automation ID.

    Executions in flight stay on their version.
    """
    definition = _read_valid_definition(file)
    with connect() as config:
        from ephemeral import workflow_cache
        from models import automation

        workspace_id, row = _find_automation(workspace, automation_id)
        if row["definition"] == definition:
            click.echo(f"Nothing to publish: version {row['version']} is identical.", err=True)
            return
        publication = automation.publish(
            workspace_id, automation_id, definition, current_actor(), networks=config.webhook_allowed_networks
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
@json_option
def export(automation_id: str, workspace: str, as_json: bool) -> None:
    """Print the published definition of the automation ID as YAML or JSON, in the format that `publish` reads."""
    with connect():
        _, row = _find_automation(workspace, automation_id)
    if row["definition"] is None:
        raise CommandError("This automation has no published version.")
    if as_json:
        show_json(row["definition"])
    else:
        click.echo(yaml.safe_dump(row["definition"], sort_keys=False, allow_unicode=True), nl=False)


@command.command()
def schema() -> None:
    """Print the JSON Schema of definitions, for editors. It covers what this version supports."""
    from rules.schema import build_json_schema

    show_json(build_json_schema())


def _find_automation(workspace: str, automation_id: str) -> tuple[str, AutomationDetail]:
    from models.ids import is_id
    from models.reports import automations as report

    workspace_id = find_workspace_id(workspace)
    row = report.find(workspace_id, automation_id) if is_id(automation_id) else None
    if row is None:
        raise CommandError("There is no automation with that id.")
    return workspace_id, row


def _switch(workspace: str, automation_id: str, enabled: bool) -> None:
    with connect():
        from ephemeral import workflow_cache
        from models import automation

        workspace_id, row = _find_automation(workspace, automation_id)
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


command.add_command(test)
