"""`beckon cancel`: end an execution that is in flight."""

from __future__ import annotations

import click

from workers.terminal import actor, connected, in_workspace, workspace_id


@click.command()
@click.argument("execution_id", metavar="ID")
@in_workspace
def command(execution_id: str, workspace: str) -> None:
    """End the execution ID for good, wherever it stands.

    What was sent stays sent. A message that is being sent at this moment is held as of unknown outcome.
    """
    with connected():
        from tasks import operators

        operators.cancel_execution(workspace_id(workspace), execution_id, actor())
    click.echo("The execution is cancelled.")
