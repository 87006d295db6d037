"""`beckon automation`: definitions between files and the database, and the switch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import yaml

import settings
from rules.outbound_urls import Networks
from workers.terminal import (
    Refused,
    actor,
    connected,
    in_workspace,
    named,
    problem_lines,
    show_json,
    show_table,
    workspace_id,
)
from workers.terminal import as_json as json_option

_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)


@click.group()
def command() -> None:
    """Keep automations as files: validate, import, export and publish their definitions, and switch them.

    A definition is YAML or JSON, as docs/workflow-language.md has it. FILE may be - for standard input.
    """


def _read(file: Path) -> Any:
    from rules.definition import DefinitionError, read

    try:
        with click.open_file(str(file), encoding="utf-8") as opened:
            return read(opened.read())
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{file} cannot be read: {error}") from None
    except DefinitionError as error:
        raise Refused(f"{file}: {error}") from None


def _networks() -> Networks:
    """The private networks that a definition's URLs may lead to."""
    return settings.load().webhook_allowed_networks


def _valid(file: Path) -> dict[str, Any]:
    from rules.validation import validate

    document = _read(file)
    problems = validate(document, networks=_networks())
    if problems:
        raise Refused(f"{file} cannot be published:\n{problem_lines(problems)}")
    return dict(document)


@command.command("list")
@in_workspace
@click.option("--search", "q", help="Words of the name.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="At most so many.")
@json_option
def list_(workspace: str, q: str | None, limit: int, as_json: bool) -> None:
    """List automations, newest first."""
    with connected():
        from models.reports import automations as report

        found = report.page(workspace_id(workspace), limit=limit, q=q)
    if as_json:
        show_json({"automations": [named(one) for one in found]})
        return
    shown = [
        [one["id"], one["name"], one["trigger_type"], "on" if one["enabled"] else "off", f"v{one['version']}",
         one["executions"], one["succeeded"], one["failed"]]
        for one in found
    ]  # fmt: skip
    headings = ("id", "name", "trigger", "", "", "executions", "succeeded", "failed")
    show_table(headings, shown, "No automation is there. `beckon automation import FILE` makes one.")


@command.command()
@click.argument("file", type=_FILE)
@json_option
def validate(file: Path, as_json: bool) -> None:
    """Say whether the definition in FILE can be published, and each problem by its path. The code is 1 if not."""
    from rules.validation import validate as judge

    problems = judge(_read(file), networks=_networks())
    if as_json:
        errors = [{"path": one.path, "message": one.message} for one in problems]
        show_json({"valid": not problems, "errors": errors})
    else:
        click.echo(problem_lines(problems) or f"{file} can be published.")
    raise SystemExit(1 if problems else 0)


@command.command("import")
@click.argument("file", type=_FILE)
@in_workspace
@click.option("--name", help="What to call it; the file's name without it.")
@click.option("--on/--off", "enabled", default=True, show_default=True, help="Whether it starts executions at once.")
@json_option
def import_(file: Path, workspace: str, name: str | None, enabled: bool, as_json: bool) -> None:
    """Make a new automation of the definition in FILE, and publish it as version 1."""
    definition = _valid(file)
    called = name or file.stem.replace("-", " ").replace("_", " ").strip().capitalize() or "Imported"
    with connected() as told:
        from ephemeral import workflow_cache
        from models import automation

        found = workspace_id(workspace)
        made = automation.create(
            found,
            name=called,
            type="workflow",
            definition=definition,
            actor=actor(),
            enabled=enabled,
            networks=told.webhook_allowed_networks,
        )
        workflow_cache.invalidate(found)
        _show_publication(made, f'"{called}" is published', told.url, as_json)


@command.command()
@click.argument("automation_id", metavar="ID")
@click.argument("file", type=_FILE)
@in_workspace
@json_option
def publish(automation_id: str, file: Path, workspace: str, as_json: bool) -> None:
    """Publish the definition in FILE as the next version of the automation ID; executions in flight stay on theirs."""
    definition = _valid(file)
    with connected() as told:
        from ephemeral import workflow_cache
        from models import automation

        found, known = _one(workspace, automation_id)
        if known["definition"] == definition:
            click.echo(f"Version {known['version']} is the same already.", err=True)
            return
        made = automation.publish(found, automation_id, definition, actor(), networks=told.webhook_allowed_networks)
        workflow_cache.invalidate(found)
        _show_publication(made, f'"{known["name"]}" is published', told.url, as_json)


def _show_publication(made: Any, words: str, url: str, as_json: bool) -> None:
    hook = made.hook_token and f"{url}/api/hooks/{made.hook_token}"
    if as_json:
        show_json({"id": made.automation_id, "version": made.version, "hookUrl": hook})
        return
    click.echo(f"{words} as version {made.version}: {made.automation_id}")
    if hook:
        click.echo(f"Post to this secret address, which is shown this once: {hook}")


@command.command()
@click.argument("automation_id", metavar="ID")
@in_workspace
@json_option
def export(automation_id: str, workspace: str, as_json: bool) -> None:
    """Print the published definition of the automation ID, as YAML or JSON that `publish` takes back."""
    with connected():
        _, found = _one(workspace, automation_id)
    if found["definition"] is None:
        raise Refused("This automation has no published version.")
    if as_json:
        show_json(found["definition"])
    else:
        click.echo(yaml.safe_dump(found["definition"], sort_keys=False, allow_unicode=True), nl=False)


def _one(workspace: str, automation_id: str) -> tuple[str, dict[str, Any]]:
    from models.ids import is_id
    from models.reports import automations as report

    found = workspace_id(workspace)
    known = report.one(found, automation_id) if is_id(automation_id) else None
    if known is None:
        raise Refused("There is no automation by that id.")
    return found, known


def _switch(workspace: str, automation_id: str, enabled: bool) -> None:
    with connected():
        from ephemeral import workflow_cache
        from models import automation

        found, known = _one(workspace, automation_id)
        automation.toggle(found, automation_id, enabled, actor())
        workflow_cache.invalidate(found)
    click.echo(f'"{known["name"]}" is {"on" if enabled else "off"}.')


@command.command()
@click.argument("automation_id", metavar="ID")
@in_workspace
def enable(automation_id: str, workspace: str) -> None:
    """Switch the automation ID on: triggers start executions again."""
    _switch(workspace, automation_id, True)


@command.command()
@click.argument("automation_id", metavar="ID")
@in_workspace
def disable(automation_id: str, workspace: str) -> None:
    """Switch the automation ID off: nothing new starts, what is past its checks finishes."""
    _switch(workspace, automation_id, False)
