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
from typing import Any

from psycopg2.extras import Json

from models.database import (
    CONNECTION_ERRORS,
    Row,
    connection,
    db,
    execute,
    fetch_row,
    fetch_rows,
    open_dedicated_connection,
    transaction,
)

#: Key of the advisory lock: any number that nothing else on the server uses.
ADVISORY_LOCK_KEY = 7_223_017
#: How often the leader renews its row.
HEARTBEAT_SECONDS = 2.0


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
                db.execute_bound(
                    cursor,
                    "insert into leadership (one, host, pid, since, seen_at) "
                    "values (true, %s, %s, beckon_now(), beckon_now()) on conflict (one) do update set "
                    "since = case when (leadership.host, leadership.pid) = (excluded.host, excluded.pid) "
                    "then leadership.since else excluded.since end, "
                    "host = excluded.host, pid = excluded.pid, seen_at = excluded.seen_at",
                    (socket.gethostname(), os.getpid()),
                )
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
            db.execute_bound(cursor, "select pg_try_advisory_lock(%s)", (ADVISORY_LOCK_KEY,))
            is_acquired = cursor.fetchone()[0]
        yield Leader(holder) if is_acquired else None
    finally:
        holder.close()


def fetch_leader() -> Row | None:
    """Return the leader's host, pid, since and seen_at; None if it was not seen for ten seconds."""
    with connection():
        return fetch_row(
            "select host, pid, since, seen_at from leadership where seen_at > beckon_now() - interval '10 seconds'"
        )


def note_success(name: str, counts: Mapping[str, int]) -> None:
    """Record a successful run of a periodic job and its counts."""
    with transaction():
        execute(
            """
            insert into periodic_jobs (name, last_succeeded_at, counts) values (%s, beckon_now(), %s)
            on conflict (name) do update set last_succeeded_at = excluded.last_succeeded_at, counts = excluded.counts,
                last_error = null
            """,
            (name, Json(dict(counts))),
        )


def note_failure(name: str, error: str) -> None:
    """Record a failed run of a periodic job."""
    with transaction():
        execute(
            """
            insert into periodic_jobs (name, last_failed_at, last_error) values (%s, beckon_now(), %s)
            on conflict (name) do update set last_failed_at = excluded.last_failed_at, last_error = excluded.last_error
            """,
            (name, error),
        )


def fetch_last_successes() -> dict[str, datetime]:
    """Return when each periodic job last succeeded, by name."""
    with connection():
        return {row["name"]: row["last_succeeded_at"] for row in fetch_rows(
            "select name, last_succeeded_at from periodic_jobs where last_succeeded_at is not null")}  # fmt: skip
