"""`beckon migrate`: bring the database to this version."""

from __future__ import annotations

import json

import click

import settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
def command(as_json: bool) -> None:
    """Apply the migrations that the database has not seen.

    Says which were applied, the indexes that they made, by name, and what else they did: counters that were
    initialised, for how many automations.
    """
    from workers import preflight

    upgrade = preflight.migrate(settings.load())
    if as_json:
        click.echo(json.dumps({"applied": upgrade.applied, "indexes": upgrade.indexes, "notices": upgrade.notices}))
        return
    lines = [f"applied {name}" for name in upgrade.applied]
    lines += [f"made index {name}" for name in upgrade.indexes] + upgrade.notices
    click.echo("\n".join(lines) or "The database is up to date.")
