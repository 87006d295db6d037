"""`beckon scheduler`: the scheduler process, as supervisord.conf runs it."""

from __future__ import annotations

import click


@click.command()
def command() -> None:
    """Wake what is due, sweep and rescue, until SIGTERM; of several only one leads."""
    from workers import scheduler

    scheduler.run_scheduler()
