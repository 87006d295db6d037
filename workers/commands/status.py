"""`beckon status`: the programs that run on this home."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import replace

import click

import settings
from rules.json_text import dump_json
from workers import home, outages, startup, supervision
from workers.supervision import Program


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
    reasons = (*readiness.reasons, *map(outages.describe_idle, idle))
    is_degraded = bool(idle) and readiness.status in ("ok", "degraded")
    readiness = replace(readiness, status="degraded" if is_degraded else readiness.status, reasons=reasons)
    ready = readiness.status == "ok"
    if as_json:
        since = {**readiness.since, **{program.name: _write_time(program) for program in idle if program.since}}
        answer = {"running": pid is not None, "ready": ready, "status": readiness.status, "pid": pid, "url": config.url,
                  "reasons": list(readiness.reasons), "since": since}  # fmt: skip
        rows = [{**dataclasses.asdict(program), "since": _write_time(program)} for program in programs]
        click.echo(dump_json(answer | {"programs": rows}))
    else:
        click.echo(f"{_describe(readiness.status, pid)}  {config.url}  {config.home}")
        for reason in readiness.describe_reasons():
            click.echo(f"  {reason}")
        for program in programs:
            words = f"since {program.since_at:%Y-%m-%d %H:%M:%S} UTC" if program.since_at else ""
            click.echo(f"  {program.name:<16} {program.state.lower():<10} {program.pid or '':<8} {words}".rstrip())
    sys.exit(0 if ready else 1)


def _write_time(program: Program) -> str | None:
    return f"{program.since_at:%Y-%m-%dT%H:%M:%SZ}" if program.since_at else None


def _describe(status: str, pid: int | None) -> str:
    if pid is None:
        return "not running"
    return {"ok": "ready", "unreachable": "starting"}.get(status, status)
