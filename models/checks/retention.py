"""Removes rows past their retention period, in small batches, and never rows in flight.

Executions are removed with their rows by `execution_retention`. Runs and tracked executions are dropped by day:
dropping a partition costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypedDict

from peewee import fn

from models import contact_import, sample_contact, webhook_token
from models.checks import execution_retention, text_retention
from models.checks.execution_retention import KEEP_DAYS, KEEP_TEST_DAYS
from models.checks.text_retention import KEEP_TEXT_DAYS
from models.database import transaction
from models.expressions import now
from models.queries import call, execute, fetch, fetch_value
from models.tables import (
    CapReservation,
    Execution,
    HelpReply,
    IdempotencyKey,
    InboundEvent,
    Invitation,
    LimitCount,
    LimitReservation,
    PasswordReset,
    PossibleOptOut,
    PrivateReply,
    ReceivedMessage,
    RunWindow,
    Session,
    TestRun,
    TrackedExecutionId,
    TrackingIntake,
    Workspace,
)

#: Raw callbacks are kept to answer questions about deliveries.
KEEP_CALLBACK_DAYS = 30
#: A comment accepts a private reply for seven days; later ones are rejected by the comment's age.
KEEP_PRIVATE_REPLY_DAYS = 14
#: Partitions of the stage history that are created ahead.
HISTORY_MONTHS_AHEAD = 3
#: Ids of tracked executions removed by one transaction: narrow rows that nothing else locks.
TRACKED_ID_BATCH_SIZE = 20_000
#: Batches in one run; the next run continues.
MAX_BATCHES = 50


@dataclass(frozen=True)
class RetentionPeriod:
    """How long something is kept: `days`, or less where the workspace's preference `setting` says so."""

    what: str
    days: int
    setting: Literal["keep_days", "keep_text_days"] | None = None


#: What is kept for how long, for people.
PERIODS = (
    RetentionPeriod("Executions with their steps and messages", KEEP_DAYS, "keep_days"),
    RetentionPeriod("Triggers", KEEP_DAYS, "keep_days"),
    RetentionPeriod("Messages received from contacts", KEEP_DAYS, "keep_days"),
    RetentionPeriod("Texts of messages and generated texts; then their length", KEEP_TEXT_DAYS, "keep_text_days"),
    RetentionPeriod("Stage history and counted runs", KEEP_DAYS),
    RetentionPeriod("Executions of playbooks with their actions", KEEP_DAYS),
    RetentionPeriod("Providers' callbacks", KEEP_CALLBACK_DAYS),
    RetentionPeriod("Test executions", KEEP_TEST_DAYS),
    RetentionPeriod("Rejected rows of imports of contacts", contact_import.KEEP_DAYS),
    RetentionPeriod("Idempotency keys", 1),
)


class _DroppedRow(TypedDict):
    days: int
    runs: int


class _DroppedTrackingRow(TypedDict):
    days: int
    executions: int


def run_once() -> dict[str, int]:
    """Remove expired rows; return the counts by kind."""
    with transaction():
        created = int(fetch_value(call(fn.ensure_history_partitions(HISTORY_MONTHS_AHEAD))))
    counts = {"partitions_made": created + execution_retention.create_partitions()}
    counts |= _rotate_run_partitions() | _rotate_tracking_partitions() | execution_retention.remove_expired()
    counts |= text_retention.remove_expired()
    with transaction():
        return counts | _remove_expired_rows()


def _rotate_run_partitions() -> dict[str, int]:
    """Create run partitions ahead, and archive and drop old ones, in separate transactions because of their locks."""
    with transaction():
        created = int(fetch_value(call(fn.ensure_run_partitions(7))))
    with transaction():
        (dropped,) = fetch(_DroppedRow, call(fn.drop_run_partitions(_ago(days=KEEP_DAYS)), _DroppedRow))
    return {"run_days_made": created, "run_days_dropped": dropped["days"], "runs": dropped["runs"]}


def _rotate_tracking_partitions() -> dict[str, int]:
    """Create partitions of tracked executions ahead, archive and drop old ones, and forget the ids of the latter."""
    with transaction():
        created = int(fetch_value(call(fn.ensure_tracking_partitions(7))))
    with transaction():
        dropping = fn.drop_tracking_partitions(_ago(days=KEEP_DAYS))
        (dropped,) = fetch(_DroppedTrackingRow, call(dropping, _DroppedTrackingRow))
    removed = _remove_tracked_ids()
    return {
        "tracking_partitions_made": created,
        "tracking_days_dropped": dropped["days"],
        "tracked_executions": dropped["executions"],
        "tracked_ids": removed,
    }


def _remove_tracked_ids() -> int:
    """Remove the ids of executions past their retention, in batches of their own; return how many."""
    oldest = fn.lowest_id_at(_ago(days=KEEP_DAYS))
    removed = 0
    for _ in range(MAX_BATCHES):
        batch = TrackedExecutionId.select(TrackedExecutionId.id).where(TrackedExecutionId.id < oldest)
        with transaction():
            count = execute(
                TrackedExecutionId.delete().where(
                    TrackedExecutionId.id.in_(batch.order_by(TrackedExecutionId.id).limit(TRACKED_ID_BATCH_SIZE))
                )
            )
        removed += count
        if count < TRACKED_ID_BATCH_SIZE:
            break
    return removed


def _remove_expired_rows() -> dict[str, int]:
    """Remove expired auxiliary rows. A limit reservation stays as long as its execution may use it."""
    return {
        "keys": execute(IdempotencyKey.delete().where(IdempotencyKey.created_at < _ago(hours=24))),
        "sessions": execute(Session.delete().where(~fn.session_lasts(Session.expires_at, Session.used_at))),
        "invitations": execute(Invitation.delete().where(Invitation.expires_at < now())),
        "password_resets": execute(PasswordReset.delete().where(PasswordReset.expires_at < now())),
        "callbacks": execute(
            InboundEvent.delete().where(
                InboundEvent.processed_at.is_null(False), InboundEvent.received_at < _ago(days=KEEP_CALLBACK_DAYS)
            )
        ),
        "received": execute(ReceivedMessage.delete().where(ReceivedMessage.at < _build_oldest_received())),
        "possible_opt_outs": execute(PossibleOptOut.delete().where(PossibleOptOut.resolved_at < _ago(days=KEEP_DAYS))),
        "help_replies": execute(HelpReply.delete().where(HelpReply.created_at < _ago(days=KEEP_TEST_DAYS))),
        "failed_intake": execute(TrackingIntake.delete().where(TrackingIntake.failed_at < _ago(days=KEEP_DAYS))),
        "imports": contact_import.remove_expired(),
        "webhook_tokens": webhook_token.remove_expired(),
        "samples": sample_contact.remove_unused(KEEP_TEST_DAYS),
        "test_runs": execute(
            TestRun.delete().where(TestRun.cleaned_up, TestRun.finished_at < _ago(days=KEEP_TEST_DAYS))
        ),
        "windows": execute(RunWindow.delete().where(RunWindow.counted_at < _ago(hours=1))),
        "private_replies": execute(
            PrivateReply.delete().where(PrivateReply.created_at < _ago(days=KEEP_PRIVATE_REPLY_DAYS))
        ),
        "limits": execute(LimitCount.delete().where(LimitCount.day < _build_oldest_day())),
        "places": execute(
            LimitReservation.delete().where(
                LimitReservation.day < _build_oldest_day(), _has_ended(LimitReservation.execution_id)
            )
        ),
        "cap_reservations": execute(
            CapReservation.delete().where(
                CapReservation.taken_at < _ago(days=2), _has_ended(CapReservation.execution_id)
            )
        ),
    }


def _ago(**period: float) -> Any:
    return now() - timedelta(**period)


def _build_oldest_received() -> Any:
    """Build the time of the oldest received message that its workspace keeps."""
    days = fn.coalesce(Workspace.keep_days, KEEP_DAYS)
    own = Workspace.id == ReceivedMessage.workspace_id
    return Workspace.select(now() - fn.make_interval(0, 0, 0, days)).where(own)


def _build_oldest_day() -> Any:
    """Build the oldest day whose limits are kept."""
    return now().cast("date") - 2


def _has_ended(execution_id: Any) -> Any:
    unfinished = Execution.select(Execution.id).where(Execution.id == execution_id, Execution.finished_at.is_null())
    return ~fn.exists(unfinished)
