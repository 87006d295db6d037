"""The key of each workspace's address hashes: random, created when it is first needed, encrypted, never replaced.

Erasure leaves of an address only its keyed hash, and links of unsubscription carry it. So a key is cached only once it
is committed: a rollback would leave this process with one that no other knows.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from threading import Lock
from typing import TypedDict

import structlog
from cachetools import LRUCache

import settings
from models.database import acting_as
from models.encryption import decrypt, encrypt
from models.expressions import now
from models.queries import execute, fetch_first
from models.recent_reads import MAX_WORKSPACES
from models.tables import AddressKey
from rules.addresses import hash_address

log = structlog.get_logger(__name__)

_KEY_BYTES = 32
_cached: LRUCache[str, bytes] = LRUCache(MAX_WORKSPACES)
_lock = Lock()


class _KeyRow(TypedDict):
    value: str
    #: Whether an earlier transaction committed it.
    committed: bool


def load_key(workspace_id: str) -> bytes | None:
    """Return the workspace's key, created where it has none; None where SECRET_KEY has changed since."""
    with _lock:
        key = _cached.get(workspace_id)
    return key if key is not None else _read(workspace_id)


def hash_addresses(workspace_id: str, addresses: Mapping[str, str | None]) -> dict[str, bytes]:
    """Return the keyed hashes of normalized addresses, by channel; none where the key cannot be read."""
    key = load_key(workspace_id)
    if key is None:
        return {}
    return {channel: hash_address(key, channel, address) for channel, address in addresses.items() if address}


def _read(workspace_id: str) -> bytes | None:
    secret_key = settings.current().secret_key
    with acting_as(workspace_id):
        row = _fetch(workspace_id) or _create(workspace_id, secret_key)
    text = decrypt(secret_key, row["value"])
    if text is None:
        log.error("the key of address hashes cannot be decrypted: SECRET_KEY has changed", workspace_id=workspace_id)
        return None
    key = bytes.fromhex(text)
    if row["committed"]:
        with _lock:
            _cached[workspace_id] = key
    return key


def _fetch(workspace_id: str) -> _KeyRow | None:
    committed = (AddressKey.created_at < now()).alias("committed")
    return fetch_first(
        _KeyRow, AddressKey.select(AddressKey.value, committed).where(AddressKey.workspace_id == workspace_id)
    )


def _create(workspace_id: str, secret_key: str) -> _KeyRow:
    value = encrypt(secret_key, os.urandom(_KEY_BYTES).hex())
    execute(AddressKey.insert(workspace_id=workspace_id, value=value).on_conflict_ignore())
    row = _fetch(workspace_id)
    assert row is not None
    return row
