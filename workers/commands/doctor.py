"""`beckon doctor`: every setting explained, every part looked at, every problem with its remedy."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

import click

import logs
import settings
from workers.terminal import as_json as json_option
from workers.terminal import named, printable, show_json

_MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "problem": ("PROBLEM", "red")}


@click.command()
@click.option("--settings/--no-settings", "with_settings", default=True, help="Explain every setting, too.")
@click.option("--deployment", is_flag=True, help="Go through the checklist of run tracking instead.")
@json_option
def command(with_settings: bool, deployment: bool, as_json: bool) -> None:
    """Say what is configured and what is wrong, and what to do about it.

    Looks at the settings, PostgreSQL, Redis, the roles, the migrations, the programs and the providers. Of secrets it
    says only whether they are set. The code is 1 when there is a problem.

    --deployment goes through docs/deployment.md: the API's answer, the page, run records and their volume, log lines,
    errors, counters, duplicates, indexes, query times and retention; each passes or says what is wrong.
    """
    from workers import deployment as checklist
    from workers import examination

    told = settings.load()
    logs.set_up("command", "ERROR")
    shown = examination.explained(told) if with_settings and not deployment else []
    if not as_json:
        _show_settings(shown)
    checks = []
    for check in checklist.points(told) if deployment else examination.examine(told):
        checks.append(check)
        if not as_json:
            _show_check(check, "pass" if deployment else "ok")
    problems = [one for one in checks if one.status == "problem"]
    if as_json:
        show_json({
            "ok": not problems,
            "settings": [named(asdict(one)) for one in shown],
            "checks": [named(asdict(one)) for one in checks],
        })  # fmt: skip
    else:
        words = "1 problem." if len(problems) == 1 else f"{len(problems)} problems."
        click.secho(words if problems else "All is well.", bold=True, fg="red" if problems else "green")
    sys.exit(1 if problems else 0)


def _show_settings(shown: list[Any]) -> None:
    width = max((len(one.name) for one in shown), default=0)
    for one in shown:
        blocks = f" Without it: no {one.blocks}." if one.blocks else ""
        click.echo(f"{one.name:<{width}}  {printable(one.value)}{'' if one.is_set else '  (not given)'}")
        click.secho(f"{'':<{width}}    {one.explanation}{blocks}", dim=True)
    if shown:
        click.echo()


def _show_check(check: Any, well: str) -> None:
    word, colour = _MARKS[check.status]
    shown = well if check.status == "ok" else word
    click.secho(f"  {shown:<8}{check.name:<15} {printable(check.detail)}", fg=colour if word != "ok" else None)
    if check.remedy:
        click.echo(f"{'':<26}→ {check.remedy}")
