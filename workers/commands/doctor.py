"""`beckon doctor`: explains every setting, checks every part, and reports each problem with its remedy."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

import click

import logs
import settings
from workers.console import as_json as json_option
from workers.console import sanitize_text, show_json, to_api_names

_MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "problem": ("PROBLEM", "red")}


@click.command()
@click.option("--settings/--no-settings", "with_settings", default=True, help="Explain every setting.")
@click.option("--deployment", is_flag=True, help="Check the deployment of run tracking instead.")
@json_option
def command(with_settings: bool, deployment: bool, as_json: bool) -> None:
    """Check the configuration and every part of Beckon, and print a remedy for each problem.

    Checks the settings, PostgreSQL, Redis, the roles, the migrations, and every part of the Health page by the same
    measurement. Secrets are never shown, only whether they are set. The exit code is 1 if there is a problem.

    --deployment runs the checks of docs/deployment.md: the API's response, the page, run records and their volume, log
    lines, errors, counters, duplicates, indexes, query times and retention.
    """
    from workers import deployment as checklist
    from workers import diagnostics, home

    config = home.use_running_port(settings.load())
    logs.set_up("command", "ERROR")
    descriptions = diagnostics.describe_settings(config) if with_settings and not deployment else []
    if not as_json:
        _show_settings(descriptions)
    checks = []
    for check in checklist.run_checks(config) if deployment else diagnostics.run_checks(config):
        checks.append(check)
        if not as_json:
            _show_check(check, "pass" if deployment else "ok")
    problems = [check for check in checks if check.status == "problem"]
    if as_json:
        show_json({
            "ok": not problems,
            "settings": [to_api_names(asdict(description)) for description in descriptions],
            "checks": [to_api_names(asdict(check)) for check in checks],
        })  # fmt: skip
    else:
        summary = "1 problem." if len(problems) == 1 else f"{len(problems)} problems."
        click.secho(summary if problems else "No problems.", bold=True, fg="red" if problems else "green")
    sys.exit(1 if problems else 0)


def _show_settings(descriptions: list[Any]) -> None:
    width = max((len(description.name) for description in descriptions), default=0)
    for description in descriptions:
        blocks = f" Without it: no {description.blocks}." if description.blocks else ""
        default_mark = "" if description.is_set else "  (default)"
        click.echo(f"{description.name:<{width}}  {sanitize_text(description.value)}{default_mark}")
        click.secho(f"{'':<{width}}    {description.explanation}{blocks}", dim=True)
    if descriptions:
        click.echo()


def _show_check(check: Any, ok_label: str) -> None:
    mark, colour = _MARKS[check.status]
    label = ok_label if check.status == "ok" else mark
    click.secho(f"  {label:<8}{check.name:<18} {sanitize_text(check.detail)}", fg=colour if mark != "ok" else None)
    if check.remedy:
        click.echo(f"{'':<29}→ {check.remedy}")
