"""`beckon cancel`: end an execution that is in flight."""

from __future__ import annotations

import click

from workers.console import connect, current_actor, find_workspace_id, in_workspace


@click.command()
@click.argument("execution_id", metavar="ID")
@in_workspace
def command(execution_id: str, workspace: str) -> None:
    """End the execution ID for good, wherever it stands.

    What was sent stays sent. A message that is being sent at this moment is held as of unknown outcome.
    """
    with connect():
        from tasks.operators import actions as operator_actions

        operator_actions.cancel_execution(find_workspace_id(workspace), execution_id, current_actor())
    click.echo("The execution is cancelled.")
