"""A workspace's switches: whether to count runs, show statistics in the API's lists, and record playbooks.

They are columns of its row. `load_cached` avoids a query at every call and is at most
`models.recent_reads.MAX_AGE_SECONDS` old in any process. Only `tasks/operators/switches.py` applies the environment's
overrides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models import audit
from models.audit import AuditActor
from models.database import acting_as
from models.errors import NotFound
from models.queries import execute, fetch_first
from models.recent_reads import RecentReads
from models.tables import Workspace


@dataclass(frozen=True)
class Switches:
    """A workspace's own switches, before the environment's overrides."""

    run_tracking: bool = True
    stats_in_api: bool = True
    execution_tracking: bool = True


NAMES = ("run_tracking", "stats_in_api", "execution_tracking")


def load(workspace_id: str) -> Switches:
    """Return the workspace's current switches. Raises `NotFound`."""
    query = Workspace.select(Workspace.run_tracking, Workspace.stats_in_api, Workspace.execution_tracking)
    with acting_as(workspace_id, with_first=True):
        switches = fetch_first(Switches, query.where(Workspace.id == workspace_id))
    if switches is None:
        raise NotFound("There is no such workspace.")
    return switches


#: `load` with a short cache.
load_cached = RecentReads(load)


def change(workspace_id: str, changes: Mapping[str, bool], actor: AuditActor) -> Switches:
    """Set the named switches; only actual changes are written and audited. Raises `NotFound`."""
    with acting_as(workspace_id):
        before = load(workspace_id)
        for name in NAMES:
            if name not in changes or changes[name] == getattr(before, name):
                continue
            execute(Workspace.update({name: changes[name]}).where(Workspace.id == workspace_id))
            action = "switch.on" if changes[name] else "switch.off"
            detail = audit.compare({name: getattr(before, name)}, {name: changes[name]})
            audit.record(workspace_id, actor, action, "switch", name, detail)
        current = load(workspace_id)
    load_cached.forget(workspace_id)
    return current
