"""`beckon restart`: new processes for the programs of a running copy."""

from __future__ import annotations

import click

import settings
from workers.console import CommandError

#: As `workers.restart` has them, which takes a second to import.
PROGRAMS = ("sandbox", "engine", "tracking", "scheduler", "dashboard")


@click.command()
@click.argument("program", type=click.Choice(PROGRAMS), required=False)
def command(program: str | None) -> None:
    """Restart PROGRAM, or all programs one after the other, with the code that is on disk.

    No request is lost: the port stays open, requests in progress finish, and a worker's executions continue in its
    next process. The sandbox forgets its messages.

    Settings stay those of the start. Nothing is restarted if the code does not load, or needs a migration that is not
    applied.
    """
    from workers import restart, supervision

    config = settings.load()
    try:
        for name in restart.restart(config, (program,) if program else restart.PROGRAMS):
            click.echo(f"restarted {name}")
    except supervision.UNREACHABLE as error:
        raise CommandError(f"supervisord does not answer: {error}; see {config.home}/logs/supervisord.log") from error
