"""Daily limits, counted exactly under any number of racing workers, and the counts that other rules need.

A limit reservation is taken when the eligibility checks pass, and belongs to one round of one execution. Taking it a
second time (after a worker died) counts nothing. The record of a round that sent nothing releases it.

The statements are written by hand: they run for every execution, and an expression takes 0.2 ms to build, a tenth of an
execution's processor time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TypedDict

from models.database import transaction
from models.queries import execute, fetch_first, fetch_value
from rules.channels import CONTACT_CHANNELS

#: Stands for "all contacts of the automation" in `limit_counts`.
ALL_CONTACTS = "00000000-0000-0000-0000-000000000000"
_CHANNELS = list(CONTACT_CHANNELS)


_LOCK_RESERVATION = "select day from limit_reservations where execution_id = %s and round = %s for update"
_LOWER_COUNTS = """
    update limit_counts set count = count - 1
    where automation_id = %s and contact_id = any(%s::uuid[]) and day = %s
"""
_RESERVE = """
    insert into limit_reservations (execution_id, round, workspace_id, automation_id, contact_id, day)
    values (%s, %s, %s, %s, %s, %s) on conflict (execution_id, round) do update set day = excluded.day
"""
_INCREMENT_COUNT = """
    insert into limit_counts as c (workspace_id, automation_id, contact_id, day, count) values (%s, %s, %s, %s, 1)
    on conflict (automation_id, contact_id, day) do update set count = c.count + 1
    returning count
"""
_COUNT_SENT_MESSAGES = """
    select count(*) from messages where contact_id = %(contact)s and not test
        and channel = any(%(channels)s)
        and sent_at > beckon_now() - make_interval(secs => %(seconds)s)
"""
_LOCK_CAP = "select pg_advisory_xact_lock(hashtextextended(%s, 0))"
# One statement, so that a message recorded meanwhile is counted once. A round counts until its first message does.
# While a follow-up starts, the execution's row is a round behind its reservation.
_COUNT_FOR_CAP = (
    "select ("
    + _COUNT_SENT_MESSAGES
    + """) as sent, (
        select count(*) from cap_reservations p join executions e on e.id = p.execution_id
        where p.contact_id = %(contact)s and e.id <> %(execution)s and e.finished_at is null and e.round <= p.round
            and not exists (select 1 from messages m where m.execution_id = e.id and m.round = p.round
                and m.sent_at is not null and m.channel = any(%(channels)s))
    ) as on_their_way
"""
)
_RESERVE_CAP = """
    insert into cap_reservations (execution_id, round, workspace_id, contact_id) values (%s, %s, %s, %s)
    on conflict (execution_id, round) do update set taken_at = excluded.taken_at
"""
# Only earlier ones count, so that one of two racing executions continues.
# One whose unknown outcome is still being reconciled may go on.
_COUNT_OTHER_EXECUTIONS = """
    select count(*) as every, count(*) filter (where finished_at is null or
        status = 'failed' and error_class = 'unknown_outcome' and exists (
            select 1 from messages m where m.execution_id = e.id and m.look_up_at is not null)) as in_flight
    from executions e
    where contact_id = %s and automation_id = %s and id < %s and not test and status not in ('skipped', 'cancelled')
"""


class _CapCounts(TypedDict):
    sent: int
    on_their_way: int


class _ExecutionCounts(TypedDict):
    in_flight: int
    every: int


@dataclass(frozen=True)
class LimitReached:
    """The limit that was reached, and the measured count."""

    rule: str
    limit: int
    measured: int


class _LimitExceeded(Exception):
    def __init__(self, reached: LimitReached) -> None:
        self.reached = reached


def reserve_daily_limit(
    execution_id: str,
    round_number: int,
    workspace_id: str,
    automation_id: str,
    contact_id: str | None,
    day: date,
    daily_limit: int | None,
    contact_daily_limit: int | None,
) -> LimitReached | None:
    """Reserve this round on this day under both limits; return None, or the reached limit and take no reservation.

    A reservation of another day, from before a wait that crossed midnight, is released first.
    """
    holder = contact_id or ALL_CONTACTS
    try:
        with transaction():
            if not _record_reservation(execution_id, round_number, workspace_id, automation_id, holder, day):
                return None
            # All contacts first, then this one: one locking order for every process.
            _increment_count(workspace_id, automation_id, ALL_CONTACTS, day, daily_limit, "daily_limit")
            if holder != ALL_CONTACTS:
                _increment_count(workspace_id, automation_id, holder, day, contact_daily_limit, "contact_daily_limit")
    except _LimitExceeded as error:
        return error.reached
    return None


def _record_reservation(
    execution_id: str, round_number: int, workspace_id: str, automation_id: str, holder: str, day: date
) -> bool:
    previous_day = fetch_value(_LOCK_RESERVATION, (execution_id, round_number))
    if previous_day == day:
        return False
    if previous_day is not None:
        execute(_LOWER_COUNTS, (automation_id, sorted({ALL_CONTACTS, holder}), previous_day))
    execute(_RESERVE, (execution_id, round_number, workspace_id, automation_id, holder, day))
    return True


def _increment_count(
    workspace_id: str, automation_id: str, holder: str, day: date, limit: int | None, rule: str
) -> None:
    """Increment the count unless the limit is reached; concurrent workers wait for the row lock."""
    count = fetch_value(_INCREMENT_COUNT, (workspace_id, automation_id, holder, day))
    if limit is not None and count > limit:
        raise _LimitExceeded(LimitReached(rule, limit, count - 1))


@dataclass(frozen=True)
class CapReached:
    """The counts of a reached frequency cap: messages sent, and rounds in flight."""

    sent: int
    on_their_way: int


def count_messages(contact_id: str, seconds: float) -> int:
    """Count the messages sent to the contact by all automations in the last `seconds`, without tests."""
    return int(fetch_value(_COUNT_SENT_MESSAGES, {"contact": contact_id, "seconds": seconds, "channels": _CHANNELS}))


def reserve_frequency_cap(
    execution_id: str, round_number: int, workspace_id: str, contact_id: str, limit: int, seconds: float
) -> CapReached | None:
    """Count this round among the contact's messages; return None, or the counts if the cap is reached.

    Requests for one contact run one after another. A round that ends without a message no longer counts.
    """
    parameters = {"contact": contact_id, "seconds": seconds, "execution": execution_id, "channels": _CHANNELS}
    with transaction():
        fetch_value(_LOCK_CAP, (f"cap {contact_id}",))
        counts = fetch_first(_CapCounts, _COUNT_FOR_CAP, parameters)
        assert counts is not None
        if counts["sent"] + counts["on_their_way"] >= limit:
            return CapReached(**counts)
        execute(_RESERVE_CAP, (execution_id, round_number, workspace_id, contact_id))
    return None


def count_other_executions(execution_id: str, automation_id: str, contact_id: str) -> tuple[int, int]:
    """Count the contact's other executions of the automation, without tests: those in flight, and all.

    Only earlier ones count, so that one of two racing executions continues.
    """
    row = fetch_first(_ExecutionCounts, _COUNT_OTHER_EXECUTIONS, (contact_id, automation_id, execution_id))
    assert row is not None
    return row["in_flight"], row["every"]
