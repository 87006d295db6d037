"""Reads the logs of this home for `beckon doctor --deployment`: tracked runs, tracking failures and other errors."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import clock
from rules.json_text import load_json
from settings import Settings
from workers.diagnostics import Check

#: Bytes that are read from the end of each log.
_TAIL_BYTES = 4_000_000


def check_tracking(settings: Settings, run_count: int) -> Check:
    """Check that the logs show tracked runs (of `run_count` in the last 24 hours) and no failure in the last hour."""
    tracking_lines = list(_read_lines(settings, b"[TRACKING]"))
    failed = [line for line in tracking_lines if line.get("level") in ("warning", "error") and _is_recent(line)]
    if failed:
        detail = f"{len(failed)} failures in the last hour, the last: {failed[-1].get('error', failed[-1]['event'])}"
        return Check("log lines", "problem", detail, "fix the cause; the runs are counted afterwards")
    tracked = sum(line["event"].startswith("[TRACKING] Automation run tracked") for line in tracking_lines)
    if run_count and not tracked:
        detail = f"{run_count} runs in the last 24 hours, but no [TRACKING] line in {settings.home}/logs"
        return Check(
            "log lines", "note", detail, "check where the workers log to; BECKON_LOG_LEVEL must be INFO or DEBUG"
        )
    return Check("log lines", "ok", f"{tracked} runs and {len(tracking_lines) - tracked} duplicates in the newest logs")


def check_errors(settings: Settings) -> Check:
    """Check that no program logged an error in the last hour."""
    error_lines = [
        line
        for line in _read_lines(settings, b'"error"')
        # A failed execution is no failure of Beckon: the page Failures counts these.
        if line.get("level") in ("error", "critical") and line["event"] != "execution failed"
    ]
    recent = [line for line in error_lines if _is_recent(line)]
    if not recent:
        return Check("errors", "ok", "none in the logs of the last hour")
    last = recent[-1]
    detail = f"{len(recent)} in the last hour, the last by {last.get('program', 'a program')}: {last['event']}"
    return Check("errors", "problem", detail, f'search {settings.home}/logs for "level": "error"')


def _read_lines(settings: Settings, marker: bytes) -> Iterator[dict[str, Any]]:
    for file in sorted(Path(settings.home, "logs").glob("*.log")):
        with open(file, "rb") as log:
            log.seek(max(0, file.stat().st_size - _TAIL_BYTES))
            for line in log:
                if marker not in line:
                    continue
                try:
                    entry = load_json(line)
                except ValueError:
                    # The first line read may be cut off, and other programs may write lines that are not JSON.
                    continue
                if isinstance(entry, dict) and "event" in entry:
                    yield entry


def _is_recent(line: dict[str, Any]) -> bool:
    try:
        at = datetime.fromisoformat(str(line["timestamp"])).astimezone(UTC)
    except (KeyError, ValueError):
        return False
    return clock.shift(at) > clock.now() - timedelta(hours=1)
