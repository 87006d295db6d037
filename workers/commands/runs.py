"""`beckon runs`: what looks after the counters of runs."""

from __future__ import annotations

import click

from workers.console import as_json as json_option
from workers.console import connect, show_json


@click.group()
def command() -> None:
    """Look after the counters of runs."""


@command.command()
@json_option
def backfill(as_json: bool) -> None:
    """Rebuild every automation's run counters from its history.

    A counter is what retention has archived plus the runs that are there. Safe on a living system and to repeat:
    whoever wants to count meanwhile does so a moment later. For databases that were upgraded, restored or changed by
    hand; `beckon verify` says whether it is needed.
    """
    with connect():
        from models.engine import runs

        rebuilt = runs.rebuild_counters()
    if as_json:
        show_json({"automations": rebuilt})
        return
    click.echo(f"Run counters of {rebuilt} automation{'' if rebuilt == 1 else 's'} rebuilt.")
