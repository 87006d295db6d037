"""Site keys: public keys of the browser script. The origins that each is bound to protect the workspace."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

from peewee import fn

from models import tables
from models.database import acting_as, connection
from models.expressions import now
from models.ids import new_id
from models.queries import call, execute, fetch, fetch_first
from models.recent_reads import RecentReads

_KEY = re.compile(r"sk_[A-Za-z0-9_-]{1,100}")
_LOCALHOST = re.compile(r"http://localhost(?::[0-9]{1,5})?")


@dataclass(frozen=True)
class SiteKey:
    """A site key and its allowed origins."""

    id: str
    workspace_id: str
    key: str
    origins: tuple[str, ...]

    def allows(self, origin: str | None) -> bool:
        """Return whether a page with this `Origin` may use the key; `http://localhost` allows any of its ports."""
        if not origin:
            return False
        if origin in self.origins:
            return True
        return "http://localhost" in self.origins and _LOCALHOST.fullmatch(origin) is not None


class SiteKeyRow(TypedDict):
    """A site key as lists show it."""

    id: str
    name: str
    key: str
    origins: list[str]
    created_at: datetime
    revoked_at: datetime | None


class _ValidKeyRow(TypedDict):
    id: str
    workspace_id: str
    origins: list[str]


def issue(workspace_id: str, name: str, origins: Sequence[str]) -> SiteKey:
    """Issue a site key for pages of these origins (`https://shop.example`, without a path)."""
    site_key = SiteKey(new_id(), workspace_id, f"sk_{secrets.token_urlsafe(18)}", tuple(origins))
    with acting_as(workspace_id):
        execute(
            tables.SiteKey.insert(
                id=site_key.id, workspace_id=workspace_id, name=name, key=site_key.key, origins=list(origins)
            )
        )
    return site_key


def find(key: str) -> SiteKey | None:
    """Return the site key, unless it was revoked."""
    with connection():
        row = fetch_first(_ValidKeyRow, call(fn.find_site_key(key), _ValidKeyRow))
    return None if row is None else SiteKey(row["id"], row["workspace_id"], key, tuple(row["origins"]))


_recent_keys = RecentReads(find)


def find_recent(key: str) -> SiteKey | None:
    """Return the site key as `find` does, for paths that must not query at every request: a revoked key stops within
    `recent_reads.MAX_AGE_SECONDS`. Text that is no key costs no query."""
    return _recent_keys(key) if _KEY.fullmatch(key) else None


def list_all(workspace_id: str) -> list[SiteKeyRow]:
    """Return all site keys, newest first."""
    key = tables.SiteKey
    query = key.select(key.id, key.name, key.key, key.origins, key.created_at, key.revoked_at)
    with acting_as(workspace_id):
        return fetch(SiteKeyRow, query.where(key.workspace_id == workspace_id).order_by(key.id.desc()))


def revoke(workspace_id: str, key_id: str) -> bool:
    """Revoke a site key at once; return False if there is no such active key."""
    key = tables.SiteKey
    is_active = (key.id == key_id) & (key.workspace_id == workspace_id) & key.revoked_at.is_null()
    with acting_as(workspace_id):
        return execute(key.update(revoked_at=now()).where(is_active)) == 1
