"""`beckon trigger`: send one trigger and follow its executions."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from workers.console import (
    CommandError,
    as_json,
    connect,
    find_workspace_id,
    format_problems,
    in_workspace,
    show_json,
    to_api_names,
)
from workers.payload_option import read_payload

if TYPE_CHECKING:
    from tasks.intake.triggers import AcceptedTrigger

_CONTACT_FIELDS = ("externalId", "email", "phone", "firstName", "lastName", "timezone")


@click.command(epilog="Example: beckon trigger invoice.overdue --email ada@example.com --payload '{\"amount\": 99}' -f")
@click.argument("type_", metavar="TYPE")
@in_workspace
@click.option("--email", help="The contact's e-mail address.")
@click.option("--phone", help="The contact's phone number with country code, such as +15550100.")
@click.option("--external-id", "externalId", help="The contact's id in your own system.")
@click.option("--first-name", "firstName", help="The contact's first name.")
@click.option("--last-name", "lastName", help="The contact's last name.")
@click.option("--timezone", help="The contact's time zone, such as Europe/Rome.")
@click.option("--tag", "tags", multiple=True, help="A tag to add to the contact, repeatable.")
@click.option("--contact-id", help="Id of an existing contact, instead of the fields above.")
@click.option("--payload", callback=read_payload, help="A JSON object, or @FILE to read it from a file (@- for stdin).")
@click.option("--automation", "automation_id", help="Start only the automation with this id.")
@click.option("--test", is_flag=True, help="Run a test: it only goes to the sandbox and is not counted.")
@click.option("--key", help="Idempotency key: the same key within 24 hours starts no new execution.")
@click.option(
    "--follow",
    "-f",
    is_flag=True,
    help="Show each stage, step and message as it happens, until everything has settled.",
)
@click.option("--timeout", default=60.0, show_default=True, help="Seconds to follow before giving up.")
@as_json
def command(type_: str, workspace: str, as_json: bool, follow: bool, timeout: float, **options: Any) -> None:
    """Send a trigger of TYPE, such as contact.created.

    The contact is matched by its fields, or created. Each matching automation that is on starts one execution. Workers
    run the executions; --follow shows them.
    """
    with connect():
        from workers import timeline

        workspace_id = find_workspace_id(workspace)
        accepted = accept_trigger(workspace_id, _build_body(type_, options), options["key"])
        ids = [execution["executionId"] for execution in accepted.executions]
        if as_json:
            show_json(to_api_names(vars(accepted)))
            return
        duplicate_note = " (duplicate of an earlier trigger with this key)" if accepted.duplicate else ""
        click.echo(f"accepted as {accepted.trigger_id}{duplicate_note}")
        if not ids:
            click.echo(f"No automation matches. See `beckon automation list --workspace {workspace}`.")
        elif follow:
            sys.exit(0 if timeline.follow(workspace_id, ids, timeout) else 1)
        else:
            click.echo("\n".join(f"execution {execution_id}" for execution_id in ids))


def _build_body(type_: str, options: dict[str, Any]) -> dict[str, Any]:
    contact = {name: options[name] for name in _CONTACT_FIELDS if options[name] is not None}
    if options["tags"]:
        contact["tags"] = list(options["tags"])
    body: dict[str, Any] = {"type": type_, "payload": options["payload"], "test": options["test"]}
    fields = {"contact": contact or None, "contactId": options["contact_id"], "automationId": options["automation_id"]}
    return body | {name: value for name, value in fields.items() if value is not None}


def accept_trigger(workspace_id: str, body: dict[str, Any], key: str | None = None) -> AcceptedTrigger:
    """Accept a trigger in the format of the API's request body. Raises CommandError."""
    from rules import trigger_bodies
    from rules.bodies import find_invalid_values
    from rules.trigger_requests import TriggerRequest
    from tasks.intake import triggers

    request = find_invalid_values(body) or trigger_bodies.parse_request(body, header_key=key)
    if not isinstance(request, TriggerRequest):
        raise CommandError(format_problems(request))
    result = triggers.accept(workspace_id, [request], "command")[0]
    if isinstance(result, triggers.RejectedTrigger):
        raise CommandError(format_problems(result.problems))
    return result
