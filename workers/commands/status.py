"""`beckon status`: the programs that run on this home."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import replace

import click

import settings
from rules.json_text import dump_json
from workers import home, outages, startup, supervision


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """Show every program and whether Beckon is ready, or why not and since when. The exit code is 0 if it is ready."""
    config = home.use_running_port(settings.load())
    pid = home.find_running_pid(config.home)
    readiness = startup.read_readiness(config) if pid is not None else startup.Readiness("unreachable", ())
    try:
        programs = supervision.Remote(config.run).list_programs() if pid else []
    except supervision.UNREACHABLE:
        programs = []
    idle = outages.list_idle(config, programs)
    if idle and readiness.status in ("ok", "degraded"):
        readiness = replace(readiness, status="degraded", reasons=(*readiness.reasons, *idle))
    elif idle:
        readiness = replace(readiness, reasons=(*readiness.reasons, *idle))
    ready = readiness.status == "ok"
    if as_json:
        status = {"running": pid is not None, "ready": ready, "status": readiness.status, "pid": pid, "url": config.url,
                  "reasons": list(readiness.reasons), "since": dict(readiness.since)}  # fmt: skip
        click.echo(dump_json(status | {"programs": [dataclasses.asdict(program) for program in programs]}))
    else:
        click.echo(f"{_describe(readiness.status, pid)}  {config.url}  {config.home}")
        for reason in readiness.describe_reasons():
            click.echo(f"  {reason}")
        for program in programs:
            click.echo(f"  {program.name:<16} {program.state.lower():<10} {program.pid or ''}")
    sys.exit(0 if ready else 1)


def _describe(status: str, pid: int | None) -> str:
    if pid is None:
        return "not running"
    return {"ok": "ready", "unreachable": "starting"}.get(status, status)
