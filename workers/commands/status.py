"""`beckon status`: the programs that run on this home."""

from __future__ import annotations

import dataclasses
import sys

import click

import settings
from rules.json_text import dump_json
from workers import home, startup, supervision


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """Show every program and whether Beckon is ready. The exit code is 0 if it is ready."""
    config = settings.load()
    pid = home.find_running_pid(config.home)
    ready = pid is not None and startup.is_ready(config)
    try:
        programs = supervision.Remote(config.run).list_programs() if pid else []
    except supervision.UNREACHABLE:
        programs = []
    if as_json:
        status = {"running": pid is not None, "ready": ready, "pid": pid, "url": config.url}
        click.echo(dump_json(status | {"programs": [dataclasses.asdict(program) for program in programs]}))
    else:
        click.echo(f"{'ready' if ready else 'starting' if pid else 'not running'}  {config.url}  {config.home}")
        for program in programs:
            click.echo(f"  {program.name:<16} {program.state.lower():<10} {program.pid or ''}")
    sys.exit(0 if ready else 1)
