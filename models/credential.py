"""Which keys and sessions are still valid, asked for many at once: open streams are held by them.

A credential is known by the SHA-256 of its secret, as `api_keys` and `sessions` have it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from models.database import connection, fetch_rows
from models.user import Role


@dataclass(frozen=True)
class Credential:
    """A key with its scopes, or a session with the role that its person has now."""

    workspace_id: str
    scopes: frozenset[str]
    role: Role | None


def find_valid(hashes: Collection[bytes]) -> dict[bytes, Credential]:
    """Those of these credentials that still open a workspace, by hash; one statement for all of them."""
    with connection():
        rows = fetch_rows("select * from find_credentials(%s)", (list(hashes),))
    return {
        bytes(row["hash"]): Credential(str(row["workspace_id"]), frozenset(row["scopes"] or ()), row["role"])
        for row in rows
    }
