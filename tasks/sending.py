"""Sends one step's message: writes it down under its unique key, marks it as being sent, and only then speaks.

A message found marked as being sent, by a delivery that did not send it itself, was cut off: nobody knows whether the
provider took it, so it is never simply sent again (product, guarantee 2). Notices and webhooks are messages too, but
not to the contact: they leave the stage as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import mrml

import metrics
from providers import CHANNELS, PROVIDERS
from providers.base import Account, Outgoing, Receipt
from rules.definition import Step
from rules.eligibility import Skip, unreachable
from rules.errors import InvalidRequest, RateLimited, UnknownOutcome, WindowClosed
from rules.schedule import send_time
from rules.templating import render, render_within
from settings import Settings
from tasks import direct_messages, pacing
from tasks.accounts import account_for
from tasks.direct_messages import TO_COMMENT, Sender
from tasks.engine import Engine
from tasks.follow_ups import as_output, called_off
from tasks.held import held_provider
from tasks.passage import FIRST_ROUND, Passage
from tasks.places import take_place
from tasks.reviews import awaits_review, first_status, rejection
from tasks.writers import chosen

#: The contact's field that a channel writes to.
ADDRESSES = {"email": "email", "sms": "phone", "facebook": "facebook_id", "instagram": "instagram_id"}
#: What an operator reads where the real address is a secret.
_NAMED = {"slack": "Slack", "discord": "Discord"}


def send(engine: Engine, passage: Passage, step: Step) -> bool:
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
    engine.record(passage)
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


def is_to_contact(step: Step) -> bool:
    """Whether the step writes to the contact, and so moves the stage."""
    return step.channel is not None


def channel_of(step: Step) -> str:
    """The channel that a sending step speaks on."""
    if step.action == "notify":
        return str(step.with_["channel"])
    return step.channel or {"call_webhook": "webhook", "check_follow": "instagram"}[step.action]


def address_of(passage: Passage, step: Step) -> str | None:
    """Where a message to the contact goes, or None where there is no such address or comment."""
    if step.way in TO_COMMENT:
        comment = direct_messages.comment_of(passage)
        return comment.id if comment else None
    address = (passage.contact or {}).get(ADDRESSES[channel_of(step)])
    return str(address) if address else None


def provider_of(settings: Settings, step: Step) -> str | None:
    """The provider of the step's outside call; None where it makes none."""
    if step.action == "generate_message":
        return chosen(settings, step).provider
    return CHANNELS[channel_of(step)] if step.queue == "sending" else None


def prepare(engine: Engine, passage: Passage, step: Step) -> dict[str, Any]:
    """Write the message down once: a retry sends the same text to the same address under the same key."""
    message = passage.messages.get(step.id)
    if message is not None:
        return message
    facts, channel = passage.facts(), channel_of(step)
    to, body = _content(passage, step, facts)
    detail = None
    if channel in direct_messages.CHANNELS:
        body, detail = direct_messages.written(step, body, facts)
    written = {name: _rendered(step, name, facts) for name in ("subject", "from", "reply_to")}
    return passage.message(
        step,
        status=first_status(step),
        channel=channel,
        provider=CHANNELS[channel],
        sandbox=_is_sandbox(engine, passage),
        to_address=to,
        sender=written["from"],
        subject=written["subject"],
        body=body,
        format="html" if step.with_.get("format") in ("html", "mjml") else "text",
        generation_ms=_generation_ms(passage),
        detail=detail,
        send_at=_send_at(passage, step, facts),
    )


def _rendered(step: Step, name: str, facts: Mapping[str, object]) -> str | None:
    """A field of one line: what a value brings of line breaks would be a new header."""
    source = step.with_.get(name)
    return " ".join(render(source, facts).split()) or None if source else None


def _content(passage: Passage, step: Step, facts: Mapping[str, object]) -> tuple[str, str]:
    """Where the message goes and what it says."""
    if step.action == "notify":
        return _NAMED[step.with_["channel"]], render(step.with_["text"], facts)
    if step.action == "call_webhook":
        return render(step.with_["url"], facts), _webhook_body(passage, step, facts)
    address = address_of(passage, step) or ""
    format = step.with_.get("format")
    body = render(step.with_["body"], facts, html=format in ("html", "mjml"))
    if not body.strip():
        raise InvalidRequest("The message is empty: nothing was sent. Look at the step's body.")
    if format != "mjml":
        return address, body
    try:
        return address, mrml.to_html(body).content
    except OSError as error:
        raise InvalidRequest(f"The body is not valid MJML: {error}") from None


def _webhook_body(passage: Passage, step: Step, facts: Mapping[str, object]) -> str:
    body = step.with_.get("body")
    if isinstance(body, str):
        return render(body, facts)
    if body is not None:
        return json.dumps(render_within(body, facts))
    happened = {
        "type": passage.row["trigger_type"],
        "timestamp": passage.now().isoformat(),
        "data": {"executionId": passage.execution_id, "contact": passage.contact, "payload": passage.row["payload"]},
    }
    return json.dumps(happened, default=str)


def _generation_ms(passage: Passage) -> int | None:
    """How long the newest generated text took, which this message is taken to carry."""
    times = [
        step["execution_time_ms"] for step in passage.steps.values()
        if step["action"] == "generate_message" and step["status"] == "succeeded"
    ]  # fmt: skip
    return times[-1] if times else None


def _send_at(passage: Passage, step: Step, facts: Mapping[str, object]) -> datetime | None:
    if step.send_at is None:
        return None
    text = render(step.send_at, facts).strip()
    zone = (passage.contact or {}).get("timezone") or passage.row["workspace_timezone"]
    try:
        return send_time(text, zone, passage.now())
    except (ValueError, OverflowError):
        raise InvalidRequest(f'send_at is "{text}", which is not a time such as 2026-12-24T09:00:00Z') from None


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


def _is_sandbox(engine: Engine, passage: Passage) -> bool:
    """What the message will say before it is sent; a missing key is reported when it is."""
    return passage.test or (engine.settings.sandbox == "auto" and passage.row["demo"])


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
    outgoing = Outgoing(
        key=message["key"],
        to=message["to_address"],
        body=message["body"],
        subject=message.get("subject"),
        format=message["format"],
        sender=message.get("sender"),
        reply_to=_rendered(step, "reply_to", passage.facts()),
        headers={name: render(text, passage.facts()) for name, text in (step.with_.get("headers") or {}).items()},
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
