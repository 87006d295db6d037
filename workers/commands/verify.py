"""`beckon verify`: whether the guarantees hold in the whole database."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import click

from workers.terminal import as_json as json_option
from workers.terminal import connected, named, show_json, span, workspace_id


@click.command()
@click.option("--workspace", help="Slug or id of one workspace; all of them without it.")
@json_option
def command(workspace: str | None, as_json: bool) -> None:
    """Check that what must always be true is true of every row.

    Each line is one invariant, asked of one and the same moment, so it may be run at any time on a living system. What
    breaks one is counted and the first ids are named. The code is 1 when anything is broken.
    """
    with connected():
        from models import verification

        findings = verification.verify(workspace_id(workspace) if workspace else None)
        found = list(findings) if as_json else [_show(one) for one in _counted(findings)]
    broken = [one for one in found if not one.holds]
    if as_json:
        show_json({"ok": not broken, "invariants": [{**named(asdict(one)), "holds": one.holds} for one in found]})
    else:
        verdict = f"{len(broken)} of {len(found)} invariants are broken." if broken else f"All {len(found)} hold."
        click.secho(verdict, bold=True, fg="red" if broken else "green")
    sys.exit(1 if broken else 0)


def _counted(findings: Iterable[Any]) -> Iterable[Any]:
    """The findings, with a moving line under them while one is awaited in a terminal."""
    if not sys.stdout.isatty():
        yield from findings
        return
    from rich.console import Console

    with Console().status("looking at the first invariant …") as status:
        for number, finding in enumerate(findings, start=1):
            status.update(f"{number} looked at, the next one …")
            yield finding


def _show(one: Any) -> Any:
    took = f"  ({span(one.duration_ms / 1000)})" if one.duration_ms >= 1000 else ""
    if one.holds:
        click.echo(f"  ok      {one.name:<22} {one.promise}{took}")
        return one
    click.secho(f"  BROKEN  {one.name:<22} {one.promise}{took}", fg="red")
    more = f" and {one.violations - len(one.examples)} more" if one.violations > len(one.examples) else ""
    click.echo(f"          {one.violations} broken: {', '.join(one.examples)}{more}")
    return one
