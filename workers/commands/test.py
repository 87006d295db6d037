"""`beckon test`: whether a message gets through, from its trigger to the sandbox."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click

from workers.terminal import actor, connected, in_workspace, named, printable, show_json, span, workspace_id
from workers.terminal import as_json as json_option


@click.command()
@in_workspace
@click.option("--patience", default=30.0, show_default=True, help="Seconds to wait for all stages.")
@json_option
def command(workspace: str, patience: float, as_json: bool) -> None:
    """Send one test message through the running copy, and verify every stage on its way.

    Makes a workflow and a contact for it, executes it through the real queue, asks the sandbox what it received, and
    takes all of it back. Nothing can reach a real provider. The code is 1 when a step fails.
    """
    with connected() as told:
        from tasks import test_runs

        verdicts = test_runs.run(told, workspace_id(workspace), actor(), patience)
        found = list(verdicts if as_json else _shown(verdicts))
    failed = any(one.status == "failed" for one in found)
    if as_json:
        run = {"status": "failed" if failed else "passed", "steps": [named(asdict(one)) for one in found]}
        show_json({"testRun": {**run, "cleanedUp": found[-1].name == "cleanup"}})
    else:
        click.secho(
            "The test failed." if failed else "A message gets through.", bold=True, fg="red" if failed else "green"
        )
    sys.exit(1 if failed else 0)


def _shown(verdicts: Iterator[Any]) -> Iterator[Any]:
    for one in verdicts:
        word = "ok" if one.status == "passed" else "FAILED"
        line = f"  {word:<8}{one.name:<15}{span(one.duration_ms / 1000):>8}  {printable(one.detail)}"
        click.secho(line, fg="red" if one.status == "failed" else None)
        yield one
