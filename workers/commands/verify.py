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

    Work that waits for over a minute is reported as late: no row is wrong, and it ends once work goes on.
    """
    with connect():
        from models.checks import verification

        findings = verification.verify(find_workspace_id(workspace) if workspace else None)
        results = list(findings) if as_json else [_show(finding) for finding in _show_progress(findings)]
    broken = [finding for finding in results if finding.is_violated]
    if as_json:
        show_json(
            {
                "ok": not broken,
                "invariants": [_to_json(finding) for finding in results],
            }
        )
    else:
        click.secho(_build_verdict(results, len(broken)), bold=True, fg="red" if broken else "green")
    sys.exit(1 if broken else 0)


def _to_json(finding: Any) -> dict[str, Any]:
    fields = to_api_names(asdict(finding))
    del fields["isLateness"]
    return {**fields, "holds": not finding.is_violated, "late": finding.is_late}


def _build_verdict(results: list[Any], broken: int) -> str:
    if broken:
        return f"{broken} of {len(results)} invariants are violated."
    late = sum(finding.is_late for finding in results)
    remedy = " Work is late: `beckon status` and Health say what holds it up." if late else ""
    return f"All {len(results)} invariants hold.{remedy}"


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
    mark, colour = ("late  ", "yellow") if finding.is_late else ("BROKEN", "red")
    click.secho(f"  {mark}  {finding.name:<22} {finding.promise}{duration}", fg=colour)
    more = (
        f" and {finding.violations - len(finding.examples)} more" if finding.violations > len(finding.examples) else ""
    )
    noun = "late" if finding.is_late else "violations"
    click.echo(f"          {finding.violations} {noun}: {', '.join(finding.examples)}{more}")
    return finding
