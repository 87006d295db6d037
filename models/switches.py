"""A workspace's switches: whether runs are counted, numbers stand in the API's lists, and playbooks are recorded.

They are columns of its row, so a change is a commit. Whoever must not ask at every call reads `seen`, which is at most
`models.seen.SEEN_AFTER_SECONDS` old in any process. What the environment forces is known in `tasks/switches.py` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models import audit
from models.audit import Actor
from models.database import acting_as, changed, row
from models.refusals import NotThere
from models.seen import Seen


@dataclass(frozen=True)
class Switches:
    """What a workspace says."""

    run_tracking: bool = True
    stats_in_api: bool = True
    execution_tracking: bool = True


NAMES = ("run_tracking", "stats_in_api", "execution_tracking")


def of(workspace_id: str) -> Switches:
    """What the workspace's row says now. Raises `NotThere`."""
    with acting_as(workspace_id):
        found = row(f"select {', '.join(NAMES)} from workspaces where id = %s", (workspace_id,))
    if found is None:
        raise NotThere("There is no such workspace.")
    return Switches(**found)


#: The same, from a moment ago.
seen = Seen(of)


def change(workspace_id: str, wanted: Mapping[str, bool], actor: Actor) -> Switches:
    """Turn the named switches; only what really changes is written and logged. Raises `NotThere`."""
    with acting_as(workspace_id):
        before = of(workspace_id)
        for name in NAMES:
            if name not in wanted or wanted[name] == getattr(before, name):
                continue
            changed(f"update workspaces set {name} = %s where id = %s", (wanted[name], workspace_id))
            action = "switch.on" if wanted[name] else "switch.off"
            audit.record(workspace_id, actor, action, "switch", name)
        now = of(workspace_id)
    seen.forget(workspace_id)
    return now
