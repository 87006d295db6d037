"""`beckon retry`: let failed executions go on."""

from __future__ import annotations

from typing import Any

import click

from workers.filter_options import filter_options, filters
from workers.terminal import actor, connected, in_workspace, show_json, workspace_id
from workers.terminal import as_json as json_option


@click.command()
@click.argument("execution_id", metavar="[ID]", required=False)
@in_workspace
@filter_options
@click.option("--all", "everything", is_flag=True, help="Every failed execution of the workspace.")
@click.option("--dry-run", is_flag=True, help="Only count what would be retried.")
@json_option
def command(
    execution_id: str | None, workspace: str, everything: bool, dry_run: bool, as_json: bool, **given: Any
) -> None:
    """Let the failed execution ID go on from its failed step, or all that match the filters.

    Finished steps are not repeated. A message whose outcome is unknown is not retried: `beckon resolve` decides it.
    """
    filtered = any(value is not None for value in given.values())
    if (execution_id is not None) + filtered + everything != 1:
        raise click.UsageError("Name one execution, or say which by the filters, or --all.")
    if execution_id is not None and dry_run:
        raise click.UsageError("--dry-run goes with filters.")
    chosen = filters(given)
    with connected():
        from tasks import operators

        found = workspace_id(workspace)
        if execution_id is not None:
            operators.retry_execution(found, execution_id, actor())
            result: dict[str, Any] = {"matched": 1, "retried": 1}
        else:
            result = operators.act_on_matching(found, "retry", chosen, actor(), dry_run)
    if as_json:
        show_json(result)
    elif dry_run:
        click.echo(f"{result['matched']} would be retried.")
    else:
        click.echo(f"{result['retried']} retried.")
