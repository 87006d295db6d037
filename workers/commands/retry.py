"""`beckon retry`: let failed executions go on."""

from __future__ import annotations

from typing import Any

import click

from workers.console import as_json as json_option
from workers.console import connect, current_actor, find_workspace_id, in_workspace, show_json
from workers.filter_options import build_filters, filter_options


@click.command()
@click.argument("execution_id", metavar="[ID]", required=False)
@in_workspace
@filter_options
@click.option("--all", "everything", is_flag=True, help="Every failed execution of the workspace.")
@click.option("--dry-run", is_flag=True, help="Only count what would be retried.")
@json_option
def command(
    execution_id: str | None, workspace: str, everything: bool, dry_run: bool, as_json: bool, **options: Any
) -> None:
    """Let the failed execution ID go on from its failed step, or all that match the filters.

    Finished steps are not repeated. A message whose outcome is unknown is not retried: `beckon resolve` decides it.
    """
    filtered = any(value is not None for value in options.values())
    if (execution_id is not None) + filtered + everything != 1:
        raise click.UsageError("Name one execution, or say which by the filters, or --all.")
    if execution_id is not None and dry_run:
        raise click.UsageError("--dry-run goes with filters.")
    filters = build_filters(options)
    with connect():
        from tasks.operators import actions as operator_actions

        workspace_id = find_workspace_id(workspace)
        if execution_id is not None:
            operator_actions.retry_execution(workspace_id, execution_id, current_actor())
            result: dict[str, Any] = {"matched": 1, "retried": 1}
        else:
            result = operator_actions.act_on_matching(workspace_id, "retry", filters, current_actor(), dry_run)
    if as_json:
        show_json(result)
    elif dry_run:
        click.echo(f"{result['matched']} would be retried.")
    else:
        click.echo(f"{result['retried']} retried.")
