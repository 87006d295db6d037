"""The scheduler's leadership and the results of its periodic jobs.

Leadership is a session-level lock, so the scheduler's connection must be direct, not through a pooler.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypedDict

from peewee import fn

from models.database import CONNECTION_ERRORS, connection, db, open_dedicated_connection, transaction
from models.expressions import build_seconds, now
from models.queries import execute, fetch, fetch_first
from models.tables import Leadership, PeriodicJob

#: Key of the advisory lock: any number that nothing else on the server uses.
ADVISORY_LOCK_KEY = 7_223_017
#: How often the leader renews its row.
HEARTBEAT_SECONDS = 2.0
#: A leader that was not seen for this long leads no more.
STALE_SECONDS = 10.0


# Written by hand: both run on the lock's own connection, outside of peewee's pool.
_RENEW = """
    insert into leadership (one, host, pid, since, seen_at) values (true, %s, %s, beckon_now(), beckon_now())
    on conflict (one) do update set
        since = case when (leadership.host, leadership.pid) = (excluded.host, excluded.pid)
            then leadership.since else excluded.since end,
        host = excluded.host, pid = excluded.pid, seen_at = excluded.seen_at
"""
_TRY_LOCK = "select pg_try_advisory_lock(%s)"


class LeaderRow(TypedDict):
    """The scheduler that leads."""

    host: str
    pid: int
    since: datetime
    seen_at: datetime


class _SuccessRow(TypedDict):
    name: str
    last_succeeded_at: datetime


class Leader:
    """Leadership, held for as long as the lock's connection lives."""

    def __init__(self, lock_holder: Any) -> None:
        self._lock_holder = lock_holder
        self._renewed_at = 0.0

    def renew(self) -> bool:
        """Renew the leader's row on the lock's connection; return whether the lock is still held."""
        if time.monotonic() - self._renewed_at < HEARTBEAT_SECONDS:
            return True
        try:
            with self._lock_holder.cursor() as cursor:
                db.execute_bound(cursor, _RENEW, (socket.gethostname(), os.getpid()))
        except CONNECTION_ERRORS:
            return False
        self._renewed_at = time.monotonic()
        return True


@contextmanager
def try_to_lead() -> Iterator[Leader | None]:
    """Take the leader's lock if it is free, else yield None. The connection serves only the lock."""
    holder = open_dedicated_connection()
    try:
        with holder.cursor() as cursor:
            db.execute_bound(cursor, _TRY_LOCK, (ADVISORY_LOCK_KEY,))
            is_acquired = cursor.fetchone()[0]
        yield Leader(holder) if is_acquired else None
    finally:
        holder.close()


class LastLeaderRow(LeaderRow):
    """The scheduler that led last, and for how long it was not seen."""

    seconds_ago: float


def fetch_leader() -> LeaderRow | None:
    """Return the leader, or None if it was not seen for ten seconds."""
    query = Leadership.select(Leadership.host, Leadership.pid, Leadership.since, Leadership.seen_at)
    with connection():
        return fetch_first(LeaderRow, query.where(Leadership.seen_at > now() - build_seconds(STALE_SECONDS)))


def fetch_last_leader() -> LastLeaderRow | None:
    """Return the scheduler that led last, whether or not it still does; None before the first."""
    seconds_ago = fn.date_part("epoch", now() - Leadership.seen_at).alias("seconds_ago")
    query = Leadership.select(Leadership.host, Leadership.pid, Leadership.since, Leadership.seen_at, seconds_ago)
    with connection():
        return fetch_first(LastLeaderRow, query)


def note_success(name: str, counts: Mapping[str, int]) -> None:
    """Record a successful run of a periodic job and its counts."""
    values = {"last_succeeded_at": now(), "counts": dict(counts)}
    _record(name, values, {**values, "last_error": None})


def note_failure(name: str, error: str) -> None:
    """Record a failed run of a periodic job."""
    values = {"last_failed_at": now(), "last_error": error}
    _record(name, values, values)


def _record(name: str, values: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
    with transaction():
        execute(
            PeriodicJob.insert(name=name, **values).on_conflict(
                conflict_target=[PeriodicJob.name],
                update={getattr(PeriodicJob, column): value for column, value in changes.items()},
            )
        )


def fetch_last_successes() -> dict[str, datetime]:
    """Return when each periodic job last succeeded, by name."""
    query = PeriodicJob.select(PeriodicJob.name, PeriodicJob.last_succeeded_at)
    with connection():
        rows = fetch(_SuccessRow, query.where(PeriodicJob.last_succeeded_at.is_null(False)))
    return {row["name"]: row["last_succeeded_at"] for row in rows}
