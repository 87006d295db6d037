"""Operator actions after a restore from a backup: pause every send, ask the providers what has left since, and resume.

What a provider lists is marked as sent. What waits for a send and may have left becomes a message of unknown outcome:
where its provider can be asked it is reconciled, one that its provider's records prove is marked as sent, too, and an
operator decides about the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Literal

import structlog

import clock
from models import audit, message, restore_pauses, restored_messages
from models.audit import AuditActor
from models.database import acting_as, transaction
from models.engine.rows import StoredMessageRow
from models.errors import Conflict
from models.execution_filters import ExecutionFilters
from models.ids import is_id
from models.restored_messages import ListedMessage, UndecidedRow
from providers.base import Account, ListedSend
from providers.registry import SENDERS
from rules.errors import ConfigurationError, ExecutionError
from settings import Settings
from tasks.operators import bulk
from tasks.runtime.notifications import notify_after_commit, notify_rows
from tasks.steps.accounts import resolve_account
from tasks.steps.workspace_settings import resolve_workspace_settings

log = structlog.get_logger(__name__)

#: A message that was with its provider at the backup's newest send may have been accepted before.
MARGIN = timedelta(minutes=5)
#: Listed messages that are marked in one transaction.
BATCH_SIZE = 300
#: Providers whose records have no key of ours: they can prove that a message was sent, never that it was not.
_RECORDING = [name for name, sender in SENDERS.items() if sender.can_reconcile and not sender.identifies_by_key]
PAUSE_MESSAGE = "Started after a restore. Run beckon restore-check before you resume"


@dataclass(frozen=True)
class RestoreCheck:
    """What left since `since`: messages marked as sent by provider, those that nobody knows of, and what is not known
    yet: executions `on_their_way` to a send, and the errors of providers that did not answer."""

    since: datetime
    sent: dict[str, int]
    undecided: dict[str, int]
    messages: list[UndecidedRow]
    on_their_way: int
    errors: dict[str, str]


@dataclass
class _SharedAccount:
    """A provider's account, and the workspaces that send through it."""

    account: Account
    workspace_ids: list[str] = field(default_factory=list)


def pause_sends(actor: AuditActor) -> int:
    """Pause every provider that sends, in every workspace; return the number of workspaces."""
    with transaction():
        workspace_ids = restore_pauses.start(sorted(SENDERS), PAUSE_MESSAGE)
        for workspace_id in workspace_ids:
            audit.record(workspace_id, actor, "sends.paused", "workspace", workspace_id)
    return len(workspace_ids)


def resume_sends(actor: AuditActor, workspace_ids: Sequence[str] | None = None) -> int:
    """Resume what `pause_sends` paused, in all or these workspaces; return how many executions continue."""
    with transaction():
        paused = [row["workspace_id"] for row in restore_pauses.list_workspaces()]
    return sum(_resume(workspace_id, actor) for workspace_id in paused if workspace_id in (workspace_ids or paused))


def _resume(workspace_id: str, actor: AuditActor) -> int:
    with acting_as(workspace_id):
        rows = restore_pauses.end(workspace_id)
        audit.record(workspace_id, actor, "sends.resumed", "workspace", workspace_id)
        notify_after_commit(rows)
    return len(rows)


def check_restore(settings: Settings, since: datetime | None, limit: int, actor: AuditActor) -> RestoreCheck:
    """Ask the providers what has left since the backup, mark it, and return what is left for a decision.

    `since` is by default the backup's newest send. Repeatable: what is marked or decided is not asked about again.
    Raises `Conflict` where the sends are not paused, or the backup has none.
    """
    began = _require_paused(since)
    sent: Counter[str] = Counter()
    errors: dict[str, str] = {}
    for shared in _list_accounts(settings, [name for name, sender in SENDERS.items() if sender.can_list_sent]):
        try:
            sent[shared.account.provider] += _mark_sent(shared, began - MARGIN)
        except ExecutionError as error:
            errors[shared.account.provider] = error.message
    _make_unknown(began)
    for shared in _list_accounts(settings, _RECORDING):
        try:
            if proven := _mark_proven(shared, began - MARGIN):
                sent[shared.account.provider] += proven
        except ExecutionError as error:
            errors[shared.account.provider] = error.message
    with transaction():
        for row in restore_pauses.list_workspaces():
            audit.record(row["workspace_id"], actor, "sends.checked", "workspace", row["workspace_id"])
        return RestoreCheck(
            began, dict(sent), restored_messages.count_undecided(), restored_messages.list_undecided(limit),
            restored_messages.count_on_their_way(), errors,
        )  # fmt: skip


def decide(
    decision: Literal["sent", "resend", "discard"],
    provider: str | None,
    workspace_ids: Sequence[str] | None,
    actor: AuditActor,
) -> int:
    """Decide about the messages that may have been sent, of all or one provider and workspace; return how many."""
    with transaction():
        ids = workspace_ids or restored_messages.list_workspaces()
    filters = ExecutionFilters(error_class="unknown_outcome", code=restored_messages.CODE, provider=provider)
    return sum(bulk.start(workspace_id, decision, filters, actor)["matched"] for workspace_id in ids)


def _require_paused(since: datetime | None) -> datetime:
    with transaction():
        if not restore_pauses.list_workspaces():
            raise Conflict("No sends are paused after a restore: start Beckon with `beckon up --paused`.")
        began = since or restore_pauses.fetch_newest_send()
    if began is None:
        raise Conflict("The database has no message that was sent: name the time of the backup with --since.")
    return began


def _list_accounts(settings: Settings, providers: Sequence[str]) -> list[_SharedAccount]:
    """The accounts at these providers. A workspace's account says nothing about another's."""
    with transaction():
        rows = restore_pauses.list_workspaces()
    shared: dict[tuple[str, str, tuple[Any, ...]], _SharedAccount] = {}
    for row in rows:
        own = resolve_workspace_settings(settings, row["workspace_id"])
        for provider in providers:
            try:
                account = resolve_account(own, provider, row["workspace_id"], test=False, demo=row["demo"])
            except ConfigurationError:
                continue
            key = (provider, account.base_url, tuple(sorted(account.secrets.items())))
            shared.setdefault(key, _SharedAccount(account)).workspace_ids.append(row["workspace_id"])
    return list(shared.values())


def _mark_sent(shared: _SharedAccount, since: datetime) -> int:
    provider, marked = shared.account.provider, 0
    sends = SENDERS[provider].list_sent(shared.account, clock.unshift(since))
    listed = _parse_keys(sends)
    while batch := list(islice(listed, BATCH_SIZE)):
        with transaction():
            added, due = restored_messages.mark_listed(
                provider, batch, shared.workspace_ids, sandbox=shared.account.sandbox
            )
        notify_rows(due)
        marked += added
    return marked


def _parse_keys(sends: Iterator[ListedSend]) -> Iterator[ListedMessage]:
    """Yield the messages whose key is one of ours."""
    for send in sends:
        execution_id, _, rest = send.key.partition(":")
        step_id, _, round_text = rest.rpartition(":")
        if is_id(execution_id) and step_id and round_text.isdecimal() and len(round_text) < 6:
            yield ListedMessage(
                send.key, execution_id, step_id, int(round_text), send.provider_message_id, send.to, send.subject,
                clock.shift(send.accepted_at),
            )  # fmt: skip


def _make_unknown(since: datetime) -> None:
    askable = [name for name, sender in SENDERS.items() if sender.can_list_sent]
    moved = 1
    while moved:
        with transaction():
            moved = restored_messages.make_unknown(since, askable)


def _mark_proven(shared: _SharedAccount, sent_from: datetime) -> int:
    """Mark the messages that the account's records prove; return how many.

    Nothing is asked while executions are on their way to a send: a message that is not stored yet may be the one that a
    record is of.
    """
    provider = shared.account.provider
    with transaction():
        paused_at = restore_pauses.fetch_start()
        is_complete = not restored_messages.count_on_their_way()
        undecided = restored_messages.list_undecided_of(provider, shared.workspace_ids) if is_complete else []
    assert paused_at is not None
    return sum(_mark_if_proven(shared.account, row, sent_from, paused_at) for row in undecided)


def _mark_if_proven(account: Account, row: StoredMessageRow, sent_from: datetime, sent_until: datetime) -> bool:
    """Mark a message whose number has exactly one record of this time and no other message; note what was asked."""
    provider = SENDERS[account.provider]
    receipts = provider.list_receipts(account, clock.unshift(sent_from), row["to_address"], clock.unshift(sent_until))
    with transaction():
        has_others = message.has_other_sends(row, sent_from, sent_until)
        is_proven = len(receipts) == 1 and not has_others
        message.record_look_up(row["id"], message.LookUp(row["to_address"], is_proven, True, None))
        resolved = message.resolve_sent(row["id"], receipts[0].provider_message_id) if is_proven else None
    if resolved is not None:
        notify_rows([resolved])
    return resolved is not None
