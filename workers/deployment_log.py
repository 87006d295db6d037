"""What the logs of this home say of a deployment: what was tracked, what failed in tracking, and every other error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import clock
from settings import Settings
from workers.examination import Check

#: So much of the end of each log is read.
_TAIL_BYTES = 4_000_000


def tracking(told: Settings, counted: int) -> Check:
    """Whether the logs say what was tracked (`counted` in the last 24 hours), and of no failure in the last hour."""
    said = list(_lines(told, b"[TRACKING]"))
    failed = [line for line in said if line.get("level") in ("warning", "error") and _is_recent(line)]
    if failed:
        words = f"{len(failed)} failures in the last hour, the last: {failed[-1].get('error', failed[-1]['event'])}"
        return Check("log lines", "problem", words, "runs are counted once that is mended")
    tracked = sum(line["event"].startswith("[TRACKING] Automation run tracked") for line in said)
    if counted and not tracked:
        words = f"{counted} runs in the last 24 hours, and no [TRACKING] line in {told.home}/logs"
        return Check(
            "log lines", "note", words, "look where the workers log to; BECKON_LOG_LEVEL must be INFO or DEBUG"
        )
    return Check("log lines", "ok", f"{tracked} runs and {len(said) - tracked} duplicates in the newest logs")


def errors(told: Settings) -> Check:
    """Whether any program logged an error in the last hour."""
    found = [line for line in _lines(told, b'"error"') if line.get("level") in ("error", "critical")]
    recent = [line for line in found if _is_recent(line)]
    if not recent:
        return Check("errors", "ok", "none in the logs of the last hour")
    last = recent[-1]
    words = f"{len(recent)} in the last hour, the last by {last.get('program', 'a program')}: {last['event']}"
    return Check("errors", "problem", words, f'look for "level": "error" in {told.home}/logs')


def _lines(told: Settings, mark: bytes) -> Iterator[dict[str, Any]]:
    for file in sorted(Path(told.home, "logs").glob("*.log")):
        with open(file, "rb") as log:
            log.seek(max(0, file.stat().st_size - _TAIL_BYTES))
            for line in log:
                if mark not in line:
                    continue
                try:
                    found = json.loads(line)
                except ValueError:
                    # Cut off by where the reading began, or not ours.
                    continue
                if isinstance(found, dict) and "event" in found:
                    yield found


def _is_recent(line: dict[str, Any]) -> bool:
    try:
        at = datetime.fromisoformat(str(line["timestamp"])).astimezone(UTC)
    except (KeyError, ValueError):
        return False
    return clock.shifted(at) > clock.now() - timedelta(hours=1)
