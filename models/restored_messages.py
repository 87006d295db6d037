"""Messages after a restore from a backup: those that a provider lists as sent, and those that may have been sent.

A message that may have left since the backup becomes one of unknown outcome, which nothing sends again without a
look-up or a decision. All workspaces at once: the caller acts as the service, in a transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

from peewee import SQL, Case, Select, fn

from models import message
from models.engine.rows import DueRow, StoredMessageRow
from models.execution import DUE_COLUMNS, DUE_NOW, count_failed, move_stage, record_stage_history
from models.expressions import any_of, build_seconds, is_any, now
from models.ids import new_id
from models.queries import count, execute, fetch, fetch_first, fetch_values
from models.tables import Execution, Message, Pause
from rules.channels import CHANNELS
from rules.reconciliation import LOOK_UP_SECONDS
from rules.stages import MessageStatus

#: The code of executions whose message may have left since the backup.
CODE = "restored"
#: Executions that are moved by one statement.
BATCH_SIZE = 500
_WORDS = (
    "The database was restored from a backup, and this message may have been sent since. "
    "Check the provider's log, then mark it as sent, send it again or discard it."
)
_UNSENT: tuple[MessageStatus, ...] = ("pending", "review", "sending", "failed")


@dataclass(frozen=True)
class ListedMessage:
    """A message that a provider lists as accepted, by its key (`<execution>:<step>:<round>`) and its parts."""

    key: str
    execution_id: str
    step_id: str
    round: int
    provider_message_id: str | None
    to_address: str
    subject: str | None
    sent_at: datetime


class UndecidedRow(TypedDict):
    """A message that may have been sent since the backup; `look_up_at` is when its provider is asked next."""

    id: str
    workspace_id: str
    execution_id: str
    provider: str
    to_address: str
    look_up_at: datetime | None


class _StoredRow(TypedDict):
    id: str
    key: str
    status: MessageStatus


class _ExecutionRow(TypedDict):
    id: str
    workspace_id: str
    automation_id: str
    contact_id: str | None


class _MovedRow(TypedDict):
    id: str
    automation_id: str


class _ProviderCount(TypedDict):
    provider: str
    messages: int


def mark_listed(
    provider: str, listed: Sequence[ListedMessage], workspace_ids: Collection[str], *, sandbox: bool
) -> tuple[int, list[DueRow]]:
    """Mark these workspaces' listed messages as sent; return how many were not, and the executions to notify.

    A message that its execution has not written yet gets a row, so that its step sends nothing when it is due.
    """
    by_key = {row.key: row for row in listed}
    query = Message.select(Message.id, Message.key, Message.status).where(
        Message.key.in_(list(by_key)), Message.provider == provider, Message.workspace_id.in_(list(workspace_ids))
    )
    stored = fetch(_StoredRow, query.order_by(Message.id).for_update())
    marked = [row for row in stored if row["status"] in (*_UNSENT, "outcome_unknown")]
    due = [_mark(row, by_key[row["key"]]) for row in marked]
    missing = [row for row in listed if row.key not in {row["key"] for row in stored}]
    inserted = _insert_missing(provider, missing, workspace_ids, sandbox=sandbox) if missing else 0
    return len(marked) + inserted, [row for row in due if row is not None]


def _mark(row: _StoredRow, listed: ListedMessage) -> DueRow | None:
    if row["status"] == "outcome_unknown":
        return message.resolve_sent(row["id"], listed.provider_message_id)
    changes = {
        "status": "sent", "provider_message_id": listed.provider_message_id, "sent_at": listed.sent_at,
        "error_class": None, "error_message": None, "updated_at": now(),
    }  # fmt: skip
    execute(Message.update(changes).where(Message.id == row["id"]))
    # An approval would never come; any other wait ends by itself.
    continued = Execution.update(**DUE_NOW, waiting_for="time").from_(Message).where(
        Message.id == row["id"], Execution.id == Message.execution_id, Execution.status == "waiting",
        Execution.waiting_for == "review",
    )  # fmt: skip
    return fetch_first(DueRow, continued.returning(*DUE_COLUMNS))


def _insert_missing(
    provider: str, listed: Sequence[ListedMessage], workspace_ids: Collection[str], *, sandbox: bool
) -> int:
    query = Execution.select(Execution.id, Execution.workspace_id, Execution.automation_id, Execution.contact_id)
    is_own = is_any(Execution.id, [row.execution_id for row in listed]) & ~Execution.test
    executions = {
        row["id"]: row
        for row in fetch(_ExecutionRow, query.where(is_own, Execution.workspace_id.in_(list(workspace_ids))))
    }
    rows = [
        _build_row(provider, row, executions[row.execution_id], sandbox)
        for row in listed
        if row.execution_id in executions
    ]
    return execute(Message.insert_many(rows).on_conflict_ignore()) if rows else 0


def _build_row(provider: str, listed: ListedMessage, execution: _ExecutionRow, sandbox: bool) -> Mapping[str, object]:
    channel = next(channel for channel in CHANNELS.values() if channel.provider == provider)
    return {
        "id": new_id(), "workspace_id": execution["workspace_id"], "execution_id": execution["id"],
        "automation_id": execution["automation_id"], "contact_id": execution["contact_id"],
        "step_id": listed.step_id, "round": listed.round, "key": listed.key, "channel": channel.name,
        "provider": provider, "sandbox": sandbox, "test": False, "to_address": listed.to_address,
        "subject": listed.subject, "body": "", "status": "sent", "provider_message_id": listed.provider_message_id,
        "sending_at": listed.sent_at, "sent_at": listed.sent_at, "created_at": now(), "updated_at": now(),
    }  # fmt: skip


def make_unknown(since: datetime, askable: Collection[str]) -> int:
    """Make a batch of messages that wait for the end of the pause, and may have left since then, of unknown outcome.

    Messages of the providers in `askable` are looked up once more. Returns how many executions were moved.
    """
    target = (
        Execution.select(
            Execution.id, Execution.stage, Execution.stage_since, Message.provider.alias("provider"),
            Message.step_id.alias("step_id"),
        )
        .join(Message, on=Message.execution_id == Execution.id)
        .join(Pause, on=_build_held())
        .where(Execution.status == "waiting", Execution.waiting_for == "pause", ~Execution.test)
        .where(Message.status == "pending", Message.resends == 0, Execution.created_at < Pause.created_at)
        .order_by(Execution.id)
        .limit(BATCH_SIZE)
        .for_update(of=Execution)
        .cte("target", materialized=True)
    )  # fmt: skip
    moved = move_stage(
        target, "failed", status="failed", resume_stage=target.c.stage, error_class="unknown_outcome",
        error_message=_WORDS, error_code=CODE, provider=target.c.provider, failed_step=target.c.step_id,
        finished_at=now(), due_at=None, waiting_for=None, wait_event=None,
    )  # fmt: skip
    query = Select([moved], [moved.c.id, moved.c.automation_id])
    rows = fetch(_MovedRow, query.with_cte(target, moved, record_stage_history(moved)))
    _make_messages_unknown([row["id"] for row in rows], since, askable)
    count_failed(Counter(row["automation_id"] for row in rows))
    return len(rows)


def _build_held() -> object:
    return (
        (Pause.workspace_id == Execution.workspace_id)
        & (Pause.kind == "provider")
        & (Pause.name == Message.provider)
        & (Pause.reason == "restore")
    )


def _make_messages_unknown(execution_ids: Sequence[str], since: datetime, askable: Collection[str]) -> None:
    # Nothing left after the pause began, so this look-up is conclusive, however late the provider lists a message.
    is_conclusive_at = fn.min(Pause.created_at) + build_seconds(LOOK_UP_SECONDS[-1])
    last_look_up = fn.greatest(now(), Pause.select(is_conclusive_at).where(Pause.reason == "restore"))
    look_up_at = Case(None, [(Message.provider.in_(list(askable)), last_look_up)], None)
    changes = {
        "status": "outcome_unknown", "sending_at": fn.coalesce(Message.sending_at, since), "look_ups": 0,
        "look_up_at": look_up_at, "error_class": "unknown_outcome", "error_message": _WORDS, "updated_at": now(),
    }  # fmt: skip
    execute(Message.update(changes).where(is_any(Message.execution_id, execution_ids), Message.status == "pending"))


def count_undecided() -> dict[str, int]:
    """Count the messages that may have been sent since the backup, by provider."""
    query = Message.select(Message.provider, fn.count(SQL("*")).alias("messages")).join(
        Execution, on=Execution.id == Message.execution_id
    )
    rows = fetch(_ProviderCount, query.where(_is_undecided()).group_by(Message.provider).order_by(Message.provider))
    return {row["provider"]: row["messages"] for row in rows}


def list_workspaces() -> list[str]:
    """Return the ids of the workspaces with messages that may have been sent since the backup."""
    query = Message.select(Message.workspace_id).join(Execution, on=Execution.id == Message.execution_id)
    return fetch_values(query.where(_is_undecided()).distinct().order_by(Message.workspace_id))


def list_undecided(limit: int) -> list[UndecidedRow]:
    """Return the oldest messages that may have been sent since the backup."""
    query = Message.select(
        Message.id, Message.workspace_id, Message.execution_id, Message.provider, Message.to_address, Message.look_up_at
    ).join(Execution, on=Execution.id == Message.execution_id)
    return fetch(UndecidedRow, query.where(_is_undecided()).order_by(Message.id).limit(limit))


def list_undecided_of(provider: str, workspace_ids: Collection[str]) -> list[StoredMessageRow]:
    """Return these workspaces' messages of a provider that may have been sent since the backup."""
    query = Message.select().join(Execution, on=Execution.id == Message.execution_id)
    is_of_account = (Message.provider == provider) & Message.workspace_id.in_(list(workspace_ids))
    return fetch(StoredMessageRow, query.where(_is_undecided(), is_of_account).order_by(Message.id))


def _is_undecided() -> object:
    return (
        (Message.status == "outcome_unknown")
        & (Execution.status == "failed")
        & (Execution.error_class == "unknown_outcome")
        & (Execution.error_code == CODE)
    )


def count_on_their_way() -> int:
    """Count the executions of the backup that are due or run, and may still come to a send that the pause holds."""
    is_due = (Execution.status == "waiting") & (Execution.due_at <= now())
    paused_at = Pause.select(fn.max(Pause.created_at)).where(Pause.reason == "restore")
    query = Execution.select().where(
        ~Execution.test,
        any_of(Execution.status.in_(("pending", "running")), is_due),
        Execution.created_at < fn.coalesce(paused_at, now()),
    )
    return count(query)
