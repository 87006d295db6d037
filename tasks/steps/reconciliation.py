"""Reconciles messages of unknown outcome with their provider.

If the provider lists the message, it was sent, and its execution continues. If the last look-up does not find it, the
message is sent once more where `tasks.steps.unknown_policy` says so, and held for an operator otherwise. A look-up that
was refused or not answered decides nothing (`rules.reconciliation`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import dramatiq
import structlog

import clock
import metrics
from models import look_up_refusal, message, workspace
from models.database import transaction
from models.engine.rows import DueRow, StoredMessageRow
from models.message import LockedRow
from providers.base import Account, Receipt
from providers.registry import SENDERS
from rules.errors import ExecutionError
from rules.reconciliation import Answer, Conclude, count_passed, decide_next
from settings import Settings
from tasks.runtime.engine import get_engine
from tasks.runtime.notifications import notify_rows
from tasks.steps.accounts import fingerprint, resolve_account
from tasks.steps.unknown_policy import find_policy_of_message
from tasks.steps.workspace_settings import resolve_workspace_settings

log = structlog.get_logger(__name__)


#: Another send to the same address this close to a message's own may be the one that a record is of.
OTHER_SENDS = timedelta(minutes=10)


@dataclass(frozen=True)
class LookUpResult:
    """What a look-up brought. `error` says why there is no answer."""

    answer: Answer
    receipt: Receipt | None = None
    error: str | None = None


@dramatiq.actor(actor_name="look_up_message", queue_name="sending", max_retries=0)
def reconcile_message(message_id: str) -> None:
    """Reconcile one message of unknown outcome with its provider."""
    _reconcile(message_id, is_requested=False)


@dramatiq.actor(actor_name="look_up_requested_message", queue_name="sending", max_retries=0)
def look_up_requested_message(message_id: str) -> None:
    """Reconcile one message because an operator asked for it: if it is not found, nothing is decided, and the scheduled
    look-ups follow as if there had been none."""
    _reconcile(message_id, is_requested=True)


def _reconcile(message_id: str, *, is_requested: bool) -> None:
    with transaction():
        message_row = message.get(message_id)
    if message_row is None or message_row["status"] != "outcome_unknown":
        return
    settings = resolve_workspace_settings(get_engine().settings, message_row["workspace_id"])
    result = _look_up(settings, message_row)
    with transaction():
        reopened = _apply(settings, message_row, result, is_requested)
    if reopened is not None:
        notify_rows([reopened])


def _look_up(settings: Settings, message_row: StoredMessageRow) -> LookUpResult:
    provider = SENDERS[message_row["provider"]]
    if not provider.can_reconcile:
        return LookUpResult("missing")
    sending_at = message_row["sending_at"]
    # A message of unknown outcome was sending.
    assert sending_at is not None
    try:
        account = _resolve_account(settings, message_row)
        since, to = clock.unshift(sending_at), message_row["to_address"]
        if provider.identifies_by_key:
            receipt = provider.find_receipt(account, message_row["key"], since, to)
        else:
            receipt = _find_only_receipt(provider.list_receipts(account, since, to), message_row)
    except ExecutionError as error:
        log.info("reconciliation failed", **_build_ids(message_row), error=error.message)
        return LookUpResult("unanswered" if error.retryable else "refused", error=error.message)
    return LookUpResult("found" if receipt else "missing", receipt)


def _find_only_receipt(receipts: Sequence[Receipt], message_row: StoredMessageRow) -> Receipt | None:
    """Return the receipt if it can be of no other message: it is the only one, and this is the only send."""
    sending_at = message_row["sending_at"]
    if len(receipts) != 1 or sending_at is None:
        return None
    with transaction():
        has_others = message.has_other_sends(message_row, sending_at - OTHER_SENDS, sending_at + OTHER_SENDS)
    return None if has_others else receipts[0]


def _resolve_account(settings: Settings, message_row: StoredMessageRow) -> Account:
    workspace_row = workspace.get(message_row["workspace_id"])
    return resolve_account(
        settings,
        message_row["provider"],
        message_row["workspace_id"],
        test=message_row["test"] or message_row["sandbox"],
        demo=bool(workspace_row and workspace_row["demo"]),
    )


def _build_ids(message_row: StoredMessageRow) -> dict[str, str]:
    names = {"message_id": "id", "execution_id": "execution_id", "workspace_id": "workspace_id"}
    return {name: str(message_row[column]) for name, column in names.items()}  # type: ignore[literal-required]


def _apply(
    settings: Settings, message_row: StoredMessageRow, result: LookUpResult, is_requested: bool
) -> DueRow | None:
    """Record a look-up and what follows from it, unless the message was resolved or sent again meanwhile."""
    sending_at = message_row["sending_at"]
    locked = message.lock_unchanged(message_row["id"], sending_at) if sending_at else None
    if locked is None:
        return None
    if SENDERS[message_row["provider"]].can_reconcile:
        _record(settings, message_row, result, is_requested)
    if result.receipt is not None:
        return _resolve_sent(message_row, result.receipt)
    return None if is_requested else _continue(message_row, locked, result)


def _record(settings: Settings, message_row: StoredMessageRow, result: LookUpResult, is_requested: bool) -> None:
    has_record = {"found": True, "missing": False}.get(result.answer)
    look_up = message.LookUp(message_row["to_address"], has_record, is_requested, result.error)
    message.record_look_up(message_row["id"], look_up)
    if message_row["test"]:
        # The sandbox's answers say nothing about the workspace's key.
        return
    workspace_id, provider = message_row["workspace_id"], message_row["provider"]
    if result.answer == "refused":
        credentials = fingerprint(settings, provider, workspace_id)
        look_up_refusal.record(workspace_id, provider, result.error or "", credentials)
    elif has_record is not None:
        look_up_refusal.end(workspace_id, provider)


def _resolve_sent(message_row: StoredMessageRow, receipt: Receipt) -> DueRow | None:
    if not message_row["test"]:
        metrics.sends_total.labels(
            channel=message_row["channel"], provider=message_row["provider"], outcome="sent"
        ).inc()
    return message.resolve_sent(message_row["id"], receipt.provider_message_id)


def _continue(message_row: StoredMessageRow, locked: LockedRow, result: LookUpResult) -> DueRow | None:
    """Schedule the next look-up of a message that was not found, or conclude."""
    sending_at, at = message_row["sending_at"], locked["locked_at"]
    assert sending_at is not None
    following = decide_next(sending_at, at, result.answer)
    is_resent = isinstance(following, Conclude) and following.may_resend and not locked["resends"]
    if is_resent and find_policy_of_message(message_row) == "resend":
        log.info("message not found at the provider, resending once", **_build_ids(message_row))
        return message.resolve_resend(message_row["id"])
    next_at = None if isinstance(following, Conclude) else following.at
    message.schedule_look_up(message_row["id"], next_at, count_passed(sending_at, at))
    return None
