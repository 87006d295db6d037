"""`beckon prepare`: the part of a start between the servers and the programs; `beckon up` runs it."""

from __future__ import annotations

import click

import logs
import settings
from rules.json_text import dump_json
from workers.console import connect, current_actor


@click.command(hidden=True)
@click.option("--paused", is_flag=True, help="Pause every send.")
def command(paused: bool) -> None:
    """Check the servers, migrate, create the demo workspace, write access.json and print it."""
    from workers import preflight

    # Standard output has the result alone.
    logs.set_up("command", "ERROR")
    access = preflight.prepare(settings.load())
    if paused:
        _pause_sends()
    click.echo(dump_json(access))


def _pause_sends() -> None:
    with connect():
        from tasks.operators import restores

        restores.pause_sends(current_actor())
