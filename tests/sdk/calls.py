"""The calls that are recorded: each of an SDK, beside the same call of ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from providers import gemini, meta
from providers.base import OutgoingMessage
from providers.registry import SENDERS, build_sandbox_account
from providers.text_generation import Prompt

KEY = "exec-1:hello:0"
PROFILE = "00000000-0000-4000-8000-000000000000"
REPORT_URL = f"https://beckon.example.com/api/webhooks/telnyx?key={KEY}"
SYSTEM = "You write one short message."


@dataclass(frozen=True)
class RecordedCall:
    """A call of an SDK, our own one, and the fields in which ours differs, each with the reason."""

    sdk: str
    name: str
    call: str
    arguments: dict[str, Any]
    #: Makes our call to the sandbox at a URL; None where Beckon has no such call.
    ours: Callable[[str], object] | None
    differences: dict[str, str] = field(default_factory=dict)


def _send(provider: str, **fields: Any) -> Callable[[str], object]:
    outgoing = OutgoingMessage(**{"key": KEY, "body": "Hello Ada", **fields})
    return lambda url: SENDERS[provider].send(build_sandbox_account(provider, url), outgoing)


def _generate(url: str) -> object:
    prompt = Prompt("gemini-2.5-flash", "Write to Ada.", SYSTEM, 300, 0.5)
    return gemini.generate(build_sandbox_account("gemini", url), prompt)


def _check_follow(url: str) -> object:
    return meta.check_follow(build_sandbox_account("instagram", url), "1570000000000001")


_CREDENTIALS = "The sandbox's credentials are other ones."
_TOKEN = {
    "header.authorization": "Ours sends the token as a header, which no log of URLs keeps.",
    "query.access_token": "The SDK sends the token in the query.",
}
_GRAPH = {**_TOKEN, "header.content-type": "Ours sends JSON, the SDK a form with objects as JSON."}
_METADATA = {"body.message.metadata": "Our key, which Meta's echo repeats."}
_GEMINI = {
    "header.x-goog-api-key": _CREDENTIALS,
    "body.systemInstruction.role": "Google ignores the role of a system instruction.",
}
_DEFAULT = "The library names a default."

CALLS = (
    RecordedCall(
        "telnyx",
        "send",
        "send",
        {
            "to": "+15550100",
            "from_": "+15550199",
            "text": "Hello Ada",
            "type": "SMS",
            "messaging_profile_id": PROFILE,
            "webhook_url": REPORT_URL,
        },
        _send("telnyx", to="+15550100", sender="+15550199", report_url=REPORT_URL),
        {"header.authorization": _CREDENTIALS},
    ),
    RecordedCall("telnyx", "get", "get", {"message_id": PROFILE}, None),
    RecordedCall(
        "google_genai",
        "generate",
        "generate",
        {
            "model": "gemini-2.5-flash",
            "contents": "Write to Ada.",
            "config": {"system_instruction": SYSTEM, "max_output_tokens": 300, "temperature": 0.5},
        },
        _generate,
        _GEMINI,
    ),
    RecordedCall("google_genai", "stream", "stream", {"model": "gemini-2.5-flash", "contents": "Write to Ada."}, None),
    RecordedCall(
        "mailgun",
        "send",
        "send",
        {
            "domain": "sandbox.example.com",
            "fields": {
                "from": "Beckon sandbox <hello@sandbox.example.com>",
                "to": "ada@example.com",
                "subject": "Hello",
                "text": "Hello Ada",
                "h:Reply-To": "bob@example.com",
                "v:beckon_key": KEY,
            },
        },
        _send("mailgun", to="ada@example.com", subject="Hello", reply_to="bob@example.com"),
        {
            "header.authorization": _CREDENTIALS,
            "header.content-type": "Ours sends the form of Mailgun's OpenAPI document, the SDK an urlencoded one.",
        },
    ),
    RecordedCall(
        "mailgun",
        "send_to_several",
        "send",
        {
            "domain": "sandbox.example.com",
            "fields": {
                "from": "hello@sandbox.example.com",
                "to": ["ada@example.com", "Bob <bob@example.com>"],
                "subject": "Hello",
                "text": "Hello",
                "o:tag": ["one", "two"],
            },
        },
        None,
    ),
    RecordedCall(
        "mailgun",
        "list_events",
        "list_events",
        {"domain": "sandbox.example.com", "filters": {"event": "accepted", "recipient": "ada@example.com"}},
        None,
    ),
    RecordedCall("slack_sdk", "send", "send", {"text": "Hello Ada"}, _send("slack", to="slack")),
    RecordedCall(
        "discord_webhook",
        "send",
        "send",
        {"content": "Hello Ada", "allowed_mentions": {"parse": []}},
        _send("discord", to="discord"),
        {
            "query.wait": "Discord takes Python's True for true.",
            **dict.fromkeys(("body.attachments", "body.embeds"), _DEFAULT),
            "body.wait": "The library repeats its own setting in the body.",
        },
    ),
    RecordedCall(
        "discord_py",
        "send",
        "send",
        {"content": "Hello Ada"},
        _send("discord", to="discord"),
        {
            "query.wait": "Discord takes 1 for true.",
            **dict.fromkeys(("query.with_components", "body.tts"), _DEFAULT),
        },
    ),
    RecordedCall(
        "facebook_business",
        "send",
        "send",
        {
            "page": "100000000000001",
            "params": {
                "recipient": {"id": "6780462125377510"},
                "message": {"text": "Hello Ada"},
                "messaging_type": "RESPONSE",
            },
        },
        _send("facebook", to="6780462125377510"),
        {**_GRAPH, **_METADATA},
    ),
    RecordedCall(
        "facebook_business",
        "reply_in_private",
        "send",
        {
            "page": "17841400000000001",
            "params": {"recipient": {"comment_id": "17894227972186120"}, "message": {"text": "Hello Ada"}},
        },
        _send("instagram", to="17894227972186120", kind="private_reply"),
        {**_GRAPH, **_METADATA},
    ),
    RecordedCall(
        "facebook_business",
        "reply",
        "reply",
        {"comment": "17894227972186120", "params": {"message": "Hello Ada"}},
        _send("instagram", to="17894227972186120", kind="comment_reply"),
        _GRAPH,
    ),
    RecordedCall(
        "facebook_business",
        "get_profile",
        "get_profile",
        {"person": "1570000000000001", "fields": "username,is_user_follow_business"},
        _check_follow,
        _TOKEN,
    ),
)
