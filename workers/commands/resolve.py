"""`beckon resolve`: decide the outcome of a message whose outcome is unknown."""

from __future__ import annotations

from typing import Any

import click

from workers.console import connect, current_actor, find_workspace_id, in_workspace


@click.command()
@click.argument("message_id", metavar="MESSAGE_ID")
@click.argument("decision", type=click.Choice(["sent", "resend", "discard"]))
@in_workspace
def command(message_id: str, decision: Any, workspace: str) -> None:
    """Decide the outcome of a message whose sending was interrupted.

    sent: the message was sent, continue with the next step. resend: the message was not sent, send it again. discard:
    the message is discarded and its execution cancelled. Check the provider's log first.
    """
    with connect():
        from tasks.operators import actions as operator_actions

        operator_actions.resolve_message(find_workspace_id(workspace), message_id, decision, current_actor())
    messages = {
        "sent": "The message is marked as sent.",
        "resend": "The message will be sent again.",
        "discard": "The message is discarded.",
    }
    click.echo(messages[decision])
