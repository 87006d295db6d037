"""Turns between workspaces: a notification says that its queue has work, and PostgreSQL says whose turn it is.

Redis keeps notifications in the order of their arrival, so those of a workspace that floods a queue stand before all
others. Each claims one due execution of the queue, of whichever workspace's turn it is, and not its own: there are as
many notifications as due executions, so every execution is claimed, and no workspace waits for the backlog of another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from models.engine.group_commit import GroupCommit
from models.engine.rows import ClaimedRow
from rules.stages import Queue


def claim_notified(
    group_commit: GroupCommit, queue: Queue, execution_ids: Sequence[str], *, rescued: bool
) -> Iterator[ClaimedRow]:
    """Claim as many executions of `queue` as were notified, and yield them as they are claimed.

    The notified ones themselves are claimed only if they are rescued, whose dead worker still holds the lease, or if
    there are fewer due ones: each can be due without being noted as notified.
    """
    unclaimed = list(execution_ids)
    count = len(unclaimed)
    while not rescued and count and (rows := group_commit.claim_in_turns(queue, count)):
        yield from rows
        claimed_ids = {row["id"] for row in rows}
        unclaimed = [execution_id for execution_id in unclaimed if execution_id not in claimed_ids]
        count -= len(rows)
    if count:
        yield from group_commit.claim_many(unclaimed[:count])
