"""Site keys: public keys of the browser script. The origins that each is bound to protect the workspace."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from models.database import Row, acting_as, connection, execute, fetch_row, fetch_rows
from models.ids import new_id


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
        return "http://localhost" in self.origins and _strip_port(origin) == "http://localhost"


def issue(workspace_id: str, name: str, origins: Sequence[str]) -> SiteKey:
    """Issue a site key for pages of these origins (`https://shop.example`, without a path)."""
    site_key = SiteKey(new_id(), workspace_id, f"sk_{secrets.token_urlsafe(18)}", tuple(origins))
    with acting_as(workspace_id):
        execute(
            "insert into site_keys (id, workspace_id, name, key, origins) values (%s, %s, %s, %s, %s)",
            (site_key.id, workspace_id, name, site_key.key, list(origins)),
        )
    return site_key


def find(key: str) -> SiteKey | None:
    """Return the site key, unless it was revoked."""
    with connection():
        row = fetch_row("select * from find_site_key(%s)", (key,))
    return None if row is None else SiteKey(str(row["id"]), str(row["workspace_id"]), key, tuple(row["origins"]))


def list_all(workspace_id: str) -> list[Row]:
    """Return all site keys, newest first: id, name, key, origins, created_at, revoked_at."""
    with acting_as(workspace_id):
        return fetch_rows(
            "select id, name, key, origins, created_at, revoked_at from site_keys where workspace_id = %s "
            "order by id desc",
            (workspace_id,),
        )


def _strip_port(origin: str) -> str:
    parts = urlsplit(origin)
    return f"{parts.scheme}://{parts.hostname}"
