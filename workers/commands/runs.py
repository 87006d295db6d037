"""`beckon runs`: maintain the counters of runs and executions."""

from __future__ import annotations

import click

from workers.console import as_json as json_option
from workers.console import connect, show_json


@click.group()
def command() -> None:
    """Maintain the counters of runs and executions."""


@command.command()
@json_option
def backfill(as_json: bool) -> None:
    """Rebuild every automation's counters of runs and executions from its history.

    A counter is the archived number plus the rows in the tables, executions of playbooks included. The command is safe
    to repeat and on a running system: what finishes meanwhile is counted a moment later. Use it after an upgrade, a
    restore or manual changes of the database; `beckon verify` reports whether it is needed.
    """
    with connect():
        from models.checks import execution_counters
        from models.engine import runs

        rebuilt = runs.rebuild_counters()
        execution_counters.rebuild()
    if as_json:
        show_json({"automations": rebuilt})
        return
    click.echo(f"Counters of {rebuilt} automation{'' if rebuilt == 1 else 's'} rebuilt.")
