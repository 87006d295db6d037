"""`beckon migrate`: upgrade the database to this version."""

from __future__ import annotations

import json

import click

import settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(as_json: bool) -> None:
    """Apply the pending migrations.

    Prints the applied migrations, the indexes that they created, and their notices, such as for how many automations
    the counters were initialised.
    """
    from workers import preflight

    upgrade = preflight.migrate(settings.load())
    if as_json:
        click.echo(json.dumps({"applied": upgrade.applied, "indexes": upgrade.indexes, "notices": upgrade.notices}))
        return
    lines = [f"applied {name}" for name in upgrade.applied]
    lines += [f"created index {name}" for name in upgrade.indexes] + upgrade.notices
    click.echo("\n".join(lines) or "The database is up to date.")
