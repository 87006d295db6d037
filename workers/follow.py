"""Follows many executions side by side in the terminal: prints each stage as it is entered, then the totals."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC

import click

from models.reports.executions import ExecutionDetail
from workers import timeline
from workers.console import sanitize_text

_COLOURS = {"completed": "green", "sent": "green", "failed": "red", "skipped": "yellow"}


def follow(workspace_id: str, execution_ids: Sequence[str], timeout_seconds: float) -> bool:
    """Print every stage of the executions until all have settled, then the totals. Returns False on timeout."""
    deadline = time.monotonic() + timeout_seconds
    printed_counts: dict[str, int] = dict.fromkeys(execution_ids, 0)
    pending = list(execution_ids)
    finished: list[ExecutionDetail] = []
    while pending and time.monotonic() < deadline:
        details = [timeline.read(workspace_id, execution_id) for execution_id in pending]
        _print_new(details, printed_counts)
        finished += [detail for detail in details if timeline.is_settled(detail)]
        pending = [detail["id"] for detail in details if not timeline.is_settled(detail)]
        time.sleep(timeline.POLL_INTERVAL_SECONDS if pending else 0)
    click.secho(f"Result: {format_result(finished)}", bold=True)
    if pending:
        click.echo(f"{len(pending)} still active: is every worker running? Check with `beckon doctor`.")
    return not pending


def _print_new(details: Sequence[ExecutionDetail], printed_counts: dict[str, int]) -> None:
    moves = []
    for detail in details:
        moves += [(stage["entered_at"], detail, stage) for stage in detail["stages"][printed_counts[detail["id"]] :]]
        printed_counts[detail["id"]] = len(detail["stages"])
    for at, detail, stage in sorted(moves, key=lambda move: move[0]):
        line = f"{at.astimezone(UTC):%H:%M:%S}  {sanitize_text(detail['contact_name'] or ''):<16} {stage['stage']}"
        click.secho(line + _format_reason(detail, stage["stage"]), fg=_COLOURS.get(stage["stage"]))


def _format_reason(detail: ExecutionDetail, stage: str) -> str:
    if stage == "skipped" and detail["skipped_because"]:
        return f": {sanitize_text((detail['skipped_because']['detail'] or {}).get('words') or '')}"
    if stage == "failed" and detail["error"]:
        return f": {sanitize_text(detail['error']['message'] or '')}"
    return ""


def format_result(finished: Sequence[ExecutionDetail]) -> str:
    """Format the totals: "10 sent, 5 skipped, 0 failed"."""
    counts = Counter(detail["status"] if detail["status"] in ("skipped", "failed") else "sent" for detail in finished)
    return f"{counts['sent']} sent, {counts['skipped']} skipped, {counts['failed']} failed"
