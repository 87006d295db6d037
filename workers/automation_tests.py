"""`beckon automation test`: start an automation for sample contacts, or for chosen ones, in the sandbox."""

from __future__ import annotations

from typing import Any

import click

from workers.console import CommandError, connect, find_workspace_id, format_problems, in_workspace, show_json
from workers.console import as_json as json_option
from workers.payload_option import read_payload


def _read_payload(context: click.Context, parameter: click.Parameter, text: str | None) -> dict[str, Any] | None:
    return None if text is None else read_payload(context, parameter, text)


@click.command()
@click.argument("automation_id", metavar="ID")
@in_workspace
@click.option("--sample", type=click.IntRange(1, 100), help="Number of sample contacts. Default: 1.")
@click.option("--contact-id", "contact_ids", multiple=True, help="Id of a contact, repeatable, instead of sample ones.")
@click.option("--payload", callback=_read_payload, help="A JSON object, or @FILE. Default: a sample event.")
@click.option("--show", is_flag=True, help="Print the sample event's payload, and start nothing.")
@click.option("--follow", "-f", is_flag=True, help="Show each stage, step and message until everything has settled.")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds to follow before giving up.")
@json_option
def test(
    automation_id: str, workspace: str, sample: int | None, contact_ids: tuple[str, ...], show: bool, follow: bool,
    timeout: float, as_json: bool, payload: dict[str, Any] | None,
) -> None:  # fmt: skip
    """Test the automation ID with sample contacts and a sample event of its trigger.

    Tests only go to the sandbox, change no contacts and are not counted.
    """
    if sample and contact_ids:
        raise click.UsageError("Use only one of --sample and --contact-id.")
    with connect() as config:
        from models.ids import is_id
        from tasks.operators import test_triggers

        workspace_id = find_workspace_id(workspace)
        if not is_id(automation_id):
            raise CommandError("There is no automation with that id.")
        workflow = test_triggers.find_published(workspace_id, automation_id)
        event = test_triggers.choose_event(workflow, payload=payload)
        if show:
            show_json(event.payload)
            return
        test_triggers.require_sandbox(config)
        ids = contact_ids or test_triggers.ensure_sample_contacts(workspace_id, workflow, sample or 1)
        results = test_triggers.start(workspace_id, workflow, event, ids)
        _show_started(workspace_id, results, event.payload, timeout if follow else None, as_json)


def _show_started(workspace_id: str, results: Any, payload: Any, follow_seconds: float | None, as_json: bool) -> None:
    from tasks.intake.triggers import RejectedTrigger
    from workers import timeline

    for result in results:
        if isinstance(result, RejectedTrigger):
            raise CommandError(format_problems(result.problems))
    ids = [execution["executionId"] for result in results for execution in result.executions]
    if as_json:
        show_json({"executions": [{"executionId": execution_id} for execution_id in ids], "payload": payload})
    elif follow_seconds is None:
        click.echo("\n".join(f"execution {execution_id}" for execution_id in ids))
    else:
        raise SystemExit(0 if timeline.follow(workspace_id, ids, follow_seconds) else 1)
