"""`beckon status`: what runs on this home."""

from __future__ import annotations

import dataclasses
import json
import sys

import click

import settings
from workers import home, starting, supervision


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(as_json: bool) -> None:
    """Show every program and whether Beckon is ready; the code is 0 when it is."""
    told = settings.load()
    pid = home.running_pid(told.home)
    ready = pid is not None and starting.is_ready(told)
    try:
        programs = supervision.Remote(told.run).programs() if pid else []
    except supervision.UNREACHABLE:
        programs = []
    if as_json:
        shown = {"running": pid is not None, "ready": ready, "pid": pid, "url": told.url}
        click.echo(json.dumps(shown | {"programs": [dataclasses.asdict(one) for one in programs]}))
    else:
        click.echo(f"{'ready' if ready else 'starting' if pid else 'not running'}  {told.url}  {told.home}")
        for one in programs:
            click.echo(f"  {one.name:<16} {one.state.lower():<10} {one.pid or ''}")
    sys.exit(0 if ready else 1)
