"""Decides what counts as a run: an execution's first such action, once per contact and automation per hour.

The hour is checked in the database (`models/engine/runs.py`), where it is exact under concurrent workers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

from rules.actions import ACTIONS, RunKind

KINDS: tuple[RunKind, ...] = get_args(RunKind)


def find_run_kind(action: str, with_: Mapping[str, object]) -> RunKind | None:
    """Return the kind of run of a step that succeeds as the execution's first of these; None for other actions.

    Notices and webhooks do not go to the contact, so they are not runs.
    """
    if action == "send_message" and with_.get("as") == "private_reply":
        return "opening_dm"
    return ACTIONS[action].run_kind if action in ACTIONS else None


def build_hourly_counts(current_hour: int, counts: Sequence[int], newest_hour: int | None) -> list[int]:
    """Return the runs in each of 24 hours, the oldest first and `current_hour` last.

    `counts` are an automation's counters, the newest first; `newest_hour` is the hour of the first one (hours since
    1970; None without runs).
    """
    offset = 0 if newest_hour is None else current_hour - newest_hour
    return [counts[index - offset] if 0 <= index - offset < len(counts) else 0 for index in reversed(range(24))]
