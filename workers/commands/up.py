"""`beckon up`: run this copy of Beckon, in the foreground or in the background."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

import settings
from rules.json_text import dump_json
from workers import generated_secrets, startup
from workers.home import StartupError


def _show(home: Path, access: dict[str, Any]) -> None:
    lines = [f"Beckon is ready at {access['url']}"]
    if access.get("email"):
        lines.append(f"  sign in     {access['email']}  {access['password']}")
    lines.append(f"  keys        {home / generated_secrets.ACCESS_FILE}")
    lines.append(f"  logs        {home / 'logs'}")
    click.echo("\n".join(lines))


def _report(descriptor: int, content: dict[str, Any]) -> None:
    with os.fdopen(descriptor, "w", encoding="utf-8") as report:
        report.write(dump_json(content) + "\n")


@click.command()
@click.option("--detach", is_flag=True, help="Run in the background; return when Beckon is ready.")
@click.option("--paused", is_flag=True, help="Pause every send first, after a restore from a backup.")
@click.option("--report", type=int, hidden=True, help="File descriptor of the pipe that receives the outcome.")
def command(detach: bool, paused: bool, report: int | None) -> None:
    """Start Beckon. Ctrl-C or SIGTERM stops it cleanly.

    --paused: triggers are accepted and nothing is sent until an operator resumes it, provider by provider or with
    `beckon restore-check --resume`.
    """
    config = settings.load()
    if detach:
        access = startup.up_detached(config, os.environ, paused=paused)
        _show(config.home, access)
        return click.echo("  stop        make down")
    if report is None:
        click.echo(f"Beckon is starting in {config.home} …")
        startup.up(config, lambda access: _show(config.home, access), paused=paused)
        return click.echo("Beckon has stopped.")
    reported = False

    def report_ready(access: dict[str, Any]) -> None:
        nonlocal reported
        _report(report, access)
        reported = True

    try:
        startup.up(config, report_ready, paused=paused)
    except StartupError as error:
        if not reported:
            _report(report, {"error": str(error)})
        raise
