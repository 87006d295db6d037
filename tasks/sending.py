"""Sends one step's message: has it written down under its unique key, marks it as being sent, and only then speaks.

A message found marked as being sent, by a delivery that did not send it itself, was cut off: nobody knows whether the
provider took it, so it is never simply sent again (product, guarantee 2). Notices and webhooks are messages too, but
not to the contact: they leave the stage as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import metrics
from providers import PROVIDERS
from providers.base import Account, Outgoing, Receipt
from rules.definition import Step
from rules.eligibility import Skip, unreachable
from rules.errors import RateLimited, UnknownOutcome, WindowClosed
from rules.templating import render
from tasks import direct_messages, pacing
from tasks.accounts import account_for
from tasks.channels import address_of, channel_of, is_to_contact
from tasks.composing import one_line, prepare
from tasks.direct_messages import TO_COMMENT, Sender
from tasks.engine import Engine
from tasks.follow_ups import as_output, called_off
from tasks.held import held_provider
from tasks.passage import FIRST_ROUND, Course, Passage
from tasks.places import take_place
from tasks.reviews import awaits_review, rejection


def send(engine: Engine, passage: Passage, step: Step) -> Course[bool]:
    """Send, or find out that now is not the time; whether the passage goes on in place."""
    message = passage.messages.get(step.id)
    if message is not None and message["status"] == "sending":
        raise UnknownOutcome(
            "The process that was sending this message died before the answer came. It is held until its outcome is "
            "known: mark it as sent, resend it or discard it."
        )
    sender = _sender(engine, passage, step)
    skipped = rejection(message) or _unreachable(passage, step, sender)
    if skipped is not None:
        return _skip(passage, step, skipped)
    message = prepare(engine, passage, step)
    if awaits_review(passage, step):
        return False
    if _later(passage, message) or held_provider(passage, message["provider"]):
        return False
    account = _account(engine, passage, message["provider"], sender)
    full = _without_a_place(passage, step)
    if full is not None:
        return _skip(passage, step, full)
    if sender is not None and pacing.must_wait(engine, passage, step, _page(passage, step, sender)):
        return False
    ended = called_off(passage) if passage.round > FIRST_ROUND else None
    if ended is not None:
        return _skip(passage, step, ended)
    passage.begin(step)
    if is_to_contact(step) and passage.stage != "sending":
        passage.enter("ready_to_send")
        passage.enter("sending")
    passage.message(step, status="sending", sending_at=passage.now(), sandbox=account.sandbox)
    if sender is not None:
        passage.message(step, sender=sender.external_id)
    yield from engine.announce(passage)
    if sender is None:
        _speak(engine, passage, step, account)
    else:
        _speak_to_meta(engine, passage, step, account, _page(passage, step, sender))
    return True


def _skip(passage: Passage, step: Step, because: Skip) -> bool:
    """Leave this send out, with the rule that forbids it; the way goes on."""
    if step.id in passage.messages:
        passage.message(step, status="discarded")
    passage.succeed(step, as_output(because), status="skipped")
    return True


def _without_a_place(passage: Passage, step: Step) -> Skip | None:
    """What has no place left for this message: a daily limit, or the comment that it would answer."""
    if not is_to_contact(step):
        return None
    return take_place(passage) or direct_messages.answered(passage, step)


def _later(passage: Passage, message: Mapping[str, Any]) -> bool:
    """Leave the message ready until its time."""
    send_at = message["send_at"]
    at = datetime.fromisoformat(send_at) if isinstance(send_at, str) else send_at
    if at is None or at <= passage.now():
        return False
    passage.enter("ready_to_send")
    passage.wait("time", at)
    return True


def _sender(engine: Engine, passage: Passage, step: Step) -> Sender | None:
    """As whom a direct message is sent; None for every other one."""
    channel = channel_of(step)
    if channel not in direct_messages.CHANNELS:
        return None
    return direct_messages.sender_of(engine.settings, passage, channel)


def _page(passage: Passage, step: Step, sender: Sender) -> str:
    """The sending account, for its limits."""
    return f"{channel_of(step)}:{sender.external_id or passage.row['workspace_id']}"


def _unreachable(passage: Passage, step: Step, sender: Sender | None) -> Skip | None:
    """The rule that forbids this send, looked at again right before it."""
    if not is_to_contact(step):
        return None
    channel, way = channel_of(step), str(step.way)
    if passage.contact is None:
        return Skip("no_contact", {"words": "The trigger named no contact, so there is nobody to write to."})
    # Whether there is a comment is Meta's rule, below.
    address = way if way in TO_COMMENT else address_of(passage, step)
    refused = unreachable(channel, address, channel in passage.suppressed)
    return refused or (direct_messages.refused(passage, channel, way, sender) if sender else None)


def _account(engine: Engine, passage: Passage, provider: str, sender: Sender | None) -> Account:
    return account_for(
        engine.settings,
        provider,
        passage.row["workspace_id"],
        test=passage.test,
        demo=passage.row["demo"],
        own=sender.secrets if sender else {},
    )


def _speak_to_meta(engine: Engine, passage: Passage, step: Step, account: Account, page: str) -> None:
    """Speak, and heed what Meta says of its limits; a window that closed on the way leaves this send out."""
    try:
        pacing.heed(page, _speak(engine, passage, step, account).detail)
    except RateLimited as error:
        pacing.heed_refusal(page, error)
        raise
    except WindowClosed as error:
        passage.enter("ready_to_send")
        passage.message(step, error_class=error.error_class, error_message=error.message)
        _skip(passage, step, Skip(error.error_class, {"words": error.message}))


def _speak(engine: Engine, passage: Passage, step: Step, account: Account) -> Receipt:
    message = passage.messages[step.id]
    facts = passage.facts() if step.with_.keys() & {"reply_to", "headers"} else {}
    outgoing = Outgoing(
        key=message["key"],
        to=message["to_address"],
        body=message["body"],
        subject=message.get("subject"),
        format=message["format"],
        sender=message.get("sender"),
        reply_to=one_line(step, "reply_to", facts),
        headers={name: render(text, facts) for name, text in (step.with_.get("headers") or {}).items()},
        still_ours=lambda: engine.leases.still_ours(passage),
        **direct_messages.outgoing(message),
    )
    with passage.calling("sending", message["provider"]):
        receipt = PROVIDERS[message["provider"]].send(account, outgoing)
    accept(passage, step, receipt)
    return receipt


def _measure_first(passage: Passage, step: Step) -> None:
    """From the trigger to the first message, where nothing on the way was meant to wait."""
    waited = (
        passage.test or passage.round or any(one["action"] in ("wait", "wait_until") for one in passage.steps.values())
    )
    sends = [one for one in passage.messages.values() if one["sent_at"] and one["step_id"] != step.id]
    if waited or sends or passage.messages[step.id].get("send_at"):
        return
    elapsed = (passage.now() - passage.row["created_at"]).total_seconds()
    metrics.trigger_to_sent_seconds.labels(channel=channel_of(step)).observe(elapsed)


def accept(passage: Passage, step: Step, receipt: Receipt) -> None:
    """The provider took the message."""
    provider_message_id = receipt.provider_message_id
    message = passage.message(
        step,
        status="sent",
        sent_at=passage.now(),
        provider_message_id=provider_message_id,
        look_up_at=None,
        error_class=None,
        error_message=None,
    )
    passage.accepted[message["id"]] = provider_message_id
    output = {"messageId": message["id"], "providerMessageId": provider_message_id}
    # A private reply that the comment had already: sent by an earlier try, or by somebody else.
    already = {"alreadySent": True} if receipt.detail.get("alreadySent") else {}
    passage.succeed(step, {**output, **already})
    passage.state["misconfigured_since"] = None
    if is_to_contact(step):
        _measure_first(passage, step)
        passage.enter("sent")
    if not passage.test:
        metrics.sends_total.labels(channel=message["channel"], provider=message["provider"], outcome="sent").inc()
