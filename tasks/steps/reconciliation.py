"""Reconciles messages of unknown outcome with their provider.

If the provider lists the message, it was sent, and its execution continues. If not, the outcome stays unknown, and the
message is resent only where its step says `on_unknown: resend`, or says nothing and the workspace's policy is to
resend, and only once.
"""

from __future__ import annotations

from datetime import timedelta

import dramatiq
import structlog

import metrics
from models import message, published, workspace, workspace_preferences
from models.database import transaction
from models.engine.rows import DueRow, StoredMessageRow
from providers.base import Receipt
from providers.registry import SENDERS
from rules.definition import parse
from rules.errors import ExecutionError
from rules.plan import find_step
from rules.reconciliation import LOOK_UP_DELAYS_SECONDS
from tasks.runtime.engine import get_engine
from tasks.runtime.notifications import notify_rows
from tasks.steps.accounts import resolve_account
from tasks.steps.workspace_settings import resolve_workspace_settings

log = structlog.get_logger(__name__)


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
    try:
        receipt, has_responded = _fetch_receipt(message_row), True
    except ExecutionError as error:
        log.info("reconciliation failed", **_build_ids(message_row), error=error.message)
        receipt, has_responded = None, False
    with transaction():
        _record(message_row, receipt, has_responded, is_requested)
        reopened = _resolve(message_row, receipt, has_responded) if receipt or not is_requested else None
    if reopened is not None:
        notify_rows([reopened])


def _build_ids(message_row: StoredMessageRow) -> dict[str, str]:
    names = {"message_id": "id", "execution_id": "execution_id", "workspace_id": "workspace_id"}
    return {name: str(message_row[column]) for name, column in names.items()}  # type: ignore[literal-required]


def _record(message_row: StoredMessageRow, receipt: Receipt | None, has_responded: bool, is_requested: bool) -> None:
    """Keep the look-up, unless the provider cannot be asked and none took place."""
    if SENDERS[message_row["provider"]].can_reconcile:
        has_found = receipt is not None if has_responded else None
        message.record_look_up(message_row["id"], message_row["to_address"], has_found, requested=is_requested)


def _fetch_receipt(message_row: StoredMessageRow) -> Receipt | None:
    provider = SENDERS[message_row["provider"]]
    if not provider.can_reconcile:
        return None
    workspace_row = workspace.get(message_row["workspace_id"])
    account = resolve_account(
        resolve_workspace_settings(get_engine().settings, message_row["workspace_id"]),
        message_row["provider"],
        message_row["workspace_id"],
        test=message_row["test"] or message_row["sandbox"],
        demo=bool(workspace_row and workspace_row["demo"]),
    )
    sending_at = message_row["sending_at"]
    # A message of unknown outcome was sending.
    assert sending_at is not None
    return provider.find_receipt(
        account, message_row["key"], sending_at - timedelta(minutes=1), message_row["to_address"]
    )


def _resolve(message_row: StoredMessageRow, receipt: Receipt | None, has_responded: bool) -> DueRow | None:
    if receipt is not None:
        if not message_row["test"]:
            metrics.sends_total.labels(
                channel=message_row["channel"], provider=message_row["provider"], outcome="sent"
            ).inc()
        return message.resolve_sent(message_row["id"], receipt.provider_message_id)
    next_look_up = message_row["look_ups"] + 1
    if next_look_up < len(LOOK_UP_DELAYS_SECONDS) and SENDERS[message_row["provider"]].can_reconcile:
        message.record_reconciliation_attempt(message_row["id"], LOOK_UP_DELAYS_SECONDS[next_look_up])
        return None
    # A provider that did not respond has not confirmed that it lacks the message.
    if has_responded and message_row["resends"] == 0 and _may_resend(message_row):
        log.info("message not found at the provider, resending once", **_build_ids(message_row))
        return message.resolve_resend(message_row["id"])
    message.record_reconciliation_attempt(message_row["id"], None)
    return None


def _may_resend(message_row: StoredMessageRow) -> bool:
    document = published.find_execution_definition(message_row["execution_id"])
    step = find_step(parse(document), message_row["step_id"]) if document else None
    if step is None:
        return False
    policy = step.on_unknown or workspace_preferences.load_cached(message_row["workspace_id"]).when_unknown
    return policy == "resend"
