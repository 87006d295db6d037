"""A snapshot of the monitor: its types, and how it is built from the row of a statement.

`models.reports.monitor` has the statement for the present, `models.reports.monitor_history` the one for the past.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypedDict, cast

from models.database import acting_as
from models.queries import fetch_first
from rules.stages import STAGES, Stage, Status, WaitingFor

#: Contacts in one snapshot at most, and the failed ones listed however many others are in flight.
MAX_CONTACTS = 100
MAX_FAILURES = 20
#: The trend of a stage: the number of points, and the minutes of each.
TREND_POINTS = 24
TREND_MINUTES = 15
#: The pace of the backlog is measured since its oldest contact became due, over at least and at most these seconds.
MIN_PACE_SECONDS, MAX_PACE_SECONDS = 10, 600

_PARAMETERS = {
    "most": MAX_CONTACTS, "failures": MAX_FAILURES, "points": TREND_POINTS, "minutes": TREND_MINUTES,
    "pace_least": MIN_PACE_SECONDS, "pace_most": MAX_PACE_SECONDS,
}  # fmt: skip
_TIME_FIELDS = ("stage_since", "due_at", "next_retry_at", "next_check_at", "scheduled_for", "created_at", "finished_at")


class AutomationState(TypedDict):
    """The monitored automation, with its published version."""

    id: str
    name: str
    enabled: bool
    version: int
    paused: bool


class StageSummary(TypedDict):
    """A stage: how many executions are in it, the average seconds until they left it in the last 24 hours, and how many
    entered it, by time from the oldest point to the newest."""

    stage: Stage
    count: int
    average_seconds: float | None
    trend: list[int]


class ContactRow(TypedDict):
    """A contact's execution. It is `silent` if its worker's lease has expired. A past snapshot has None for unknown
    values, and an empty `error_class` if a retry has removed it."""

    execution_id: str
    contact_id: str | None
    test: bool
    demo: bool
    status: Status | None
    stage: Stage
    name: str | None
    stage_since: datetime
    created_at: datetime
    finished_at: datetime | None
    due_at: datetime | None
    waiting_for: WaitingFor | None
    wait_event: str | None
    attempt: int
    next_retry_at: datetime | None
    execution_time_ms: int | None
    error_class: str | None
    error_message: str | None
    skipped_rule: str | None
    skipped_detail: dict[str, Any] | None
    message: str | None
    channel: str | None
    generation_ms: int | None
    scheduled_for: datetime | None
    next_check_at: datetime | None
    round: int
    follow_up_count: int
    silent: bool
    follow_up_max: int


class Totals(TypedDict):
    """Executions in flight, and outcomes of the last 24 hours."""

    active: int
    last24_hours: int
    sent: int
    skipped: int
    failed: int
    unknown: int


class SkippedRow(TypedDict):
    """How many executions a rule skipped, with the newest of its texts."""

    rule: str
    count: int
    words: str | None


class Backlog(TypedDict):
    """Executions that are due, the recent rate a minute, the seconds over which it was measured, and the seconds until
    the backlog is empty at that rate: None if nothing moved."""

    count: int
    a_minute: float
    measured_seconds: int
    seconds: float | None


class Snapshot(TypedDict):
    """An automation's contacts at one moment: the ten stages in order, and at most 100 contacts, active ones first."""

    at: datetime
    automation: AutomationState
    stages: list[StageSummary]
    contacts: list[ContactRow]
    totals: Totals
    skipped: list[SkippedRow]
    backlog: Backlog


class _Pace(TypedDict):
    """The recent moves out of the backlog: within `seconds`, and within the most seconds that are measured."""

    seconds: float
    moves: int
    most_moves: int


class _SnapshotRow(TypedDict):
    at: datetime
    automation: AutomationState
    counts: dict[Stage, int]
    averages: dict[Stage, float]
    trends: dict[Stage, dict[str, int]]
    totals: Totals
    skipped: list[SkippedRow]
    backlog: int
    pace: _Pace
    contacts: list[dict[str, Any]]


def fetch(
    workspace_id: str, automation_id: str, test: bool | None, statement: str, **parameters: Any
) -> Snapshot | None:
    """Run a statement of the monitor; return its snapshot, or None if there is no such automation. `test` selects only
    tests (True) or excludes them (False)."""
    scope = {"workspace": workspace_id, "automation": automation_id, "test": test}
    with acting_as(workspace_id):
        row = fetch_first(_SnapshotRow, statement, {**_PARAMETERS, **scope, **parameters})
    if row is None:
        return None
    return {
        "at": row["at"],
        "automation": row["automation"],
        "stages": [_build_stage(stage, row) for stage in STAGES],
        "contacts": [_parse_contact(contact) for contact in row["contacts"]],
        "totals": row["totals"],
        "skipped": row["skipped"],
        "backlog": _build_backlog(row["backlog"], row["pace"]),
    }


def _build_stage(stage: Stage, row: _SnapshotRow) -> StageSummary:
    points = row["trends"].get(stage, {})
    return {
        "stage": stage,
        "count": row["counts"].get(stage, 0),
        "average_seconds": row["averages"].get(stage),
        "trend": [int(points.get(str(point), 0)) for point in range(TREND_POINTS - 1, -1, -1)],
    }


def _parse_contact(contact: dict[str, Any]) -> ContactRow:
    """Return a contact with its times, which PostgreSQL's JSON has as texts."""
    times = {name: datetime.fromisoformat(contact[name]) for name in _TIME_FIELDS if contact[name] is not None}
    return cast(ContactRow, {**contact, **times})


def _build_backlog(count: int, pace: _Pace) -> Backlog:
    moves, seconds = (pace["moves"], pace["seconds"]) if pace["moves"] else (pace["most_moves"], MAX_PACE_SECONDS)
    per_minute = 60 * moves / seconds
    return {
        "count": count,
        "a_minute": round(per_minute, 2),
        "measured_seconds": round(seconds),
        "seconds": round(60 * count / per_minute, 1) if count and moves else None,
    }
