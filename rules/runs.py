"""What counts as a run: the first of these actions in an execution, once for a contact and automation in an hour.

The hour is kept in the database (`models/engine/runs.py`), where it is exact under racing workers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

from rules.actions import ACTIONS, RunKind

KINDS: tuple[RunKind, ...] = get_args(RunKind)
#: Another run of the same contact and automation counts from this long after the last that counted.
WINDOW_SECONDS = 3600


def find_run_kind(action: str, with_: Mapping[str, object]) -> RunKind | None:
    """As which kind a step's success counts, if it is the execution's first that does; None for all other steps.

    Notices and webhooks are not written to the contact, so they are none.
    """
    if action == "send_message" and with_.get("as") == "private_reply":
        return "opening_dm"
    return ACTIONS[action].run_kind if action in ACTIONS else None


def build_hourly_counts(current_hour: int, counts: Sequence[int], newest_hour: int | None) -> list[int]:
    """Runs in each of 24 hours, the oldest first and the `present` one last. `hours` are the counters of an automation:
    the newest first, which is the hour `newest` (hours since 1970; None where there was no run)."""
    offset = 0 if newest_hour is None else current_hour - newest_hour
    return [counts[index - offset] if 0 <= index - offset < len(counts) else 0 for index in reversed(range(24))]
