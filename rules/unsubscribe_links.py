"""The signed links by which the recipient of an e-mail unsubscribes and chooses topics: `/u/{token}`.

A token carries the workspace, the keyed hash of the address, and the topic of the message, and no contact: it outlives
erasures and merges, and never expires. Forwarding an e-mail passes the link on, which can do no more than stop and
allow e-mail to this address.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from uuid import UUID

from rules.links import UNSUBSCRIBE_PATH

#: Maximum characters of a topic, and of a token with one.
MAX_TOPIC_LENGTH = 64
MAX_TOKEN_LENGTH = 512

_ID_BYTES, _HASH_BYTES, _SIGNATURE_BYTES = 16, 32, 16
# Address hashes are made with the same key: no hash may be a signature.
_PURPOSE = b"unsubscribe link:"


@dataclass(frozen=True, slots=True)
class Recipient:
    """An address of a workspace's e-mail by its hash, and the topic of the message."""

    workspace_id: str
    address_hash: bytes
    topic: str | None = None


@dataclass(frozen=True, slots=True)
class ParsedToken:
    """What a token says; nothing of it holds unless `is_signed_with` the key of its workspace."""

    recipient: Recipient
    content: bytes
    signature: bytes

    def is_signed_with(self, key: bytes) -> bool:
        """Whether the token was made with this key; compared in constant time."""
        return hmac.compare_digest(self.signature, _sign(key, self.content))


def build_url(base_url: str, key: bytes, recipient: Recipient) -> str:
    """Return the link that unsubscribes the recipient; with `/preferences` behind it, the one for topics."""
    content = UUID(recipient.workspace_id).bytes + recipient.address_hash + (recipient.topic or "").encode()
    token = base64.urlsafe_b64encode(content + _sign(key, content)).rstrip(b"=").decode()
    return f"{base_url}{UNSUBSCRIBE_PATH}{token}"


def parse_token(text: str) -> ParsedToken | None:
    """Return what a token says, or None if no link has it."""
    if len(text) > MAX_TOKEN_LENGTH or not text.isascii():
        return None
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        topic = data[_ID_BYTES + _HASH_BYTES : -_SIGNATURE_BYTES].decode()
    except (binascii.Error, ValueError):
        return None
    if len(data) < _ID_BYTES + _HASH_BYTES + _SIGNATURE_BYTES:
        return None
    recipient = Recipient(str(UUID(bytes=data[:_ID_BYTES])), data[_ID_BYTES : _ID_BYTES + _HASH_BYTES], topic or None)
    return ParsedToken(recipient, data[:-_SIGNATURE_BYTES], data[-_SIGNATURE_BYTES:])


def _sign(key: bytes, content: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE + content, "sha256")[:_SIGNATURE_BYTES]
