"""`beckon resolve`: decide about a message of unknown outcome."""

from __future__ import annotations

from typing import Any

import click

from workers.console import connect, current_actor, find_workspace_id, in_workspace


@click.command()
@click.argument("message_id", metavar="MESSAGE_ID")
@click.argument("decision", type=click.Choice(["sent", "resend", "discard"]))
@in_workspace
def command(message_id: str, decision: Any, workspace: str) -> None:
    """Say what became of a message whose sending was cut off.

    sent: it arrived, go on with the next step. resend: it did not, send it again. discard: give it up, and its
    execution with it. Ask the provider's own log first: nobody else can know.
    """
    with connect():
        from tasks.operators import actions as operator_actions

        operator_actions.resolve_message(find_workspace_id(workspace), message_id, decision, current_actor())
    messages = {"sent": "It counts as sent.", "resend": "It is sent again.", "discard": "It is given up."}
    click.echo(messages[decision])
