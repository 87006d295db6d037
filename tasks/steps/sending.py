"""Sends one step's message: stores it with its unique key, records it as being sent, and only then calls the provider.

A delivery that finds a message already recorded as being sent treats it as interrupted. Whether the provider accepted
it is unknown, so it is never simply sent again. Notices and webhooks are messages too, but not
to the contact: they do not change the stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import metrics
from models.database import CONNECTION_ERRORS
from models.engine.rows import MessageRow
from providers.base import Account, OutgoingMessage, Receipt
from providers.registry import SENDERS
from rules.actions import ACTIONS
from rules.channels import CONVERSATION_CHANNELS
from rules.definition import Step
from rules.eligibility import Skip, Wait, build_no_contact_skip, check_active_hours, check_reachability
from rules.errors import RateLimited, UnknownOutcome, WindowClosed
from rules.templating import render
from tasks.runtime import message_rows, moves, step_rows
from tasks.runtime.breakers import rest_if_breaker_open
from tasks.runtime.claimed_execution import FIRST_ROUND, ClaimedExecution, Continuation
from tasks.runtime.engine import Engine
from tasks.runtime.outside_calls import Outdated, track_call
from tasks.steps import direct_messages, pacing, unsubscribe_links
from tasks.steps.accounts import resolve_account
from tasks.steps.channels import find_address, get_channel, is_to_contact
from tasks.steps.composing import prepare, render_one_line
from tasks.steps.current_facts import refresh
from tasks.steps.direct_messages import TO_COMMENT, Sender
from tasks.steps.email_consent import is_suppressed
from tasks.steps.follow_ups import as_output, find_stop_reason
from tasks.steps.limit_reservations import reserve_daily_limits
from tasks.steps.pauses import find_provider_pause, is_paused, rest_if_provider_paused
from tasks.steps.report_urls import build_report_url
from tasks.steps.review_gate import find_rejection, rest_if_in_review
from tasks.steps.workspace_settings import resolve_workspace_settings

#: Facts that are older than this when the request is written are read once more: a record takes some milliseconds.
MAX_INTENT_AGE_SECONDS = 0.25


def send(engine: Engine, claimed: ClaimedExecution, step: Step) -> Continuation[bool]:
    """Send, skip or wait; return whether the execution continues in place."""
    message = claimed.messages.get(step.id)
    if message is not None and message["status"] == "sending":
        raise UnknownOutcome(
            "The process that was sending this message died before the provider answered, so its outcome is unknown. "
            "Mark it as sent, resend it or discard it."
        )
    if message is not None and message["sent_at"] is not None:
        _finish_sent(claimed, step, message)
        return True
    sender = _load_sender(engine, claimed, step)
    skipped = find_rejection(message) or _find_forbidding_rule(claimed, step, sender)
    if skipped is not None:
        return _skip(claimed, step, skipped)
    message = prepare(engine, claimed, step)
    _use_newest_address(engine, claimed, step, message)
    if rest_if_in_review(claimed, step):
        return False
    if _wait_for_send_time(claimed, message) or rest_if_provider_paused(claimed, message["provider"]):
        return False
    hours = _check_active_hours(claimed, step)
    if isinstance(hours, Wait):
        _wait_until(claimed, hours.until)
        return False
    if hours is not None:
        return _skip(claimed, step, hours)
    account = _resolve_account(engine, claimed, message["provider"], sender)
    limit_skip = _reserve_limits_and_reply(claimed, step)
    if limit_skip is not None:
        return _skip(claimed, step, limit_skip)
    if sender is not None and pacing.wait_for_slot(engine, claimed, step, _build_page_key(claimed, step, sender)):
        return False
    stop_reason = find_stop_reason(claimed) if claimed.round > FIRST_ROUND else None
    if stop_reason is not None:
        return _skip(claimed, step, stop_reason)
    if _rest_if_unanswered(claimed, step, message["provider"]):
        return False
    step_rows.begin(claimed, step)
    if is_to_contact(step) and claimed.stage != "sending":
        moves.enter(claimed, "ready_to_send")
        moves.enter(claimed, "sending")
    claimed.refused_at = message.get("sending_at")
    message_rows.update(claimed, step, status="sending", sending_at=claimed.now(), sandbox=account.sandbox)
    if sender is not None:
        message_rows.update(claimed, step, sender=sender.external_id)
    yield from engine.record_intent(claimed)
    if sender is None:
        _call_provider(engine, claimed, step, account)
    else:
        _call_meta(engine, claimed, step, account, sender)
    return True


def _may_write(engine: Engine, claimed: ClaimedExecution, step: Step, sender: Sender | None) -> bool:
    """Whether the lease is held when the request is about to be written, at the first try and at each other one.

    Where the facts are old by then, since the intent waited for PostgreSQL or for a thread, or the provider for another
    try, they are read once more. Raises `Outdated` where they no longer allow this message: the next claim decides what
    becomes of it.
    """
    is_old = claimed.age_seconds() > MAX_INTENT_AGE_SECONDS
    if is_old and not _is_still_allowed(claimed, step, sender):
        raise Outdated
    return engine.leases.is_held(claimed)


def _is_still_allowed(claimed: ClaimedExecution, step: Step, sender: Sender | None) -> bool:
    """Whether the facts as they are now allow the message that is about to be sent, and could be read."""
    message = claimed.messages[step.id]
    try:
        if not refresh(claimed) or is_paused(claimed, claimed.queue, is_running=True):
            return False
        if find_provider_pause(claimed, message["provider"]):
            return False
        if not is_to_contact(step):
            return True
        if _find_forbidding_rule(claimed, step, sender) or _check_active_hours(claimed, step):
            return False
    except CONNECTION_ERRORS:
        return False
    return find_address(claimed, step) == message["to_address"]


def _finish_sent(claimed: ClaimedExecution, step: Step, message: MessageRow) -> None:
    """Finish a step whose message has left, as its provider listed after a restore from a backup: send nothing."""
    output = {"messageId": message["id"], "providerMessageId": message["provider_message_id"], "alreadySent": True}
    step_rows.succeed(claimed, step, output)
    if is_to_contact(step):
        moves.enter(claimed, "ready_to_send")
        moves.enter(claimed, "sent")


def _use_newest_address(engine: Engine, claimed: ClaimedExecution, step: Step, message: MessageRow) -> None:
    """Address the message as the contact is reached now: the address may have changed since the message was stored."""
    address = find_address(claimed, step) if is_to_contact(step) else None
    if address and address != message["to_address"]:
        body = message["body"]
        if message["channel"] == "email":
            body = unsubscribe_links.readdress(engine.settings, claimed, body, message["to_address"], address)
        message_rows.update(claimed, step, to_address=address, body=body)


def _skip(claimed: ClaimedExecution, step: Step, reason: Skip) -> bool:
    """Skip this send with the rule that forbids it; the workflow continues."""
    if step.id in claimed.messages:
        message_rows.update(claimed, step, status="discarded")
    step_rows.succeed(claimed, step, as_output(reason), status="skipped")
    return True


def _reserve_limits_and_reply(claimed: ClaimedExecution, step: Step) -> Skip | None:
    """Reserve the daily limits and the comment's private reply; return the limit reached, or the reply already sent."""
    if not is_to_contact(step):
        return None
    return reserve_daily_limits(claimed) or direct_messages.claim_private_reply(claimed, step)


def _wait_for_send_time(claimed: ClaimedExecution, message: MessageRow) -> bool:
    """Wait until the message's send time; return whether it waits."""
    at = message["send_at"]
    if at is None or at <= claimed.now():
        return False
    _wait_until(claimed, at)
    return True


def _wait_until(claimed: ClaimedExecution, at: datetime) -> None:
    moves.enter(claimed, "ready_to_send")
    moves.wait(claimed, "time", at)


def _check_active_hours(claimed: ClaimedExecution, step: Step) -> Skip | Wait | None:
    """Check the active hours again: a retry or a later message may leave hours after the round was checked."""
    if not is_to_contact(step):
        return None
    zone = (claimed.contact or {}).get("timezone")
    return check_active_hours(claimed.workflow.rules, claimed.now(), zone, claimed.row["workspace_timezone"])


def _rest_if_unanswered(claimed: ClaimedExecution, step: Step, provider: str) -> bool:
    """Wait, ready to send, while the provider does not answer; return whether it waits."""
    is_resting = rest_if_breaker_open(claimed, provider)
    if is_resting and is_to_contact(step):
        moves.enter(claimed, "ready_to_send")
    return is_resting


def _load_sender(engine: Engine, claimed: ClaimedExecution, step: Step) -> Sender | None:
    """Load the sender of a direct message; None for any other message."""
    channel = get_channel(step)
    if channel not in CONVERSATION_CHANNELS:
        return None
    return direct_messages.load_sender(engine.settings, claimed, channel)


def _build_page_key(claimed: ClaimedExecution, step: Step, sender: Sender) -> str:
    """Build the key of the sending account, for its limits."""
    return f"{get_channel(step)}:{sender.external_id or claimed.row['workspace_id']}"


def _find_forbidding_rule(claimed: ClaimedExecution, step: Step, sender: Sender | None) -> Skip | None:
    """Return the rule that forbids this send, checked again right before it."""
    if not is_to_contact(step):
        return None
    channel, kind = get_channel(step), str(step.message_kind)
    if claimed.contact is None:
        return build_no_contact_skip(channel, is_deleted=claimed.row["contact_id"] is not None)
    # `direct_messages.find_refusal` below checks that the comment exists.
    address = kind if kind in TO_COMMENT else find_address(claimed, step)
    refusal = check_reachability(channel, address, is_suppressed(claimed, channel))
    return refusal or (direct_messages.find_refusal(claimed, channel, kind, sender) if sender else None)


def _resolve_account(engine: Engine, claimed: ClaimedExecution, provider: str, sender: Sender | None) -> Account:
    # After a refusal the owner may have just entered other credentials.
    is_refused = claimed.state["misconfigured_since"] is not None
    claimed.settings = resolve_workspace_settings(engine.settings, claimed.row["workspace_id"], fresh=is_refused)
    return resolve_account(
        claimed.settings,
        provider,
        claimed.row["workspace_id"],
        test=claimed.test,
        demo=claimed.row["demo"],
        own=sender.secrets if sender else {},
    )


def _call_meta(engine: Engine, claimed: ClaimedExecution, step: Step, account: Account, sender: Sender) -> None:
    """Send and apply Meta's usage limits; a window that has closed meanwhile skips this send."""
    page = _build_page_key(claimed, step, sender)
    try:
        pacing.apply_usage(page, _call_provider(engine, claimed, step, account, sender).detail)
    except RateLimited as error:
        pacing.apply_rate_limit(page, error)
        raise
    except WindowClosed as error:
        moves.enter(claimed, "ready_to_send")
        message_rows.update(claimed, step, error_class=error.error_class, error_message=error.message)
        _skip(claimed, step, Skip(error.error_class, {"words": error.message}))


def _call_provider(
    engine: Engine, claimed: ClaimedExecution, step: Step, account: Account, sender: Sender | None = None
) -> Receipt:
    message = claimed.messages[step.id]
    facts = claimed.build_facts() if step.with_.keys() & {"reply_to", "headers"} else {}
    outgoing = OutgoingMessage(
        key=message["key"],
        to=message["to_address"],
        body=message["body"],
        subject=message.get("subject"),
        format=message["format"],
        sender=message.get("sender"),
        reply_to=render_one_line(step, "reply_to", facts),
        report_url=build_report_url(
            engine.settings, claimed.settings or engine.settings, account, claimed.row["workspace_id"], message["key"]
        ),
        headers=_build_headers(engine, claimed, step, facts),
        holds_lease=lambda: _may_write(engine, claimed, step, sender),
        **direct_messages.build_outgoing_fields(message),
    )
    with track_call(claimed, "sending", message["provider"]):
        receipt = SENDERS[message["provider"]].send(account, outgoing)
    record_sent(claimed, step, receipt)
    return receipt


def _build_headers(
    engine: Engine, claimed: ClaimedExecution, step: Step, facts: Mapping[str, object]
) -> dict[str, str]:
    headers = {name: render(text, facts) for name, text in (step.with_.get("headers") or {}).items()}
    if get_channel(step) == "email":
        headers |= unsubscribe_links.build_headers(engine.settings, claimed, claimed.messages[step.id]["to_address"])
    return headers


def _measure_time_to_first(claimed: ClaimedExecution, step: Step) -> None:
    """Measure the time from the trigger to the first message, unless a wait was scheduled between."""
    has_waited = claimed.test or claimed.round or any(ACTIONS[row["action"]].is_wait for row in claimed.steps.values())
    sends = [row for row in claimed.messages.values() if row["sent_at"] and row["step_id"] != step.id]
    if has_waited or sends or claimed.messages[step.id].get("send_at"):
        return
    elapsed = (claimed.now() - claimed.row["created_at"]).total_seconds()
    metrics.trigger_to_sent_seconds.labels(channel=get_channel(step)).observe(elapsed)


def record_sent(claimed: ClaimedExecution, step: Step, receipt: Receipt) -> None:
    """Record that the provider accepted the message."""
    provider_message_id = receipt.provider_message_id
    message = message_rows.update(
        claimed,
        step,
        status="sent",
        sent_at=claimed.now(),
        provider_message_id=provider_message_id,
        look_up_at=None,
        error_class=None,
        error_message=None,
    )
    claimed.accepted[message["id"]] = provider_message_id
    output = {"messageId": message["id"], "providerMessageId": provider_message_id}
    # A private reply that the comment already has, from an earlier attempt or another sender.
    extra = {"alreadySent": True} if receipt.detail.get("alreadySent") else {}
    step_rows.succeed(claimed, step, {**output, **extra})
    claimed.state["misconfigured_since"] = None
    if is_to_contact(step):
        _measure_time_to_first(claimed, step)
        moves.enter(claimed, "sent")
    if not claimed.test:
        metrics.sends_total.labels(channel=message["channel"], provider=message["provider"], outcome="sent").inc()
