"""Which automations a workspace's producers may report executions of.

`AutomationKinds` keeps what it found for `recent_reads.MAX_AGE_SECONDS`, so that a deleted automation stops within
seconds, and never that an automation does not exist, so that a new one works at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from threading import Lock
from typing import Literal, TypedDict

from cachetools import TTLCache

from models.database import acting_as
from models.ids import is_id
from models.queries import fetch
from models.recent_reads import MAX_AGE_SECONDS
from models.tables import Automation

#: An enabled, published and unpaused playbook, or any other automation.
AutomationKind = Literal["active_playbook", "other"]
#: Automations cached by one process.
MAX_AUTOMATIONS = 100_000


class _Row(TypedDict):
    id: str
    is_active_playbook: bool


class AutomationKinds:
    """The automations that one process saw recently, by workspace and id."""

    def __init__(self) -> None:
        self._kinds: TTLCache[tuple[str, str], AutomationKind] = TTLCache(MAX_AUTOMATIONS, MAX_AGE_SECONDS)
        self._lock = Lock()

    def find(self, workspace_id: str, ids: Collection[str]) -> Mapping[str, AutomationKind]:
        """Return the kinds of those of the workspace's automations that exist; other ids are absent."""
        with self._lock:
            cached = {name: kind for name in ids if (kind := self._kinds.get((workspace_id, name)))}
        missing = [name for name in ids if name not in cached and is_id(name)]
        if not missing:
            return cached
        read = _read_kinds(workspace_id, missing)
        with self._lock:
            self._kinds.update({(workspace_id, name): kind for name, kind in read.items()})
        return {**cached, **read}


def _read_kinds(workspace_id: str, ids: Collection[str]) -> dict[str, AutomationKind]:
    is_active = (
        (Automation.type == "playbook")
        & Automation.enabled
        & Automation.version_id.is_null(False)
        & Automation.paused_at.is_null()
    )
    query = Automation.select(Automation.id, is_active.alias("is_active_playbook")).where(
        Automation.workspace_id == workspace_id, Automation.id.in_(list(ids)), Automation.deleted_at.is_null()
    )
    with acting_as(workspace_id, with_first=True):
        rows = fetch(_Row, query)
    return {row["id"]: "active_playbook" if row["is_active_playbook"] else "other" for row in rows}
