"""Checks which keys and sessions are still valid, many at once: open streams end with their credential.

A credential is identified by the SHA-256 of its secret, as in `api_keys` and `sessions`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TypedDict

from peewee import Value, fn

from models.database import connection
from models.queries import call, fetch
from models.tables.people import Role


@dataclass(frozen=True)
class Credential:
    """A key with its scopes, or a session with its user's current role."""

    workspace_id: str
    scopes: frozenset[str]
    role: Role | None


class _ValidRow(TypedDict):
    hash: memoryview
    workspace_id: str
    #: Of a key.
    scopes: list[str] | None
    #: Of a session's user.
    role: Role | None


def find_valid(hashes: Collection[bytes]) -> dict[bytes, Credential]:
    """Return the valid ones of these credentials, by hash, with one statement."""
    with connection():
        rows = fetch(_ValidRow, call(fn.find_credentials(Value(list(hashes), unpack=False)), _ValidRow))
    return {
        bytes(row["hash"]): Credential(row["workspace_id"], frozenset(row["scopes"] or ()), row["role"]) for row in rows
    }
