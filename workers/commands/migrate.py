"""`beckon migrate`: bring the database to this version."""

from __future__ import annotations

import json

import click

import settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the applied migrations as JSON.")
def command(as_json: bool) -> None:
    """Apply the migrations that the database has not seen."""
    from workers import preparation

    applied = preparation.migrate(settings.load())
    if as_json:
        click.echo(json.dumps({"applied": applied}))
        return
    click.echo("\n".join(f"applied {name}" for name in applied) or "The database is up to date.")
