"""`beckon retry`: retry failed executions."""

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
@click.option("--all", "everything", is_flag=True, help="Retry every failed execution of the workspace.")
@click.option("--current-version", is_flag=True, help="Continue on the published version, where that is possible.")
@click.option("--dry-run", is_flag=True, help="Only count the executions that would be retried.")
@json_option
def command(
    execution_id: str | None,
    workspace: str,
    everything: bool,
    current_version: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Retry the failed execution ID, or all failed executions that match the filters, from the failed step.

    Finished steps are not repeated. Messages with an unknown outcome are not retried: use `beckon resolve`.
    """
    filtered = any(value is not None for value in options.values())
    if (execution_id is not None) + filtered + everything != 1:
        raise click.UsageError("Specify an execution ID, filters, or --all.")
    if execution_id is not None and dry_run:
        raise click.UsageError("--dry-run requires filters or --all.")
    filters = build_filters(options)
    with connect():
        from tasks.operators import actions as operator_actions
        from tasks.operators import bulk

        workspace_id = find_workspace_id(workspace)
        version: Any = "current" if current_version else "original"
        if execution_id is not None:
            operator_actions.retry_execution(workspace_id, execution_id, current_actor(), version)
            result: dict[str, Any] = {"matched": 1, "retried": 1}
        else:
            result = bulk.act_on_matching(workspace_id, "retry", filters, current_actor(), dry_run, version)
    if as_json:
        show_json(result)
    elif dry_run:
        click.echo(f"{result['matched']} would be retried.")
    elif result.get("status") == "running":
        click.echo(f"{result['matched']} are being retried, by operation {result['operationId']}.")
    else:
        click.echo(f"{result['retried']} retried.")
