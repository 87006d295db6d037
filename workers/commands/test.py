"""`beckon test`: sends a test message from its trigger to the sandbox."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
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
@click.option("--timeout", default=30.0, show_default=True, help="Seconds to wait for all stages.")
@json_option
def command(workspace: str, timeout: float, as_json: bool) -> None:
    """Send one test message through the running copy and verify every stage.

    Creates a workflow and a contact, executes the workflow through the real queue, checks that the sandbox received the
    message, and deletes everything again. Tests only go to the sandbox. The exit code is 1 if a step fails.
    """
    with connect() as settings:
        from tasks.operators import test_runs

        step_results = test_runs.run(settings, find_workspace_id(workspace), current_actor(), timeout)
        results = list(step_results if as_json else _show_each(step_results))
    failed = any(result.status == "failed" for result in results)
    if as_json:
        run = {
            "status": "failed" if failed else "passed",
            "steps": [to_api_names(asdict(result)) for result in results],
        }
        show_json({"testRun": {**run, "cleanedUp": results[-1].name == "cleanup"}})
    else:
        click.secho("The test failed." if failed else "The test passed.", bold=True, fg="red" if failed else "green")
    sys.exit(1 if failed else 0)


def _show_each(step_results: Iterator[Any]) -> Iterator[Any]:
    for result in step_results:
        label = "ok" if result.status == "passed" else "FAILED"
        duration = format_duration(result.duration_ms / 1000)
        line = f"  {label:<8}{result.name:<15}{duration:>8}  {sanitize_text(result.detail)}"
        click.secho(line, fg="red" if result.status == "failed" else None)
        yield result
