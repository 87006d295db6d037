"""`beckon cancel`: cancel an execution in flight."""

from __future__ import annotations

import click

from workers.console import connect, current_actor, find_workspace_id, in_workspace


@click.command()
@click.argument("execution_id", metavar="ID")
@in_workspace
def command(execution_id: str, workspace: str) -> None:
    """Cancel the execution ID at its current stage. A cancelled execution cannot be retried.

    Sent messages stay sent. The outcome of a message that is being sent becomes unknown.
    """
    with connect():
        from tasks.operators import actions as operator_actions

        operator_actions.cancel_execution(find_workspace_id(workspace), execution_id, current_actor())
    click.echo("The execution is cancelled.")
