"""`beckon test`: executes three test workflows through the real queues and verifies them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import click

from workers.console import as_json as json_option
from workers.console import (
    connect,
    current_actor,
    find_workspace_id,
    format_duration,
    in_workspace,
    sanitize_text,
    show_json,
    to_api_names,
)


@click.command()
@in_workspace
@click.option("--timeout", default=20.0, show_default=True, help="Seconds to wait for each step.")
@json_option
def command(workspace: str, timeout: float, as_json: bool) -> None:
    """Execute three test workflows through the running copy and verify each stage, time and record.

    Creates workflows with every action and sample contacts, executes them through the real queues in the sandbox,
    retries a refused message, and deletes everything again. No real provider is called. The exit code is 1 if a step
    fails.
    """
    with connect() as settings:
        from models import test_run
        from tasks.operators import test_runs

        workspace_id = find_workspace_id(workspace)
        run_id = test_runs.start(settings, workspace_id, current_actor())
        results = test_runs.execute(settings, workspace_id, run_id, timeout)
        for _ in results if as_json else _show_each(results):
            pass
        run = test_run.find(workspace_id, run_id)
        assert run is not None
    if as_json:
        steps = [to_api_names(step) for step in run["steps"]]
        show_json({"testRun": {"id": run_id, "status": run["status"], "steps": steps, "cleanedUp": run["cleaned_up"]}})
    else:
        passed = run["status"] == "passed"
        click.secho(f"The test {run['status']}.", bold=True, fg="green" if passed else "red")
    sys.exit(0 if run["status"] == "passed" else 1)


def _show_each(steps: Iterator[Any]) -> Iterator[Any]:
    for step in steps:
        label = "ok" if step["status"] == "passed" else "FAILED"
        duration = format_duration((step["duration_ms"] or 0) / 1000)
        line = f"  {label:<8}{step['name']:<36}{duration:>8}  {sanitize_text(step['detail'])}"
        click.secho(line, fg="red" if step["status"] == "failed" else None)
        yield step
