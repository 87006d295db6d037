"""A validated trigger, whatever it came from: HTTP, Redis, a webhook, a schedule or the command line."""

from __future__ import annotations

import hashlib
import json  # a hash that must stay the same
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: `json.dumps` would build one at each call.
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True)
class TriggerRequest:
    """One validated trigger. `contact` holds normalised fields; a test also starts automations that are off."""

    type: str
    contact_id: str | None
    contact: Mapping[str, Any] | None
    payload: Mapping[str, Any]
    automation_id: str | None = None
    test: bool = False
    #: Whether `contact_id` is a sample contact although this is no test: `beckon demo`.
    demo: bool = False
    idempotency_key: str | None = None
    body_hash: bytes = b""
    #: Whether an execution waited for this message: default replies then do not start.
    answered: bool = False
    #: Automatic messages that this event of a contact has answered in a row; None for any other trigger.
    loop_depth: int | None = None


def hash_body(body: Mapping[str, Any]) -> bytes:
    """Hash a request without its key, to detect the same key with a different body."""
    return hashlib.sha256(_CANONICAL.encode(body).encode("utf-8", "surrogatepass")).digest()
