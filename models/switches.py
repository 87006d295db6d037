"""A workspace's switches: whether runs are counted, numbers stand in the API's lists, and playbooks are recorded.

They are columns of its row, so a change is a commit. Whoever must not ask at every call reads `seen`, which is at most
`SEEN_AFTER_SECONDS` old in any process. What the environment forces is not known here (`tasks/switches.py`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from models import audit
from models.audit import Actor
from models.database import acting_as, changed, row
from models.refusals import NotThere

#: So old may an answer of `seen` be; promised are five seconds (semantics, section 16).
SEEN_AFTER_SECONDS = 2.0
#: Workspaces remembered by one process.
MOST_REMEMBERED = 10_000


@dataclass(frozen=True)
class Switches:
    """What a workspace says."""

    run_tracking: bool = True
    stats_in_api: bool = True
    execution_tracking: bool = True


NAMES = ("run_tracking", "stats_in_api", "execution_tracking")

_seen: dict[str, tuple[float, Switches]] = {}


def of(workspace_id: str) -> Switches:
    """What the workspace's row says now. Raises `NotThere`."""
    with acting_as(workspace_id):
        found = row(f"select {', '.join(NAMES)} from workspaces where id = %s", (workspace_id,))
    if found is None:
        raise NotThere("There is no such workspace.")
    return Switches(**found)


def seen(workspace_id: str) -> Switches:
    """The same, from a moment ago."""
    at, known = _seen.get(workspace_id, (0.0, None))
    if known is not None and time.monotonic() - at < SEEN_AFTER_SECONDS:
        return known
    if len(_seen) >= MOST_REMEMBERED:
        _seen.clear()
    known = of(workspace_id)
    _seen[workspace_id] = time.monotonic(), known
    return known


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
    _seen.pop(workspace_id, None)
    return now
