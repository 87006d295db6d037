"""`beckon scheduler`: the scheduler process, as supervisord.conf runs it."""

from __future__ import annotations

import click


@click.command()
def command() -> None:
    """Run the periodic jobs until SIGTERM. Of several schedulers only one leads."""
    from workers import scheduler

    scheduler.run_scheduler()
