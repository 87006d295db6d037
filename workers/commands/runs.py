"""`beckon runs`: maintain the run counters."""

from __future__ import annotations

import click

from workers.console import as_json as json_option
from workers.console import connect, show_json


@click.group()
def command() -> None:
    """Maintain the run counters."""


@command.command()
@json_option
def backfill(as_json: bool) -> None:
    """Rebuild every automation's run counters from its history.

    A counter is the number of archived runs plus the runs in the table. The command is safe to repeat and on a running
    system: runs that finish meanwhile are counted a moment later. Use it after an upgrade, a restore or manual changes
    of the database; `beckon verify` reports whether it is needed.
    """
    with connect():
        from models.engine import runs

        rebuilt = runs.rebuild_counters()
    if as_json:
        show_json({"automations": rebuilt})
        return
    click.echo(f"Run counters of {rebuilt} automation{'' if rebuilt == 1 else 's'} rebuilt.")
