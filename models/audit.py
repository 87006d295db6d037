"""The audit log: every manual change, its actor and its object. Rows are inserted and read, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from psycopg2.extras import Json

from models.database import Row, acting_as, execute, fetch_rows
from models.ids import new_id


@dataclass(frozen=True)
class Actor:
    """The author of a change: a signed-in person, a program with a key, the `beckon` command, or Beckon itself."""

    kind: Literal["user", "api_key", "command", "system"]
    id: str | None
    name: str


#: Beckon itself, such as at a first start.
SYSTEM = Actor("system", None, "Beckon")


def record(
    workspace_id: str,
    actor: Actor,
    action: str,
    object_kind: str,
    object_id: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write one entry in the caller's transaction; `action` is a name such as `automation.published`."""
    with acting_as(workspace_id):
        execute(
            "insert into audit (id, workspace_id, actor_kind, actor_id, actor_name, action, object_kind, object_id, "
            "detail) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                new_id(), workspace_id, actor.kind, actor.id, actor.name, action, object_kind, object_id,
                Json(dict(detail or {})),
            ),
        )  # fmt: skip


def fetch_page(workspace_id: str, limit: int, before: str | None = None) -> list[Row]:
    """Return at most `limit` entries, newest first, older than the entry with id `before`."""
    with acting_as(workspace_id):
        return fetch_rows(
            "select id, actor_kind, actor_id, actor_name, action, object_kind, object_id, detail, at from audit "
            "where workspace_id = %s and (%s::uuid is null or id < %s::uuid) order by id desc limit %s",
            (workspace_id, before, before, limit),
        )
