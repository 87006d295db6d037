"""`beckon up`: run this copy of Beckon, in the foreground or behind."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

import settings
from workers import kept_files, starting
from workers.home import CannotStart


def _show(told_home: Path, access: dict[str, Any]) -> None:
    lines = [f"Beckon is ready at {access['url']}"]
    if access.get("email"):
        lines.append(f"  sign in     {access['email']}  {access['password']}")
    lines.append(f"  keys        {told_home / kept_files.ACCESS}")
    lines.append(f"  logs        {told_home / 'logs'}")
    click.echo("\n".join(lines))


def _report(descriptor: int, content: dict[str, Any]) -> None:
    with os.fdopen(descriptor, "w", encoding="utf-8") as report:
        report.write(json.dumps(content) + "\n")


@click.command()
@click.option("--detach", is_flag=True, help="Return when Beckon is ready, and leave it running.")
@click.option("--report", type=int, hidden=True, help="Descriptor of the pipe to tell the outcome through.")
def command(detach: bool, report: int | None) -> None:
    """Start everything; Ctrl-C or SIGTERM stops it cleanly."""
    told = settings.load()
    if detach:
        access = starting.up_detached(told, os.environ)
        _show(told.home, access)
        return click.echo("  stop        make down")
    if report is None:
        click.echo(f"Beckon is starting in {told.home} …")
        starting.up(told, lambda access: _show(told.home, access))
        return click.echo("Beckon has stopped.")
    reported = False

    def ready(access: dict[str, Any]) -> None:
        nonlocal reported
        _report(report, access)
        reported = True

    try:
        starting.up(told, ready)
    except CannotStart as error:
        if not reported:
            _report(report, {"error": str(error)})
        raise
