"""What waits in the tracking intake: of one workspace for Health, of the installation for a metrics scrape."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from peewee import SQL, fn

from models.database import acting_as, connection
from models.expressions import now
from models.queries import call, fetch, fetch_first
from models.tables import TrackingIntake


class TrackingFacts(TypedDict):
    """Accepted executions that are not yet recorded, and for how long the oldest has waited."""

    waiting: int
    oldest_seconds: float


class OwnIntake(TypedDict):
    """A workspace's accepted executions: those that wait, since when the oldest does, and those of the last day that
    could not be recorded."""

    waiting: int
    oldest_at: datetime | None
    failed: int
    failed_at: datetime | None


def fetch_facts() -> TrackingFacts:
    """Return the counts of the installation."""
    with connection():
        row = fetch_first(TrackingFacts, call(fn.tracking_facts(), TrackingFacts))
    assert row is not None
    return row


def fetch_own(workspace_id: str) -> OwnIntake:
    """Return the counts of a workspace."""
    is_waiting = TrackingIntake.failed_at.is_null()
    is_recent = TrackingIntake.failed_at > now() - SQL("interval '24 hours'")
    query = TrackingIntake.select(
        fn.count(SQL("*")).filter(is_waiting).alias("waiting"),
        fn.min(TrackingIntake.received_at).filter(is_waiting).alias("oldest_at"),
        fn.count(SQL("*")).filter(is_recent).alias("failed"),
        fn.max(TrackingIntake.failed_at).filter(is_recent).alias("failed_at"),
    ).where(TrackingIntake.workspace_id == workspace_id)
    with acting_as(workspace_id):
        (row,) = fetch(OwnIntake, query)
    return row
