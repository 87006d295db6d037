"""What owners set for their workspace: its sender, its policy for unknown outcomes, and how long it keeps its history.

They are columns of its row; null takes the default. Programs read `load_cached`, which is at most
`models.recent_reads.MAX_AGE_SECONDS` old.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from models import audit
from models.audit import AuditActor
from models.database import acting_as
from models.errors import NotFound
from models.queries import execute, fetch_first
from models.recent_reads import RecentReads
from models.tables import Workspace
from rules.reconciliation import WhenUnknown

#: The groups in which preferences are shown and changed; the audit log names the group.
Section = Literal["sender", "delivery", "retention"]


@dataclass(frozen=True)
class Preferences:
    """A workspace's preferences; None takes the default. `keep_days` and `keep_text_days` are in days."""

    sender_name: str | None = None
    sender_address: str | None = None
    postal_address: str | None = None
    help_text: str | None = None
    when_unknown: WhenUnknown | None = None
    keep_days: int | None = None
    keep_text_days: int | None = None


def load(workspace_id: str) -> Preferences:
    """Return the workspace's preferences. Raises `NotFound`."""
    query = Workspace.select(
        Workspace.sender_name, Workspace.sender_address, Workspace.postal_address, Workspace.help_text,
        Workspace.when_unknown, Workspace.keep_days, Workspace.keep_text_days,
    )  # fmt: skip
    with acting_as(workspace_id):
        preferences = fetch_first(Preferences, query.where(Workspace.id == workspace_id))
    if preferences is None:
        raise NotFound("There is no such workspace.")
    return preferences


#: `load` with a short cache.
load_cached = RecentReads(load)


def change(workspace_id: str, section: Section, changes: Mapping[str, Any], actor: AuditActor) -> Preferences:
    """Set the named preferences; the audit log has those that differ. Raises `NotFound`."""
    with acting_as(workspace_id):
        detail = audit.compare(asdict(load(workspace_id)), changes)
        if detail["after"]:
            execute(Workspace.update(detail["after"]).where(Workspace.id == workspace_id))
            audit.record(workspace_id, actor, f"{section}.changed", "settings", section, detail)
        current = load(workspace_id)
    load_cached.forget(workspace_id)
    return current
