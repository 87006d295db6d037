"""Verifies Meta's webhooks and parses every kind of event of Instagram and Messenger.

A webhook carries batches of entries, each with messages, changes or, from Instagram's own login, a change of its own.
`split_events` splits them into bodies of one event each, which is how they are stored; `read_event` parses one.
Pages: developers.facebook.com, Webhooks (Getting Started), Messenger Platform (Webhooks), Instagram Platform
(Webhooks, Notification Examples).
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from providers.base import Callback
from providers.meta_messages import MAX_TEXT_LENGTH, read_messaging
from providers.untrusted import get_id, get_path, get_text, parse_timestamp

#: The channel of each `object` of a webhook.
CHANNELS = {"instagram": "instagram", "page": "facebook"}
_SIGNATURE = re.compile(r"sha256=[0-9a-f]{64}")


def answer_challenge(query: Mapping[str, str], verify_token: str) -> str | None:
    """Return the response to a webhook's subscription; None if the token is wrong."""
    token = query.get("hub.verify_token", "")
    is_token_valid = bool(verify_token) and hmac.compare_digest(token.encode(), verify_token.encode())
    return query.get("hub.challenge", "") if is_token_valid and query.get("hub.mode") == "subscribe" else None


def verify(signature: str | None, raw: bytes, app_secrets: Sequence[str]) -> bool:
    """Whether `X-Hub-Signature-256` is the signature of the raw bytes by one of the secrets.

    Meta signs the exact bytes, escapes included: JSON that was parsed and serialized again has another signature.
    """
    if signature is None or not _SIGNATURE.fullmatch(signature):
        return False
    received = signature.encode()
    digests = [hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest() for secret in app_secrets if secret]
    return any(hmac.compare_digest(f"sha256={digest}".encode(), received) for digest in digests)


def split_events(body: Any) -> Iterator[dict[str, Any]]:
    """Yield each event of a webhook's body as a body of its own, ordered by time."""
    events = [
        {"object": batch["object"], "entry": [{**_copy_entry_header(entry), **event}]}
        for batch in (body if isinstance(body, list) else [body])
        if get_text(batch, "object") in CHANNELS
        for entry in _list_objects(batch.get("entry"))
        for event in _iterate_entry_events(entry)
    ]
    # Stable: events of the same time stay in the order in which they arrived.
    yield from sorted(events, key=_read_event_time)


def _copy_entry_header(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: entry[name] for name in ("id", "time") if name in entry}


def _iterate_entry_events(entry: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the events of an entry; a change may be in the entry itself (Instagram API with Instagram Login)."""
    own = [{"field": entry["field"], "value": entry["value"]}] if {"field", "value"} <= entry.keys() else []
    for change in itertools.chain(own, _list_objects(entry.get("changes"))):
        yield {"changes": [change]}
    for messaging in _list_objects(entry.get("messaging")):
        yield {"messaging": [messaging]}


def _list_objects(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list; a single object is a list of one."""
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]


def _read_event_time(event: Mapping[str, Any]) -> float:
    entry = event["entry"][0]
    occurred_at = get_meta_timestamp(entry, "messaging", 0, "timestamp") or get_meta_timestamp(entry, "time")
    return occurred_at.timestamp() if occurred_at else 0.0


def get_meta_timestamp(data: Any, *names: str | int) -> datetime | None:
    """Parse a time of Meta's: milliseconds since 1970 in messages, seconds elsewhere."""
    number = get_path(data, *names)
    timestamp = parse_timestamp(number)
    if timestamp is not None or not _is_millis(number):
        return timestamp
    try:
        return parse_timestamp(float(number) / 1000)
    except OverflowError:
        return None


def _is_millis(number: Any) -> bool:
    if isinstance(number, str):
        return re.fullmatch(r"[0-9]{1,16}", number) is not None
    return isinstance(number, int | float) and not isinstance(number, bool)


def read_event(event: Mapping[str, Any]) -> Callback | None:
    """Parse one event of `split_events`; None for an irrelevant event or an undocumented format.

    `provider` is the channel, `address` the person's id, `detail["account"]` the id of our account. Our reply to a
    comment is its echo; our other comments and messages to ourselves are irrelevant.
    """
    channel = CHANNELS.get(str(event.get("object")))
    entry = get_path(event, "entry", 0)
    account = get_id(entry, "id")
    if channel is None or account is None:
        return None
    change, messaging = get_path(entry, "changes", 0), get_path(entry, "messaging", 0)
    occurred_at = get_meta_timestamp(messaging, "timestamp") or get_meta_timestamp(entry, "time") or datetime.now(UTC)
    if messaging is not None:
        return read_messaging(channel, account, messaging, occurred_at)
    name, value = get_text(change, "field"), get_path(change, "value")
    if channel == "instagram" and name in ("comments", "live_comments"):
        return _parse_comment(channel, account, value, occurred_at, live=name == "live_comments")
    if channel == "facebook" and name == "feed" and get_text(value, "item") == "comment":
        return _parse_feed_change(channel, account, value, occurred_at)
    return None


def _parse_comment(channel: str, account: str, value: Any, occurred_at: datetime, *, live: bool) -> Callback | None:
    """Parse a comment on Instagram; its id is `comment_id` in one documented format and `id` in the other."""
    return _build_comment_callback(
        channel,
        account,
        value,
        comment_id=get_id(value, "comment_id") or get_id(value, "id"),
        text=get_text(value, "text"),
        media_id=get_id(value, "media", "id"),
        at=occurred_at,
        detail={"live": live, "adId": get_id(value, "media", "ad_id")},
    )


def _parse_feed_change(channel: str, account: str, value: Any, occurred_at: datetime) -> Callback | None:
    """Parse a comment on a page's post: added, edited or removed. A comment that the page hides still exists."""
    comment_id, verb = get_id(value, "comment_id"), get_text(value, "verb")
    created_at = get_meta_timestamp(value, "created_time") or occurred_at
    if verb == "add":
        return _build_comment_callback(
            channel,
            account,
            value,
            comment_id=comment_id,
            text=get_text(value, "message"),
            media_id=get_id(value, "post_id"),
            at=created_at,
            detail={"name": get_text(value, "from", "name")},
        )
    person = get_id(value, "from", "id")
    if comment_id is None or person in (None, account) or verb not in ("edited", "remove"):
        return None
    return Callback(
        provider=channel,
        event_id=f"{account}:comment:{comment_id}:{verb}:{int(occurred_at.timestamp())}",
        kind="edited" if verb == "edited" else "unsent",
        provider_message_id=comment_id,
        message_key=None,
        address=person,
        text=(get_text(value, "message") or "")[:MAX_TEXT_LENGTH] or None,
        occurred_at=occurred_at,
        detail={"account": account, "as": "comment"},
    )


def _build_comment_callback(
    channel: str,
    account: str,
    value: Any,
    *,
    comment_id: str | None,
    text: str | None,
    media_id: str | None,
    at: datetime,
    detail: Mapping[str, object],
) -> Callback | None:
    person = get_id(value, "from", "id")
    if comment_id is None or person is None:
        return None
    # Instagram marks the account's own comments, whichever of its ids is the author's.
    if person == account or get_id(value, "from", "self_ig_scoped_id") is not None:
        return _build_own_comment_callback(channel, account, value, comment_id, text, at)
    full_detail = {
        "account": account,
        "username": get_text(value, "from", "username"),
        "mediaId": media_id,
        "parentId": get_id(value, "parent_id"),
        **detail,
    }
    return Callback(
        provider=channel,
        event_id=f"{account}:comment:{comment_id}",
        kind="comment",
        provider_message_id=comment_id,
        message_key=None,
        address=person,
        text=text[:MAX_TEXT_LENGTH] if text else None,
        occurred_at=at,
        detail={name: item for name, item in full_detail.items() if item not in (None, False)},
    )


def _build_own_comment_callback(
    channel: str, account: str, value: Any, comment_id: str, text: str | None, at: datetime
) -> Callback | None:
    """Build the echo of our reply to a comment, which is the address; any other comment of ours is irrelevant."""
    parent_id, scoped_id = get_id(value, "parent_id"), get_id(value, "from", "self_ig_scoped_id")
    if parent_id is None:
        return None
    names = {"username": get_text(value, "from", "username"), "scopedId": scoped_id}
    return Callback(
        provider=channel,
        event_id=f"{account}:echo:{comment_id}",
        kind="echo",
        provider_message_id=comment_id,
        message_key=None,
        address=parent_id,
        text=text[:MAX_TEXT_LENGTH] if text else None,
        occurred_at=at,
        detail={
            "account": account,
            "as": "comment",
            **{name: item for name, item in names.items() if item is not None},
        },
    )
