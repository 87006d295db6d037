"""`beckon worker`: one worker process, as supervisord.conf runs it."""

from __future__ import annotations

import click

PROGRAMS = ("executions", "generation", "sending", "tracking")


@click.command()
@click.argument("program", type=click.Choice(PROGRAMS))
def command(program: str) -> None:
    """Process the queues of PROGRAM until SIGTERM."""
    from workers import worker_process

    worker_process.run_worker(program)
