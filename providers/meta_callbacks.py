"""What Meta tells us: the handshake, the signature, and every kind of event of Instagram and Messenger, one by one.

A webhook brings batches of entries, each with messages, changes or, from Instagram's own login, a change of its own.
`single_events` takes them apart into bodies of one event each, which is how they are kept; `read_event` reads one.
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
from providers.meta_messages import LONGEST_TEXT, read_messaging
from providers.shapes import at_path, id_at, moment, text_at

#: The channel of each kind of object that a webhook is about.
CHANNELS = {"instagram": "instagram", "page": "facebook"}
_SIGNATURE = re.compile(r"sha256=[0-9a-f]{64}")


def challenge(query: Mapping[str, str], verify_token: str) -> str | None:
    """What to answer to the subscription of a webhook; None where it does not know our token."""
    given = query.get("hub.verify_token", "")
    knows = bool(verify_token) and hmac.compare_digest(given.encode(), verify_token.encode())
    return query.get("hub.challenge", "") if knows and query.get("hub.mode") == "subscribe" else None


def verify(signature: str | None, raw: bytes, app_secrets: Sequence[str]) -> bool:
    """Whether `X-Hub-Signature-256` is that of the bytes as they came, by one of the secrets.

    Meta signs what it sends, escapes and all: JSON that was read and written again has another signature.
    """
    if signature is None or not _SIGNATURE.fullmatch(signature):
        return False
    given = signature.encode()
    made = [hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest() for secret in app_secrets if secret]
    return any(hmac.compare_digest(f"sha256={one}".encode(), given) for one in made)


def single_events(body: Any) -> Iterator[dict[str, Any]]:
    """Each event of a webhook's body, in the order of their times, as a body of its own."""
    apart = [
        {"object": told["object"], "entry": [{**_head(entry), **one}]}
        for told in (body if isinstance(body, list) else [body])
        if text_at(told, "object") in CHANNELS
        for entry in _objects(told.get("entry"))
        for one in _of_entry(entry)
    ]
    # Stable: what bears the same time stays in the order in which it was told.
    yield from sorted(apart, key=_time)


def _head(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: entry[name] for name in ("id", "time") if name in entry}


def _of_entry(entry: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The events of an entry: a change may stand in the entry itself (Instagram API with Instagram Login)."""
    own = [{"field": entry["field"], "value": entry["value"]}] if {"field", "value"} <= entry.keys() else []
    for change in itertools.chain(own, _objects(entry.get("changes"))):
        yield {"changes": [change]}
    for messaging in _objects(entry.get("messaging")):
        yield {"messaging": [messaging]}


def _objects(found: Any) -> list[dict[str, Any]]:
    """A list's objects; one that stands alone is a list of one."""
    return [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, dict)]


def _time(single: Mapping[str, Any]) -> float:
    entry = single["entry"][0]
    told = moment_at(entry, "messaging", 0, "timestamp") or moment_at(entry, "time")
    return told.timestamp() if told else 0.0


def moment_at(found: Any, *names: str | int) -> datetime | None:
    """Meta's times: milliseconds since 1970 in messages, seconds elsewhere."""
    number = at_path(found, *names)
    told = moment(number)
    if told is not None or not _is_millis(number):
        return told
    try:
        return moment(float(number) / 1000)
    except OverflowError:
        return None


def _is_millis(number: Any) -> bool:
    if isinstance(number, str):
        return re.fullmatch(r"[0-9]{1,16}", number) is not None
    return isinstance(number, int | float) and not isinstance(number, bool)


def read_event(single: Mapping[str, Any]) -> Callback | None:
    """The event of one of `single_events`, or None for one of no concern or not in a documented form.

    `provider` is the channel, `address` the person's id, `detail["account"]` the id of our account. Our own comments
    and whatever we say to ourselves is of no concern.
    """
    channel = CHANNELS.get(str(single.get("object")))
    entry = at_path(single, "entry", 0)
    account = id_at(entry, "id")
    if channel is None or account is None:
        return None
    change, messaging = at_path(entry, "changes", 0), at_path(entry, "messaging", 0)
    told = moment_at(messaging, "timestamp") or moment_at(entry, "time") or datetime.now(UTC)
    if messaging is not None:
        return read_messaging(channel, account, messaging, told)
    name, value = text_at(change, "field"), at_path(change, "value")
    if channel == "instagram" and name in ("comments", "live_comments"):
        return _comment(channel, account, value, told, live=name == "live_comments")
    if channel == "facebook" and name == "feed" and text_at(value, "item") == "comment":
        return _feed(channel, account, value, told)
    return None


def _comment(channel: str, account: str, value: Any, told: datetime, *, live: bool) -> Callback | None:
    """A comment on Instagram: its id is `comment_id` in one documented form and `id` in the other."""
    return _commented(
        channel,
        account,
        value,
        comment_id=id_at(value, "comment_id") or id_at(value, "id"),
        text=text_at(value, "text"),
        media_id=id_at(value, "media", "id"),
        at=told,
        detail={"live": live, "adId": id_at(value, "media", "ad_id")},
    )


def _feed(channel: str, account: str, value: Any, told: datetime) -> Callback | None:
    """A comment on a page's post: added, edited or removed. One that the page hides is still there."""
    comment_id, verb = id_at(value, "comment_id"), text_at(value, "verb")
    at = moment_at(value, "created_time") or told
    if verb == "add":
        return _commented(
            channel,
            account,
            value,
            comment_id=comment_id,
            text=text_at(value, "message"),
            media_id=id_at(value, "post_id"),
            at=at,
            detail={"name": text_at(value, "from", "name")},
        )
    person = id_at(value, "from", "id")
    if comment_id is None or person in (None, account) or verb not in ("edited", "remove"):
        return None
    return Callback(
        provider=channel,
        event_id=f"{account}:comment:{comment_id}:{verb}:{int(told.timestamp())}",
        kind="edited" if verb == "edited" else "unsent",
        provider_message_id=comment_id,
        message_key=None,
        address=person,
        text=(text_at(value, "message") or "")[:LONGEST_TEXT] or None,
        occurred_at=told,
        detail={"account": account, "as": "comment"},
    )


def _commented(
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
    person = id_at(value, "from", "id")
    if comment_id is None or person is None or person == account:
        return None
    more = {
        "account": account,
        "username": text_at(value, "from", "username"),
        "mediaId": media_id,
        "parentId": id_at(value, "parent_id"),
        **detail,
    }
    return Callback(
        provider=channel,
        event_id=f"{account}:comment:{comment_id}",
        kind="comment",
        provider_message_id=comment_id,
        message_key=None,
        address=person,
        text=text[:LONGEST_TEXT] if text else None,
        occurred_at=at,
        detail={name: found for name, found in more.items() if found not in (None, False)},
    )
