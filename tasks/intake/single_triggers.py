"""Accepts single triggers of a web process in groups: concurrent ones of a workspace share one transaction.

The statements are those of a batch (`tasks/intake/triggers.py`), and each request gets the answer that it would get by
itself. So what a group does not accept is decided again, apart: a rejected trigger, because it may owe that to its
group, and every trigger of a group that another transaction's lock on a key or a contact would hold up. One that
PostgreSQL or a condition rejects with an error fails alone, because the door halves its group.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from cachetools import LRUCache
from psycopg2.errors import DeadlockDetected, LockNotAvailable

from models.contact_matching import ConcurrentInsert
from models.database import CONNECTION_ERRORS, unwrap_driver_error
from models.engine.group_door import GroupDoor
from rules.trigger_requests import TriggerRequest
from tasks.intake.triggers import AcceptedTrigger, RejectedTrigger, TriggerResult, accept, accept_without_waiting, count

#: How long a group waits for a lock. A request that is decided apart waits as long as it would alone.
LOCK_TIMEOUT_MS = 50
#: Workspaces with a door; one that is forgotten while it is in use only groups less.
_MAX_DOORS = 1_000


@dataclass(frozen=True)
class _Entry:
    request: TriggerRequest
    size: int


@dataclass(frozen=True)
class _Settled:
    """What a group made of one entry; `result` is None where the trigger is decided apart. The first entry of a group
    notifies for all, in its own thread, so that a slow Redis holds up no other."""

    result: TriggerResult | None
    notify: Callable[[], None] | None = None


def accept_single(workspace_id: str, request: TriggerRequest, source: str, size: int) -> TriggerResult:
    """Accept or reject a trigger as `triggers.accept` does, together with those of this moment; `size` is that of its
    body in bytes.

    Raises the database's connection errors while PostgreSQL is unavailable or too much is waiting.
    """
    if request.test:
        # Only tests may name sample contacts, so they share no look-up with others.
        return accept(workspace_id, [request], source)[0]
    settled = _find_door(workspace_id, source).submit(_Entry(request, size))
    if settled.notify is not None:
        settled.notify()
    if settled.result is None:
        return accept(workspace_id, [request], source)[0]
    count([settled.result], source)
    return settled.result


def _write(workspace_id: str, source: str, entries: list[_Entry]) -> Sequence[_Settled]:
    try:
        results, notify = accept_without_waiting(
            workspace_id, [entry.request for entry in entries], source, LOCK_TIMEOUT_MS
        )
    except ConcurrentInsert:
        return [_Settled(None)] * len(entries)
    except CONNECTION_ERRORS as error:
        if not isinstance(unwrap_driver_error(error), LockNotAvailable | DeadlockDetected):
            raise
        return [_Settled(None)] * len(entries)
    kept = [result if isinstance(result, AcceptedTrigger) or _is_final(result, len(entries)) else None
            for result in results]  # fmt: skip
    return [_Settled(result, None if index else notify) for index, result in enumerate(kept)]


def _is_final(result: TriggerResult, size: int) -> bool:
    """Whether a rejection stays one apart from the group of this size: a contact that is missing may be merged."""
    return size == 1 and not (isinstance(result, RejectedTrigger) and result.status == 404)


_doors: LRUCache[tuple[str, str], GroupDoor[_Entry, _Settled]] = LRUCache(_MAX_DOORS)
_doors_lock = threading.Lock()


def _find_door(workspace_id: str, source: str) -> GroupDoor[_Entry, _Settled]:
    with _doors_lock:
        door = _doors.get((workspace_id, source))
        if door is None:
            door = GroupDoor(partial(_write, workspace_id, source), measure=lambda entry: entry.size)
            _doors[workspace_id, source] = door
        return door
