"""`beckon down`: stop the copy that runs on this home."""

from __future__ import annotations

import click

import settings
from workers import starting


@click.command()
def command() -> None:
    """Stop Beckon cleanly, within 30 seconds."""
    told = settings.load()
    stopped = starting.down(told)
    click.echo("Beckon has stopped." if stopped else f"Nothing runs in {told.home}.")
