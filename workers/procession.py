"""Many executions side by side in the terminal: who enters which stage, as it happens, and what became of them all."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC
from typing import Any

import click

from workers import story
from workers.terminal import printable

_COLOURS = {"completed": "green", "sent": "green", "failed": "red", "skipped": "yellow"}


def follow(workspace_id: str, execution_ids: Sequence[str], patience_seconds: float) -> bool:
    """Print each move of each execution until all of them rest, then the sum; whether they did within the patience."""
    deadline = time.monotonic() + patience_seconds
    told: dict[str, int] = dict.fromkeys(execution_ids, 0)
    moving = list(execution_ids)
    ended: list[dict[str, Any]] = []
    while moving and time.monotonic() < deadline:
        seen = [story.read(workspace_id, one) for one in moving]
        _print_new(seen, told)
        ended += [one for one in seen if story.rests(one)]
        moving = [one["id"] for one in seen if not story.rests(one)]
        time.sleep(story.LOOK_EVERY_SECONDS if moving else 0)
    click.secho(f"Result: {result(ended)}", bold=True)
    if moving:
        click.echo(f"{len(moving)} still on their way: is every worker running? `beckon doctor` knows.")
    return not moving


def _print_new(seen: Sequence[dict[str, Any]], told: dict[str, int]) -> None:
    moves = []
    for detail in seen:
        moves += [(stage["entered_at"], detail, stage) for stage in detail["stages"][told[detail["id"]] :]]
        told[detail["id"]] = len(detail["stages"])
    for at, detail, stage in sorted(moves, key=lambda move: move[0]):
        line = f"{at.astimezone(UTC):%H:%M:%S}  {printable(detail['contact_name'] or ''):<16} {stage['stage']}"
        click.secho(line + _why(detail, stage["stage"]), fg=_COLOURS.get(stage["stage"]))


def _why(detail: dict[str, Any], stage: str) -> str:
    if stage == "skipped" and detail["skipped_because"]:
        return f": {printable((detail['skipped_because']['detail'] or {}).get('words') or '')}"
    if stage == "failed" and detail["error"]:
        return f": {printable(detail['error']['message'] or '')}"
    return ""


def result(ended: Sequence[dict[str, Any]]) -> str:
    """What became of them, in the words of the source document: "10 sent, 5 skipped, 0 failed"."""
    became = Counter(one["status"] if one["status"] in ("skipped", "failed") else "sent" for one in ended)
    return f"{became['sent']} sent, {became['skipped']} skipped, {became['failed']} failed"
