"""`beckon prepare`: what lies between the servers and the programs of a start; `beckon up` calls it."""

from __future__ import annotations

import json

import click

import settings


@click.command(hidden=True)
def command() -> None:
    """Check the servers, migrate, make the demo, write access.json and print it."""
    from workers import preflight

    click.echo(json.dumps(preflight.prepare(settings.load())))
