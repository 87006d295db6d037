"""Moves messages that no worker can read to the dead letters, so that their neighbours are processed at once.

Every producer may write to the queue `triggers`, so anything can be in it. Dramatiq's consumer ends at a message that
it cannot decode, and what it had fetched with it stays unacknowledged until its process ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from dramatiq import Message
from dramatiq.errors import DecodeError

import metrics

log = structlog.get_logger(__name__)

#: Times in ms beyond this are not times; also the largest integer that every JSON parser keeps.
_LATEST_MS = 2**53


def find_unreadable(held: Mapping[bytes, bytes | None]) -> dict[bytes, str]:
    """Return why each of these messages, by its id in Redis, cannot be processed or acknowledged."""
    reasons = {redis_id: explain_unreadable(data, redis_id) for redis_id, data in held.items()}
    return {redis_id: reason for redis_id, reason in reasons.items() if reason}


def explain_unreadable(data: bytes | None, redis_id: bytes | None = None) -> str | None:
    """Return why dramatiq cannot process this message, or None. With `redis_id`, its own id must be the same."""
    if data is None:
        return "it has an id and no content"
    try:
        message = Message.decode(data)
    except DecodeError:
        return "it is not a dramatiq message in JSON"
    options = message.options if isinstance(message.options, dict) else {}
    own_id = options.get("redis_message_id")
    if redis_id is not None and own_id != redis_id.decode("utf-8", "replace"):
        return "options.redis_message_id is not its id in the queue"
    expected: dict[str, bool] = {
        "queue_name": isinstance(message.queue_name, str),
        "actor_name": isinstance(message.actor_name, str),
        "kwargs": isinstance(message.kwargs, dict),
        "options.redis_message_id": isinstance(own_id, str),
        "options.eta": options.get("eta") is None or _is_time(options["eta"]),
        "message_id": isinstance(message.message_id, str),
        "message_timestamp": _is_time(message.message_timestamp),
    }
    wrong = [name for name, is_right in expected.items() if not is_right]
    return f"these fields are missing or have the wrong type: {', '.join(wrong)}" if wrong else None


def _is_time(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < _LATEST_MS


def report_dead_letter(queue: str, redis_id: bytes, reason: str) -> None:
    """Log and count a message that went to the dead letters unread."""
    if queue.partition(".")[0] == "triggers":
        metrics.triggers_total.labels(source="redis", result="invalid").inc()
    log.warning(
        "a message was moved to the dead letters",
        queue=queue, redis_message_id=redis_id.decode("utf-8", "replace")[:100], reason=reason,
    )  # fmt: skip
