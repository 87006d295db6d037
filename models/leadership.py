"""Which scheduler leads: a lease, which is one row, with a fencing token. PostgreSQL's clock decides.

                     take: no row, or not renewed for LEASE_SECONDS
        ┌─────────┐ ───────────────────────────────────────────────▶ ┌────────┐ ──┐ renew: every
        │ standby │                                                  │ leader │   │ RENEWAL_SECONDS
        └─────────┘ ◀─────────────────────────────────────────────── └────────┘ ◀─┘
             ▲        release: an orderly end; the next takes at once     │
             │                                                           │ it stands still, its host is lost,
             │                                                           │ or its row is deleted
             │        LeadershipLost: its next transaction is refused    ▼
             │        and rolled back, or its next renewal finds     ┌────────┐
             └────────────────────────────────────────────────────── │  lost  │ another took it: a new token
                                                                     └────────┘

Each takeover writes a new token. Every transaction of a periodic job is fenced with its leader's token
(`models.fencing`), so that a leader which lost the lease without noticing changes nothing. A leader whose lease ended,
but was not taken, renews it and goes on.

No lock outlives a transaction, so a connection pooler may stand between.
"""

from __future__ import annotations

import os
import socket
from datetime import datetime
from typing import Any, TypedDict

from peewee import fn

from models.database import connection, transaction
from models.expressions import build_seconds, now
from models.ids import new_id
from models.queries import execute, fetch_first, fetch_value
from models.tables import Leadership

#: A leader that did not renew for this long may be replaced, and is shown as absent.
LEASE_SECONDS = 10.0
#: How often the leader renews.
RENEWAL_SECONDS = 2.0


class LeaderRow(TypedDict):
    """The scheduler that leads."""

    host: str
    pid: int
    since: datetime
    seen_at: datetime


class LastLeaderRow(LeaderRow):
    """The scheduler that led last, and for how long it was not seen."""

    seconds_ago: float


def take() -> str | None:
    """Take the leadership if nobody has it; return its token, or None while another scheduler leads."""
    lease = {"token": new_id(), "host": socket.gethostname(), "pid": os.getpid(), "since": now(), "seen_at": now()}
    insertion = Leadership.insert(single=True, **lease).on_conflict(
        conflict_target=[Leadership.single],
        update={getattr(Leadership, name): value for name, value in lease.items()},
        where=~_is_current(),
    )
    with transaction():
        token: str | None = fetch_value(insertion.returning(Leadership.token))
    return token


def renew(token: str) -> bool:
    """Renew the lease; return whether this process still has it.

    Host and process are compared because a scheduler of an earlier version replaces them and leaves the token.
    """
    with transaction():
        return execute(Leadership.update(seen_at=now()).where(_is_own(token))) == 1


def release(token: str) -> None:
    """End the lease, so that another scheduler need not wait for its end."""
    with transaction():
        execute(Leadership.update(seen_at=now() - build_seconds(LEASE_SECONDS)).where(_is_own(token)))


def fetch_leader() -> LeaderRow | None:
    """Return the leader, or None while no scheduler leads."""
    query = Leadership.select(Leadership.host, Leadership.pid, Leadership.since, Leadership.seen_at)
    with connection():
        return fetch_first(LeaderRow, query.where(_is_current()))


def fetch_last_leader() -> LastLeaderRow | None:
    """Return the scheduler that led last, whether or not it still does; None before the first."""
    seconds_ago = fn.date_part("epoch", now() - Leadership.seen_at).alias("seconds_ago")
    query = Leadership.select(Leadership.host, Leadership.pid, Leadership.since, Leadership.seen_at, seconds_ago)
    with connection():
        return fetch_first(LastLeaderRow, query)


def _is_current() -> Any:
    """Build the condition of a lease that has not ended. One far in the future, of a clock that was set back, has."""
    lease = build_seconds(LEASE_SECONDS)
    return (Leadership.seen_at > now() - lease) & (Leadership.seen_at < now() + lease)


def _is_own(token: str) -> Any:
    return (Leadership.token == token) & (Leadership.host == socket.gethostname()) & (Leadership.pid == os.getpid())
