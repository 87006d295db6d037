"""`beckon prepare`: the part of a start between the servers and the programs; `beckon up` runs it."""

from __future__ import annotations

import click

import logs
import settings
from rules.json_text import dump_json


@click.command(hidden=True)
def command() -> None:
    """Check the servers, migrate, create the demo workspace, write access.json and print it."""
    from workers import preflight

    # Standard output has the result alone.
    logs.set_up("command", "ERROR")
    click.echo(dump_json(preflight.prepare(settings.load())))
