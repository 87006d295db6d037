"""Moves of executions outside the workers: wake-ups, operator actions and sweeps.

Each move is one UPDATE that names the state it leaves; rows in another state stay unchanged, and those that moved are
returned. Operators' moves lock rows in the order of their ids; sweeps skip rows that another transaction has locked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any, TypedDict

import peewee
from peewee import JOIN, SQL, Case, fn

import metrics
from models.database import db
from models.engine.limits import ALL_CONTACTS
from models.engine.rows import DueRow
from models.expressions import acting_workspace, all_of, build_seconds, is_distinct_from, is_locked, now
from models.holds import build_held_condition
from models.prepared import Call, PreparedStatement
from models.queries import execute, fetch, fetch_first, fetch_values
from models.selection import Selection
from models.tables import (
    Automation,
    Execution,
    LimitReservation,
    Message,
    Pause,
    StageHistory,
)
from rules.channels import CONTACT_CHANNELS
from rules.json_text import dump_storable_json
from rules.stages import IN_FLIGHT, WAITS_FOR_ERROR, Status

#: The columns of `DueRow`.
DUE_COLUMNS = (Execution.id, Execution.queue, Execution.workspace_id)
#: Updates that make an execution due, and note that its notification is on its way.
DUE_NOW = {"due_at": now(), "notified_at": now()}

# Written by hand: both run for every trigger, and an expression takes 0.2 ms to build, a tenth of a trigger's cost.
_WAKE_FOR_EVENTS = PreparedStatement(
    "wake_for_events",
    (
        "json",
        "boolean",
    ),
    """
    update executions e set due_at = beckon_now(), event_at = beckon_now(), rung_at = beckon_now()
    from json_to_recordset(%s::json) as input(contact_id uuid, event text)
    where e.contact_id = input.contact_id and e.wait_event = input.event and e.status = 'waiting'
        and e.waiting_for in ('event', 'follow_up') and (e.test or not %s)
    returning e.id, e.queue, e.workspace_id
""",
)
_FIND_STARTED_WITHIN = PreparedStatement(
    "find_started_within",
    (
        "json",
        "uuid",
    ),
    """
    select distinct e.automation_id from executions e
    join json_each_text(%s::json) as input(automation_id, seconds) on input.automation_id::uuid = e.automation_id
    where e.contact_id = %s and not e.test and e.status not in ('skipped', 'cancelled')
        and e.created_at > beckon_now() - make_interval(secs => input.seconds::float8)
""",
)


def wake_for_events(events: Sequence[tuple[str, str]], *, tests_only: bool = False) -> list[DueRow]:
    """Make executions due that wait for one of these (contact id, event) pairs; return those to notify.

    `tests_only` limits this to test executions.
    """
    return fetch(DueRow, *build_wake(events, tests_only=tests_only))


def build_wake(events: Sequence[tuple[str, str]], *, tests_only: bool = False) -> Call:
    """Return the statement of `wake_for_events` with its parameters, for a message of several statements."""
    pairs = [{"contact_id": contact_id, "event": event} for contact_id, event in events]
    return _WAKE_FOR_EVENTS, (dump_storable_json(pairs), tests_only)


def find_started_within(contact_id: str, seconds_by_automation: Mapping[str, float]) -> set[str]:
    """Return those of these automations that started an execution for the contact within the last seconds of each.

    Skipped, cancelled and test executions do not count. The caller locks the contact, so that two concurrent triggers
    cannot both find nothing.
    """
    return set(fetch_values(_FIND_STARTED_WITHIN, (dump_storable_json(seconds_by_automation), contact_id)))


class _RetriedRow(DueRow):
    automation_id: str
    test: bool
    status_before: Status
    #: The provider whose credentials it waited for.
    refused_by: str | None


def retry(selection: Selection) -> list[DueRow]:
    """Retry failed executions, and those that wait because of an error, now; return those to notify.

    Executions with an unknown outcome are not retried: their message is resolved instead. Of concurrent retries one
    moves the execution. A failed execution leaves its automation's counters and is counted again when it ends. A
    provider that refused its credentials is called once more.
    """
    target = _lock(selection.condition & is_retryable(), Execution.status, Execution.waiting_for)
    is_failed = Execution.stage == "failed"
    moved = (
        Execution.update(
            **DUE_NOW, status="waiting", waiting_for=Case(None, [(is_failed, "retry")], "time"),
            next_retry_at=Case(None, [(is_failed, now())], None), finished_at=None, execution_time_ms=None,
            deliveries=0, rate_limited_since=None,
        )
        .from_(target)
        .where(is_locked(Execution.id, target))
        .returning(
            *DUE_COLUMNS, Execution.automation_id, Execution.test, target.c.status.alias("status_before"),
            Case(None, [(target.c.waiting_for == "configuration", Execution.provider)], None).alias("refused_by"),
        )
        .with_cte(target)
    )  # fmt: skip
    rows = sorted(fetch(_RetriedRow, moved), key=lambda row: row["id"])
    failed = [row for row in rows if row["status_before"] == "failed" and not row["test"]]
    adjust_end_counters(Counter(row["automation_id"] for row in failed))
    _allow_attempt({row["refused_by"] for row in rows if row["refused_by"]})
    return [{"id": row["id"], "queue": row["queue"], "workspace_id": row["workspace_id"]} for row in rows]


def _allow_attempt(providers: Collection[str | None]) -> None:
    """Let the next call of paused providers through; another refusal pauses them again."""
    if providers:
        execute(
            Pause.update(retry_at=now()).where(
                Pause.workspace_id == acting_workspace(),
                Pause.kind == "provider",
                Pause.name.in_(sorted(filter(None, providers))),
                Pause.reason == "configuration",
            )
        )


def is_retryable() -> peewee.Expression:
    """Build the condition of executions that an operator can retry.

    One whose retry is notified is being retried already. Two columns are compared and not one with the time: the
    transaction of a concurrent retry may have begun before the first one's.
    """
    is_waiting = (Execution.status == "waiting") & (
        (Execution.notified_at < Execution.due_at)
        | ((Execution.stage == "failed") & is_distinct_from(Execution.waiting_for, "retry"))
    )
    return all_of(
        (Execution.stage == "failed") | Execution.waiting_for.in_(WAITS_FOR_ERROR),
        is_distinct_from(Execution.error_class, "unknown_outcome"),
        (Execution.status == "failed") | is_waiting,
    )


def is_retry_queued() -> peewee.Expression:
    """Build the condition of executions whose retry is notified and not claimed yet."""
    return all_of(
        Execution.status == "waiting", Execution.waiting_for == "retry", Execution.notified_at >= Execution.due_at
    )


def is_cancellable() -> peewee.Expression:
    """Build the condition of executions that an operator can cancel: those in flight."""
    is_in_flight: peewee.Expression = Execution.status.in_(sorted(IN_FLIGHT))
    return is_in_flight


def is_discardable() -> peewee.Expression:
    """Build the condition of executions that an operator can discard: those that failed, and those that wait because of
    an error and are not being retried."""
    waits = all_of(
        Execution.status == "waiting",
        (Execution.stage == "failed") | Execution.waiting_for.in_(WAITS_FOR_ERROR),
        Execution.notified_at < Execution.due_at,
    )
    return (Execution.status == "failed") | waits


def _lock(condition: peewee.Expression, *columns: Any) -> Any:
    """Build a CTE of the matching executions, locked in the order of their ids, with these columns."""
    query = Execution.select(Execution.id, *columns).where(condition).order_by(Execution.id).for_update()
    return query.cte("target", materialized=True)


def lock(selection: Selection) -> None:
    """Lock the selected executions in the order of their ids, until the transaction ends."""
    fetch_values(Execution.select(Execution.id).where(selection.condition).order_by(Execution.id).for_update())


def adjust_end_counters(failed: Counter[str], cancelled: Counter[str] | None = None) -> None:
    """Take failed executions out of their automations' counters, and add cancelled ones, in the automations' order."""
    for automation_id in sorted({*failed, *(cancelled or ())}):
        _adjust_end_counter(automation_id, -failed[automation_id], cancelled[automation_id] if cancelled else 0)


def count_failed(failed: Counter[str]) -> None:
    """Add failed executions to their automations' counters, in the automations' order."""
    for automation_id in sorted(failed):
        _adjust_end_counter(automation_id, failed[automation_id], 0)


def _adjust_end_counter(automation_id: str, failed: int, cancelled: int) -> None:
    ended_at = now() if cancelled or failed > 0 else None
    fetch_values(
        peewee.Select(columns=[fn.increment_automation_metrics(automation_id, 0, failed, 0, cancelled, ended_at)])
    )


def cancel(selection: Selection, rule: str, detail: Mapping[str, Any]) -> list[str]:
    """Cancel executions in flight, with `rule` as the reason; return their ids.

    The fence rejects the next record of a worker that is processing one. A message that is being sent becomes unknown:
    it may have been sent.
    """
    return _end(selection.condition & is_cancellable(), rule, detail)


def discard(selection: Selection, detail: Mapping[str, Any]) -> list[str]:
    """Discard failed executions and those that wait because of an error; return their ids. They cannot be retried
    afterwards."""
    return _end(selection.condition & is_discardable(), "discarded", detail)


class _EndedRow(TypedDict):
    id: str
    automation_id: str
    test: bool
    status_before: Status
    #: A released reservation: an execution occurs once for each, and once without any.
    contact_id: str | None
    day: date | None


def _end(condition: peewee.Expression, rule: str, detail: Mapping[str, Any]) -> list[str]:
    """End executions as cancelled. The locks are taken in the order of the group commit: executions, their
    automations' counters, and the daily limits' counts."""
    rows = fetch(_EndedRow, _build_end(condition, rule, detail))
    ended = {row["id"]: row for row in rows}
    counted = [row for row in ended.values() if not row["test"]]
    failed = Counter(row["automation_id"] for row in counted if row["status_before"] == "failed")
    adjust_end_counters(failed, Counter(row["automation_id"] for row in counted))
    db.after_commit(lambda: metrics.executions_finished_total.labels(status="cancelled").inc(len(counted)))
    _lower_limit_counts(rows)
    return list(ended)


def _build_end(condition: peewee.Expression, rule: str, detail: Mapping[str, Any]) -> Any:
    """Build the statement that ends executions with their messages and releases their reservations."""
    target = _lock(condition, Execution.stage, Execution.stage_since, Execution.status)
    moved = move_stage(
        target,
        "skipped",
        status="cancelled",
        skipped_rule=rule,
        skipped_detail=dict(detail),
        finished_at=now(),
        fence=Execution.fence + 1,
        lease_owner=None,
        lease_until=None,
        due_at=None,
        waiting_for=None,
        wait_event=None,
        next_retry_at=None,
        execution_time_ms=(fn.date_part("epoch", now() - Execution.started_at) * 1000).cast("bigint"),
    )
    released = _release_reservations(moved)
    columns = [
        moved.c.id, moved.c.automation_id, moved.c.test, target.c.status.alias("status_before"), released.c.contact_id,
        released.c.day,
    ]  # fmt: skip
    return (
        peewee.Select([moved], columns)
        .join(target, on=target.c.id == moved.c.id)
        .join(released, JOIN.LEFT_OUTER, on=released.c.execution_id == moved.c.id)
        .order_by(moved.c.id)
        .with_cte(target, moved, record_stage_history(moved), _discard_messages(moved).cte("unsent"), released)
    )


def move_stage(target: Any, stage: Any, **changes: Any) -> Any:
    """Build a CTE that moves the executions of `target` (id, stage, stage_since) to a stage, with other changes.

    It returns their columns id, queue, workspace_id, automation_id, test and stage, and `stage_before` and
    `since_before`, as `record_stage_history` reads them.
    """
    return (
        Execution.update(**changes, stage=stage, stage_since=now())
        .from_(target)
        .where(is_locked(Execution.id, target))
        .returning(
            *DUE_COLUMNS,
            Execution.automation_id,
            Execution.test,
            Execution.stage,
            target.c.stage.alias("stage_before"),
            target.c.stage_since.alias("since_before"),
        )
        .cte("moved")
    )


def record_stage_history(moved: Any) -> Any:
    """Build a CTE that records the stage moves of `move_stage`."""
    duration_ms = fn.greatest(0, fn.date_part("epoch", now() - moved.c.since_before) * 1000).cast("bigint")
    moves = peewee.Select(
        [moved],
        [
            moved.c.id, moved.c.workspace_id, moved.c.automation_id, moved.c.test, moved.c.stage_before, duration_ms,
            moved.c.stage, now(),
        ],
    ).where(moved.c.stage != moved.c.stage_before)  # fmt: skip
    columns = [
        StageHistory.execution_id, StageHistory.workspace_id, StageHistory.automation_id, StageHistory.test,
        StageHistory.from_stage, StageHistory.from_ms, StageHistory.stage, StageHistory.entered_at,
    ]  # fmt: skip
    return StageHistory.insert_from(moves, columns).cte("history")


def _discard_messages(moved: Any) -> Any:
    """Build the update of the ended executions' open messages; one that is being sent may have been sent."""
    status = Case(None, [(Message.status == "sending", "outcome_unknown")], "discarded")
    return (
        Message.update(status=status, updated_at=now(), look_up_at=None, look_up_requested_at=None)
        .from_(moved)
        .where(
            is_locked(Message.execution_id, moved),
            Message.status.in_(("pending", "review", "sending", "failed", "outcome_unknown")),
        )
    )


def _release_reservations(moved: Any) -> Any:
    """Build a CTE that releases the daily limits' reservations of rounds that have sent the contact nothing."""
    sent = Message.select(SQL("1")).where(
        Message.execution_id == LimitReservation.execution_id,
        Message.round == LimitReservation.round,
        Message.channel.in_(CONTACT_CHANNELS),
        Message.sent_at.is_null(False) | Message.status.in_(("sending", "outcome_unknown")),
    )
    return (
        LimitReservation.delete()
        .where(
            LimitReservation.execution_id.in_(peewee.Select([moved], [moved.c.id])),
            ~fn.exists(sent),
        )
        .returning(LimitReservation.execution_id, LimitReservation.contact_id, LimitReservation.day)
        .cte("released")
    )


# By hand: one parameter for any number of counts.
_LOWER_LIMIT_COUNTS = """
    update limit_counts c set count = c.count - released.reservations
    from json_to_recordset(%s::json) as released(automation_id uuid, contact_id uuid, day date, reservations integer)
    where c.automation_id = released.automation_id and c.contact_id = released.contact_id and c.day = released.day
"""


def _lower_limit_counts(rows: Sequence[_EndedRow]) -> None:
    """Lower the counts of released reservations: first of all contacts together, as the reservations lock them."""
    released = [(row["automation_id"], row["contact_id"], row["day"]) for row in rows if row["contact_id"]]
    _lower(Counter((automation_id, ALL_CONTACTS, day) for automation_id, _, day in released))
    _lower(Counter(reservation for reservation in released if reservation[1] != ALL_CONTACTS))


def _lower(counts: Mapping[tuple[str, str | None, date | None], int]) -> None:
    if counts:
        names = ("automation_id", "contact_id", "day", "reservations")
        values = [dict(zip(names, (*key, count), strict=True)) for key, count in counts.items()]
        execute(_LOWER_LIMIT_COUNTS, (dump_storable_json(values),))


class _StatusRow(TypedDict):
    status: Status
    error_class: str | None
    is_retrying: bool


def fetch_status(execution_id: str) -> str | None:
    """Return the status of one execution of the acting workspace, or None if there is none with that id.

    Two statuses are narrower than the table's: `unknown_outcome` for a failed execution whose message may have been
    sent, and `retrying` for one whose retry is notified and not claimed yet.
    """
    query = Execution.select(Execution.status, Execution.error_class, is_retry_queued().alias("is_retrying"))
    row = fetch_first(
        _StatusRow, query.where(Execution.workspace_id == acting_workspace(), Execution.id == execution_id)
    )
    if row is None:
        return None
    if row["is_retrying"]:
        return "retrying"
    is_unknown = row["status"] == "failed" and row["error_class"] == "unknown_outcome"
    return "unknown_outcome" if is_unknown else row["status"]


def _is_paused() -> peewee.Expression:
    return all_of(Execution.status == "waiting", Execution.waiting_for.in_(("pause", "configuration")))


def resume_paused(selection: Selection) -> list[DueRow]:
    """Make executions due that waited for a pause or a configuration error; return those to notify."""
    target = _lock(selection.condition & _is_paused())
    return _update_locked(target, **DUE_NOW, waiting_for="time")


def resume_longest_misconfigured(provider: str) -> list[DueRow]:
    """Make the execution due that has waited longest for the credentials of a provider; return it, to notify."""
    waiting = (
        Execution.select(Execution.id)
        .where(
            Execution.workspace_id == acting_workspace(),
            Execution.waiting_for == "configuration",
            build_held_condition(f"provider:{provider}"),
        )
        .order_by(Execution.misconfigured_since, Execution.id)
        .limit(1)
        .for_update(skip_locked=True)
        .cte("target", materialized=True)
    )
    return _update_locked(waiting, **DUE_NOW, waiting_for="time")


def _update_locked(target: Any, **changes: Any) -> list[DueRow]:
    """Change the executions that the CTE `target` has locked; return them."""
    query = Execution.update(**changes).from_(target).where(is_locked(Execution.id, target))
    return fetch(DueRow, query.returning(*DUE_COLUMNS).with_cte(target))


def resume_after_ended_pauses(limit: int) -> list[DueRow]:
    """Make executions due that still wait for a pause that has ended; return those to notify.

    Their worker read the pause before its end and recorded the wait after it, or the provider has accepted a call
    again. A test whose own call was refused is not included, as it pauses no provider: it becomes due in an hour.
    """
    pauses = Pause.select(SQL("1")).where(
        Pause.workspace_id == Execution.workspace_id,
        (Pause.kind == "provider") | (Pause.name == Execution.queue),
    )
    target = (
        Execution.select(Execution.id)
        .join(Automation, on=Automation.id == Execution.automation_id)
        .where(
            _is_paused(),
            Automation.paused_at.is_null(),
            ~Execution.test
            | (Execution.waiting_for == "pause")
            | is_distinct_from(Execution.error_class, "configuration"),
            ~fn.exists(pauses),
        )
        .order_by(Execution.id)
        .limit(limit)
        .for_update(of=Execution, skip_locked=True)
        .cte("target", materialized=True)
    )
    return _update_locked(target, **DUE_NOW, waiting_for="time")


def mark_due_notified(selection: Selection, limit: int) -> list[DueRow]:
    """Mark due executions as notified, longest due first; return them."""
    return _mark_notified(selection.condition, limit)


def _mark_notified(condition: peewee.Expression, limit: int) -> list[DueRow]:
    target = (
        Execution.select(Execution.id)
        .where(condition, _is_due())
        .order_by(Execution.due_at)
        .limit(limit)
        .for_update(skip_locked=True)
        .cte("target", materialized=True)
    )
    return _update_locked(target, notified_at=now())


def _is_due() -> peewee.Expression:
    return all_of(Execution.status.in_(("pending", "waiting")), Execution.due_at <= now())


def mark_elapsed_waits_notified(limit: int) -> list[DueRow]:
    """Mark waits notified that became due since their last notification: each is returned once."""
    return _mark_notified((Execution.status == "waiting") & (Execution.notified_at < Execution.due_at), limit)


def mark_due_retries_notified(limit: int) -> list[DueRow]:
    """Mark every due retry as notified, whether or not it already was."""
    return _mark_notified((Execution.status == "waiting") & (Execution.waiting_for == "retry"), limit)


def mark_lost_notifications(older_than_seconds: float, queue: str, limit: int) -> list[DueRow]:
    """Mark executions of a queue notified again that are still due `older_than_seconds` after their notification."""
    return _mark_notified((Execution.queue == queue) & _is_notification_lost(older_than_seconds), limit)


def _is_notification_lost(older_than_seconds: float) -> peewee.Expression:
    return all_of(Execution.notified_at < now() - build_seconds(older_than_seconds))


class _QueueCount(TypedDict):
    queue: str
    count: int


def count_lost_notifications(older_than_seconds: float) -> dict[str, int]:
    """Count, by queue, the due executions whose notification is older than this."""
    query = (
        Execution.select(Execution.queue, fn.count(SQL("*")).alias("count"))
        .where(_is_due(), _is_notification_lost(older_than_seconds))
        .group_by(Execution.queue)
    )
    return {row["queue"]: row["count"] for row in fetch(_QueueCount, query)}


def find_expired_leases(limit: int) -> list[DueRow]:
    """Find running executions with an expired lease, whose worker is dead or lost."""
    query = Execution.select(*DUE_COLUMNS).where(Execution.status == "running", Execution.lease_until <= now())
    return fetch(DueRow, query.order_by(Execution.lease_until).limit(limit))
