"""Messages: found by key or provider id, advanced by callbacks, and resolved after an unknown outcome.

A status never moves backwards: a late "sent" does not undo a "delivered".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

import peewee
from peewee import SQL, Case, fn

from models.engine.rows import DueRow, StoredMessageRow
from models.execution import DUE_COLUMNS, DUE_NOW, adjust_end_counters, move_stage, record_stage_history
from models.expressions import acting_workspace, all_of, build_seconds, is_any, is_locked, now
from models.queries import execute, exists, fetch, fetch_first, fetch_values
from models.tables import Contact, Execution, Message, Step
from rules.channels import ADDRESS_FIELDS, NOTICE_CHANNELS
from rules.json_text import dump_storable_json
from rules.stages import MessageStatus, Stage

#: How far along each status is; a callback moves a message forward only.
ORDER: dict[MessageStatus, int] = {
    "sending": 0, "outcome_unknown": 0, "sent": 1, "delivered": 2, "read": 3, "bounced": 4, "complained": 5,
}  # fmt: skip
#: Messages that `list_unknown` compares with one event.
MAX_CANDIDATES = 20
_CHANNELS_THAT_KEEP_THE_STAGE = (*NOTICE_CHANNELS, "webhook")


def find(provider: str, provider_message_id: str | None, key: str | None) -> StoredMessageRow | None:
    """Find a callback's message by Beckon's key or by the provider's id, and lock it.

    The lock serializes two callbacks of one message.
    """
    if key:
        row = _fetch_locked((Message.key == key) & (Message.provider == provider))
        if row is not None:
            return row
    if not provider_message_id:
        return None
    return _fetch_locked((Message.provider == provider) & (Message.provider_message_id == provider_message_id))


def _fetch_locked(condition: peewee.Expression) -> StoredMessageRow | None:
    return fetch_first(StoredMessageRow, Message.select().where(condition).for_update())


def advance(message_id: str, status: MessageStatus) -> bool:
    """Move a message forward to a callback's status; return False if it was already there or further."""
    earlier_statuses = [name for name, position in ORDER.items() if position < ORDER[status]]
    return bool(
        execute(
            Message.update(
                status=status, updated_at=now(), sent_at=fn.coalesce(Message.sent_at, now()), look_up_at=None
            ).where(Message.id == message_id, Message.status.in_(earlier_statuses))
        )
    )


def advance_until(
    provider: str, contact_id: str, status: MessageStatus, until: datetime, *, sandbox_only: bool = False
) -> int:
    """Move forward all messages whose send to this contact began by a moment; return how many.

    The provider's report may be quicker than the answer to its send, whose time is `sent_at`.

    `sandbox_only` limits this to messages sent to the sandbox.
    """
    earlier_statuses = [name for name, position in ORDER.items() if 0 < position < ORDER[status]]
    query = Message.update(status=status, updated_at=now()).where(
        Message.contact_id == contact_id,
        Message.provider == provider,
        fn.coalesce(Message.sending_at, Message.sent_at) <= until,
        Message.sent_at.is_null(False),
        Message.status.in_(earlier_statuses),
    )
    return execute(query.where(Message.sandbox) if sandbox_only else query)


@dataclass(frozen=True)
class Recipient:
    """Whom an event is about, as a message may name it: an address, the contact that has it, or both."""

    provider: str
    address: str
    contact_id: str | None = None

    @property
    def condition(self) -> peewee.Expression:
        """The condition of the messages to this recipient."""
        is_addressed = Message.to_address == self.address
        if self.contact_id is not None:
            is_addressed |= Message.contact_id == self.contact_id
        return all_of(Message.provider == self.provider, is_addressed)


def is_in_flight(recipient: Recipient, until: datetime) -> bool:
    """Whether a send to this recipient began by a moment and has no recorded answer yet."""
    query = Message.select(SQL("1")).join(Execution, on=Execution.id == Message.execution_id)
    return exists(
        query.where(
            Execution.status == "running",
            Message.status == "sending",
            Message.sending_at <= until,
            recipient.condition,
        )
    )


def has_other_sends(row: StoredMessageRow, sent_from: datetime, sent_until: datetime) -> bool:
    """Whether another message to the same address was sent between these times, is being sent, or has an unknown
    outcome, in any workspace."""
    recipient = Recipient(row["provider"], row["to_address"], row["contact_id"])
    is_other = (Message.id != row["id"]) & recipient.condition
    unknown = Message.select(SQL("1")).where(Message.status == "outcome_unknown", is_other)
    # In the words of the index of living contacts by this address.
    same_address = Contact.select(Contact.id).where(
        getattr(Contact, ADDRESS_FIELDS[row["channel"]]) == row["to_address"], Contact.deleted_at.is_null()
    )
    sent = Message.select(SQL("1")).where(
        Message.contact_id.in_(same_address), Message.sent_at.between(sent_from, sent_until), is_other
    )
    return is_in_flight(recipient, sent_until) or exists(unknown) or exists(sent)


def list_unknown(
    recipient: Recipient, text: str, sent_from: datetime, sent_until: datetime, workspace_id: str | None
) -> list[StoredMessageRow]:
    """Return and lock messages of unknown outcome with this recipient and text, sent between these times.

    At most `MAX_CANDIDATES`. None for `workspace_id` searches all workspaces.
    """
    query = Message.select().where(
        recipient.condition,
        fn.btrim(Message.body) == fn.btrim(text),
        ~Message.test,
        Message.status == "outcome_unknown",
        Message.provider_message_id.is_null(),
        Message.sending_at.between(sent_from, sent_until),
    )
    if workspace_id is not None:
        query = query.where(Message.workspace_id == workspace_id)
    return fetch(StoredMessageRow, query.order_by(Message.id).limit(MAX_CANDIDATES).for_update())


def note_ambiguous_report(message_ids: Sequence[str]) -> None:
    """Note once on each message of unknown outcome that a report fits it and others, so that it changed nothing."""
    mark = peewee.Value(dump_storable_json([{"reported": True}]), converter=str).cast("jsonb")
    entry = fn.jsonb_build_array(
        fn.jsonb_build_object(
            "at", now(), "asked", Message.to_address, "found", None, "requested", False, "reported", True
        )
    )
    execute(
        Message.update(look_up_log=peewee.Expression(Message.look_up_log, "||", entry), updated_at=now()).where(
            is_any(Message.id, message_ids), ~peewee.Expression(Message.look_up_log, "@>", mark)
        )
    )


@dataclass(frozen=True)
class LookUp:
    """One look-up of a message: the address in question, whether the provider has a record of it, None if it did not
    answer, and the error in place of an answer."""

    address: str
    has_record: bool | None
    is_requested: bool
    error: str | None

    def as_json(self) -> dict[str, Any]:
        """Return the entry of the log, without its time."""
        return {
            "asked": self.address, "found": self.has_record, "requested": self.is_requested, "error": self.error,
        }  # fmt: skip


def get_for_update(message_id: str) -> StoredMessageRow | None:
    """Return one message of the acting workspace, locked until the transaction ends."""
    return _fetch_locked((Message.workspace_id == acting_workspace()) & (Message.id == message_id))


class UnknownMessageRow(TypedDict):
    """A message of unknown outcome, with its execution and provider."""

    id: str
    execution_id: str
    provider: str


def lock_unknown(execution_ids: Sequence[str]) -> list[UnknownMessageRow]:
    """Lock the messages of unknown outcome of these failed executions, in the order of their ids; return them.

    The messages are locked before their executions, as callbacks and single resolutions lock them.
    """
    query = (
        Message.select(Message.id, Message.execution_id, Message.provider)
        .join(Execution, on=Execution.id == Message.execution_id)
        .where(
            Execution.workspace_id == acting_workspace(),
            is_any(Execution.id, execution_ids),
            Execution.status == "failed",
            Execution.error_class == "unknown_outcome",
            Message.status == "outcome_unknown",
        )
        .order_by(Message.id)
        .for_update(of=Message)
    )
    return fetch(UnknownMessageRow, query)


def request_look_ups(message_ids: Sequence[str]) -> None:
    """Make a look-up of these messages due now, beside those of their schedule."""
    execute(
        Message.update(look_up_requested_at=now(), updated_at=now()).where(
            is_any(Message.id, message_ids), Message.status == "outcome_unknown"
        )
    )


def claim_requested_look_ups(limit: int) -> list[str]:
    """Return messages with a requested look-up, each postponed so that one caller has it."""
    return _claim_due(Message.look_up_requested_at, limit)


def record_look_up(message_id: str, look_up: LookUp) -> None:
    """Keep a look-up of a message of unknown outcome; one that an operator requested ends the request."""
    fields = peewee.Value(dump_storable_json(look_up.as_json()), converter=str).cast("jsonb")
    stored = fn.jsonb_build_array(peewee.Expression(fn.jsonb_build_object("at", now()), "||", fields))
    changes = {"look_up_requested_at": None} if look_up.is_requested else {}
    execute(
        Message.update(look_up_log=peewee.Expression(Message.look_up_log, "||", stored), updated_at=now(), **changes)
        .where(Message.id == message_id, Message.status == "outcome_unknown")
    )  # fmt: skip


def get(message_id: str) -> StoredMessageRow | None:
    """Return one message of any workspace."""
    return fetch_first(StoredMessageRow, Message.select().where(Message.id == message_id))


def claim_due_reconciliations(limit: int) -> list[str]:
    """Return messages of unknown outcome whose reconciliation is due, each postponed so that one caller has it."""
    return _claim_due(Message.look_up_at, limit)


def _claim_due(time: Any, limit: int) -> list[str]:
    """Postpone the messages of unknown outcome whose `time`, a column, has come, by five minutes; return their ids."""
    due = (
        Message.select(Message.id)
        .where(time <= now(), Message.status == "outcome_unknown")
        .order_by(time)
        .limit(limit)
        .for_update(skip_locked=True)
        .cte("due", materialized=True)
    )
    query = Message.update({time: now() + build_seconds(300)}).from_(due).where(is_locked(Message.id, due))
    return fetch_values(query.returning(Message.id).with_cte(due))


class LockedRow(TypedDict):
    """What a look-up may change, locked until the transaction ends, and PostgreSQL's time."""

    resends: int
    locked_at: datetime


def lock_unchanged(message_id: str, sending_at: datetime) -> LockedRow | None:
    """Lock a message whose outcome is still unknown since the send at `sending_at`; None if that was resolved."""
    query = Message.select(Message.resends, now().alias("locked_at")).where(
        Message.id == message_id, Message.status == "outcome_unknown", Message.sending_at == sending_at
    )
    return fetch_first(LockedRow, query.for_update())


def schedule_look_up(message_id: str, at: datetime | None, passed: int) -> None:
    """Set when a message of unknown outcome is looked up next, None for never, and how many look-ups have passed."""
    execute(
        Message.update(look_ups=passed, updated_at=now(), look_up_at=at).where(
            Message.id == message_id, Message.status == "outcome_unknown"
        )
    )


def resolve_sent(message_id: str, provider_message_id: str | None, status: MessageStatus = "sent") -> DueRow | None:
    """Resolve a message as sent: its step succeeds and its execution continues.

    Returns the execution to notify, or None if the message was already resolved.
    """
    resolved = execute(
        Message.update(
            status=status,
            provider_message_id=fn.coalesce(provider_message_id, Message.provider_message_id),
            sent_at=fn.coalesce(Message.sent_at, Message.sending_at, now()),
            look_up_at=None,
            error_class=None,
            error_message=None,
            updated_at=now(),
        ).where(Message.id == message_id, Message.status.in_(("outcome_unknown", "sending")))
    )
    if not resolved:
        return None
    output = {"messageId": message_id, "providerMessageId": provider_message_id, "resolved": True}
    execute(
        Step.update(status="succeeded", output=output, error=None, finished_at=now())
        .from_(Message)
        .where(
            Message.id == message_id,
            Step.execution_id == Message.execution_id,
            Step.step_id == Message.step_id,
            Step.round == Message.round,
        )
    )
    return _reopen(message_id, "sent")


def resolve_resend(message_id: str) -> DueRow | None:
    """Send a message again with the same key; return the execution to notify, or None if already resolved."""
    resolved = execute(
        Message.update(status="pending", resends=Message.resends + 1, look_up_at=None, updated_at=now()).where(
            Message.id == message_id, Message.status == "outcome_unknown"
        )
    )
    return _reopen(message_id, "ready_to_send") if resolved else None


def approve(message_id: str, body: str | None) -> DueRow | None:
    """Approve a message in review, with `body` as its new text unless None.

    Returns the execution to notify, or None if it is not waiting.
    """
    return _decide(message_id, {"status": "pending"} if body is None else {"status": "pending", "body": body})


def reject(message_id: str, reason: str) -> DueRow | None:
    """Reject a message in review; return the execution to notify, or None if it is not waiting."""
    return _decide(message_id, {"status": "discarded", "error_message": reason})


def _decide(message_id: str, changes: dict[str, Any]) -> DueRow | None:
    """Change a reviewed message and make its execution due; a paused one continues when the pause ends.

    The execution must be waiting: a worker that processes it has the old message in memory.
    """
    in_review = (Message.id == message_id) & (Message.status == "review")
    reviewed = _lock_execution(in_review & (Execution.status == "waiting"))
    decided = (
        Message.update(**changes, updated_at=now())
        .from_(reviewed)
        .where(in_review, Message.execution_id == reviewed.c.id)
        .returning(Message.execution_id)
        .cte("decided")
    )
    is_waiting_for_it = Execution.waiting_for == "review"
    query = (
        Execution.update(
            waiting_for=Case(None, [(is_waiting_for_it, "time")], Execution.waiting_for),
            due_at=Case(None, [(is_waiting_for_it, now())], Execution.due_at),
            notified_at=now(),
        )
        .from_(decided)
        .where(Execution.id == decided.c.execution_id)
    )
    return fetch_first(DueRow, query.returning(*DUE_COLUMNS).with_cte(reviewed, decided))


def _lock_execution(condition: peewee.Expression, *columns: Any) -> Any:
    """Build a CTE of the execution of a message, locked."""
    return (
        Execution.select(Execution.id, *columns)
        .join(Message, on=Message.execution_id == Execution.id)
        .where(condition)
        .for_update(of=Execution)
        .cte("target", materialized=True)
    )


class _ReopenedRow(DueRow):
    automation_id: str
    test: bool


def _reopen(message_id: str, stage: Stage) -> DueRow | None:
    """Continue the failed execution of this message from `stage`; a notice does not change the stage."""
    target = _lock_execution(
        (Message.id == message_id) & (Execution.status == "failed") & (Execution.error_class == "unknown_outcome"),
        Execution.stage,
        Execution.stage_since,
        Message.channel,
    )
    keeps_stage = target.c.channel.in_(_CHANNELS_THAT_KEEP_THE_STAGE)
    moved = move_stage(
        target,
        Case(None, [(keeps_stage, fn.coalesce(Execution.resume_stage, "eligible"))], stage),
        **DUE_NOW,
        status="waiting",
        waiting_for="time",
        finished_at=None,
        execution_time_ms=None,
        deliveries=0,
        error_class=None,
        error_message=None,
        error_code=None,
        provider=None,
        failed_step=None,
        next_retry_at=None,
    )
    query = peewee.Select(
        [moved], [moved.c.id, moved.c.queue, moved.c.workspace_id, moved.c.automation_id, moved.c.test]
    )
    row = fetch_first(_ReopenedRow, query.with_cte(target, moved, record_stage_history(moved)))
    if row is None:
        return None
    if not row["test"]:
        adjust_end_counters(failed=Counter([row["automation_id"]]))
    return {"id": row["id"], "queue": row["queue"], "workspace_id": row["workspace_id"]}


def discard(message_id: str) -> None:
    """Discard a message of unknown outcome, whatever the state of its execution."""
    execute(
        Message.update(status="discarded", look_up_at=None, updated_at=now()).where(
            Message.id == message_id, Message.status == "outcome_unknown"
        )
    )


def record_failure(message_id: str, reason: str) -> None:
    """Record that the provider accepted a message and failed to deliver it."""
    execute(
        Message.update(status="failed", error_message=reason, updated_at=now()).where(
            Message.id == message_id, Message.status.in_(("sent", "sending", "outcome_unknown"))
        )
    )
