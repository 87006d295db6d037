"""`beckon verify`: checks the invariants in the whole database."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import click

from workers.console import as_json as json_option
from workers.console import connect, find_workspace_id, format_duration, show_json, to_api_names


@click.command()
@click.option("--workspace", help="Slug or id of the workspace. Without it: all workspaces.")
@json_option
def command(workspace: str | None, as_json: bool) -> None:
    """Check the invariants of every row.

    Each line is one invariant. All are checked in one snapshot, so the command may run at any time on a running system.
    Violations are counted, and the first ids are listed. The exit code is 1 if an invariant is violated.
    """
    with connect():
        from models.checks import verification

        findings = verification.verify(find_workspace_id(workspace) if workspace else None)
        results = list(findings) if as_json else [_show(finding) for finding in _show_progress(findings)]
    broken = [finding for finding in results if not finding.holds]
    if as_json:
        show_json(
            {
                "ok": not broken,
                "invariants": [{**to_api_names(asdict(finding)), "holds": finding.holds} for finding in results],
            }
        )
    else:
        verdict = (
            f"{len(broken)} of {len(results)} invariants are violated."
            if broken
            else f"All {len(results)} invariants hold."
        )
        click.secho(verdict, bold=True, fg="red" if broken else "green")
    sys.exit(1 if broken else 0)


def _show_progress(findings: Iterable[Any]) -> Iterable[Any]:
    """Yield the findings; in a terminal show a progress line while the next one is awaited."""
    if not sys.stdout.isatty():
        yield from findings
        return
    from rich.console import Console

    with Console().status("checking the first invariant …") as status:
        for number, finding in enumerate(findings, start=1):
            status.update(f"{number} checked, checking the next …")
            yield finding


def _show(finding: Any) -> Any:
    duration = f"  ({format_duration(finding.duration_ms / 1000)})" if finding.duration_ms >= 1000 else ""
    if finding.holds:
        click.echo(f"  ok      {finding.name:<22} {finding.promise}{duration}")
        return finding
    click.secho(f"  BROKEN  {finding.name:<22} {finding.promise}{duration}", fg="red")
    more = (
        f" and {finding.violations - len(finding.examples)} more" if finding.violations > len(finding.examples) else ""
    )
    click.echo(f"          {finding.violations} violations: {', '.join(finding.examples)}{more}")
    return finding
