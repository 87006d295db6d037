"""API keys: a workspace's secrets for programs. Shown once when issued, stored only as a SHA-256.

A secret has 256 random bits, so a fast hash is enough; the timing of an index lookup by hash reveals nothing about the
secret.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypedDict, get_args

from peewee import fn

from models import tables
from models.database import acting_as, connection
from models.expressions import now
from models.ids import new_id
from models.queries import call, execute, fetch, fetch_first
from models.recent_reads import RecentReads

Scope = Literal["trigger", "track", "read", "write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

#: Characters of a secret that stay readable, so that people can tell keys apart.
_PREFIX_LENGTH = 9


@dataclass(frozen=True)
class ApiKey:
    """A valid key."""

    id: str
    workspace_id: str
    name: str
    scopes: frozenset[str]
    #: Whether it may read deployment-wide data.
    deployment_owner: bool = False


@dataclass(frozen=True)
class IssuedKey:
    """A new key with its secret, which cannot be retrieved later."""

    id: str
    secret: str

    def __repr__(self) -> str:
        return f"IssuedKey(id={self.id!r})"


class ApiKeyRow(TypedDict):
    """A key as lists show it, without its secret; `prefix` is the beginning of it."""

    id: str
    name: str
    prefix: str
    scopes: list[Scope]
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    deployment_owner: bool


class _ValidKeyRow(TypedDict):
    id: str
    workspace_id: str
    name: str
    scopes: list[Scope]
    deployment_owner: bool


def issue(
    workspace_id: str, name: str, scopes: Collection[Scope] = SCOPES, *, deployment_owner: bool = False
) -> IssuedKey:
    """Issue a key with these scopes. `deployment_owner` needs the service's connection: PostgreSQL rejects it on the
    dashboard's."""
    key = IssuedKey(new_id(), f"bk_{secrets.token_urlsafe(32)}")
    with acting_as(workspace_id):
        execute(
            tables.ApiKey.insert(
                id=key.id, workspace_id=workspace_id, name=name, prefix=key.secret[:_PREFIX_LENGTH],
                secret_hash=digest(key.secret), scopes=sorted(set(scopes)),
            )
        )  # fmt: skip
        if deployment_owner:
            execute(tables.ApiKey.update(deployment_owner=True).where(tables.ApiKey.id == key.id))
    return key


def find(secret: str) -> ApiKey | None:
    """Return the key with this secret, unless it was revoked."""
    return _find_by_hash(digest(secret))


def find_recent(secret: str) -> ApiKey | None:
    """Return the key as `find` does, for paths that must not query at every request: a revoked key stops within
    `recent_reads.MAX_AGE_SECONDS`."""
    return _recent_keys(digest(secret).hex())


def _find_by_hash(secret_hash: bytes) -> ApiKey | None:
    with connection():
        row = fetch_first(_ValidKeyRow, call(fn.find_api_key(secret_hash), _ValidKeyRow))
    if row is None:
        return None
    return ApiKey(row["id"], row["workspace_id"], row["name"], frozenset(row["scopes"]), row["deployment_owner"])


_recent_keys = RecentReads(lambda secret_hash: _find_by_hash(bytes.fromhex(secret_hash)))


def note_use(workspace_id: str, key_id: str) -> None:
    """Record that a key was used, to the minute, so that a busy key does not write with every request."""
    key = tables.ApiKey
    is_stale = key.last_used_at.is_null() | (key.last_used_at < now() - timedelta(minutes=1))
    with acting_as(workspace_id, with_first=True):
        execute(key.update(last_used_at=now()).where(key.id == key_id, key.workspace_id == workspace_id, is_stale))


def list_all(workspace_id: str) -> list[ApiKeyRow]:
    """Return all keys, including revoked ones, newest first."""
    key = tables.ApiKey
    query = key.select(
        key.id, key.name, key.prefix, key.scopes, key.created_at, key.last_used_at, key.revoked_at,
        key.deployment_owner,
    )  # fmt: skip
    with acting_as(workspace_id):
        return fetch(ApiKeyRow, query.where(key.workspace_id == workspace_id).order_by(key.id.desc()))


def revoke(workspace_id: str, key_id: str) -> bool:
    """Revoke a key at once; return False if there is no such active key."""
    key = tables.ApiKey
    is_active = (key.id == key_id) & (key.workspace_id == workspace_id) & key.revoked_at.is_null()
    with acting_as(workspace_id):
        return execute(key.update(revoked_at=now()).where(is_active)) == 1


def digest(secret: str) -> bytes:
    """Return the hash under which a key is stored."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
