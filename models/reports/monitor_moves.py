"""The times at which an automation's executions moved, so that a replay can go from one move to the next."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypedDict

from models.database import acting_as
from models.expressions import now
from models.queries import fetch
from models.reports.monitor_history import MAX_LOOKBACK
from models.tables import Execution, StageHistory

#: Moves in one answer at most, the newest.
MAX_MOVES = 1000


class _Move(TypedDict):
    at: datetime


def list_times(workspace_id: str, automation_id: str, *, test: bool | None = None) -> list[datetime]:
    """Return the times of the newest `MAX_MOVES` starts and moves between stages of the last six hours, oldest first.

    Moves of the same millisecond are one. `test` selects only tests (True) or excludes them (False).
    """
    since = now() - MAX_LOOKBACK
    moves = StageHistory.select(StageHistory.entered_at.alias("at")).where(
        StageHistory.workspace_id == workspace_id, StageHistory.automation_id == automation_id,
        StageHistory.entered_at >= since,
    )  # fmt: skip
    starts = Execution.select(Execution.created_at.alias("at")).where(
        Execution.workspace_id == workspace_id, Execution.automation_id == automation_id, Execution.created_at >= since
    )
    if test is not None:
        moves = moves.where(StageHistory.test == test)
        starts = starts.where(Execution.test == test)
    with acting_as(workspace_id):
        rows = fetch(_Move, moves.order_by(StageHistory.entered_at.desc()).limit(MAX_MOVES))
        rows += fetch(_Move, starts.order_by(Execution.id.desc()).limit(MAX_MOVES))
    return sorted({_round_up(row["at"]) for row in rows})[-MAX_MOVES:]


def _round_up(at: datetime) -> datetime:
    """To the next millisecond, the precision of a browser's clock, so that the move has happened by then."""
    return at + timedelta(microseconds=-at.microsecond % 1000)
