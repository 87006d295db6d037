"""`beckon down`: stop the copy that runs on this home."""

from __future__ import annotations

import click

import settings
from workers import startup


@click.command()
def command() -> None:
    """Stop Beckon cleanly, within 30 seconds."""
    config = settings.load()
    stopped = startup.down(config)
    click.echo("Beckon has stopped." if stopped else f"Beckon is not running in {config.home}.")
