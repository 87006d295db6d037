"""A workspace's switches: whether runs are counted, numbers stand in the API's lists, and playbooks are recorded.

They are columns of its row, so a change is a commit. Whoever must not ask at every call reads `seen`, which is at most
`models.recent_reads.SEEN_AFTER_SECONDS` old in any process. What the environment forces is known in
`tasks/operators/switches.py` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models import audit
from models.audit import Actor
from models.database import acting_as, execute, fetch_row
from models.errors import NotFound
from models.recent_reads import RecentReads


@dataclass(frozen=True)
class Switches:
    """What a workspace says."""

    run_tracking: bool = True
    stats_in_api: bool = True
    execution_tracking: bool = True


NAMES = ("run_tracking", "stats_in_api", "execution_tracking")


def load(workspace_id: str) -> Switches:
    """What the workspace's row says now. Raises `NotThere`."""
    with acting_as(workspace_id):
        row = fetch_row(f"select {', '.join(NAMES)} from workspaces where id = %s", (workspace_id,))
    if row is None:
        raise NotFound("There is no such workspace.")
    return Switches(**row)


#: The same, from a moment ago.
load_cached = RecentReads(load)


def change(workspace_id: str, changes: Mapping[str, bool], actor: Actor) -> Switches:
    """Turn the named switches; only what really changes is written and logged. Raises `NotThere`."""
    with acting_as(workspace_id):
        before = load(workspace_id)
        for name in NAMES:
            if name not in changes or changes[name] == getattr(before, name):
                continue
            execute(f"update workspaces set {name} = %s where id = %s", (changes[name], workspace_id))
            action = "switch.on" if changes[name] else "switch.off"
            audit.record(workspace_id, actor, action, "switch", name)
        current = load(workspace_id)
    load_cached.forget(workspace_id)
    return current
