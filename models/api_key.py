"""API keys: a workspace's secrets for programs. Shown once when issued, stored only as a SHA-256.

A secret has 256 random bits, so a fast hash is enough; the timing of an index lookup by hash reveals nothing about the
secret.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args

from models.database import Row, acting_as, connection, execute, fetch_row, fetch_rows
from models.ids import new_id

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


def issue(
    workspace_id: str, name: str, scopes: Collection[Scope] = SCOPES, *, deployment_owner: bool = False
) -> IssuedKey:
    """Issue a key with these scopes. `deployment_owner` needs the service's connection: PostgreSQL rejects it on the
    dashboard's."""
    key = IssuedKey(new_id(), f"bk_{secrets.token_urlsafe(32)}")
    with acting_as(workspace_id):
        execute(
            "insert into api_keys (id, workspace_id, name, prefix, secret_hash, scopes) "
            "values (%s, %s, %s, %s, %s, %s)",
            (key.id, workspace_id, name, key.secret[:_PREFIX_LENGTH], digest(key.secret), sorted(set(scopes))),
        )
        if deployment_owner:
            execute("update api_keys set deployment_owner = true where id = %s", (key.id,))
    return key


def find(secret: str) -> ApiKey | None:
    """Return the key with this secret, unless it was revoked."""
    with connection():
        row = fetch_row("select * from find_api_key(%s)", (digest(secret),))
    if row is None:
        return None
    return ApiKey(
        str(row["id"]),
        str(row["workspace_id"]),
        row["name"],
        frozenset(row["scopes"]),
        row["deployment_owner"],
    )


def note_use(workspace_id: str, key_id: str) -> None:
    """Record that a key was used, to the minute, so that a busy key does not write with every request."""
    with acting_as(workspace_id):
        execute(
            "update api_keys set last_used_at = beckon_now() where id = %s and workspace_id = %s "
            "and (last_used_at is null or last_used_at < beckon_now() - interval '1 minute')",
            (key_id, workspace_id),
        )


def list_all(workspace_id: str) -> list[Row]:
    """Return all keys, including revoked ones, newest first: id, name, prefix, scopes, created_at, last_used_at,
    revoked_at, deployment_owner."""
    with acting_as(workspace_id):
        return fetch_rows(
            "select id, name, prefix, scopes, created_at, last_used_at, revoked_at, deployment_owner from api_keys "
            "where workspace_id = %s order by id desc",
            (workspace_id,),
        )


def revoke(workspace_id: str, key_id: str) -> bool:
    """Revoke a key at once; return False if there is no such active key."""
    with acting_as(workspace_id):
        return (
            execute(
                "update api_keys set revoked_at = beckon_now() where id = %s and workspace_id = %s "
                "and revoked_at is null",
                (key_id, workspace_id),
            )
            == 1
        )


def digest(secret: str) -> bytes:
    """Return the hash under which a key is stored."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
