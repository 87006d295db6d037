"""The moves of a claimed execution: from stage to stage, to a wait or another queue, to the next round and to its end.

    claimed ----------- process stops ------------------> released    shutdown.release_unstarted
       | a thread of its pool is free
       v
    running <--------------------------------+
       |                                     |
       |--- workflow is done ----------------|----------> completed   finish; skipped where a rule forbids it
       |--- until a time, event or decision -|----------> waiting     wait
       |--- step fails ----------------------|----------> failed      handle_failure; waiting if a retry is due
       |--- next call is another queue's:    |            leave_pool
       |      its pool has a place ----------|----------> claimed     Engine.transfer: no record, the same lease
       |      it has none or stops ----------|----------> requeued    requeue
       |                                     |
       | the next step makes an outside call | result or error
       v                                     |
    intent recorded --- process stops -------|----------> requeued    shutdown.undo_intent
       | the record is durable               |
       v                                     |
    outside call ----------------------------+
       |--- process stops, no side effect --------------> released    shutdown.release_in_flight
       |--- process stops, send not answered -----------> failed      shutdown.record_unknown_outcome

A thread of a pool runs the continuation of a running execution; no thread waits while the intent is being recorded.
Every state on the right but *claimed* is one final record. An execution that another pool of this process takes over
keeps its unrecorded changes in memory: a generated text is recorded with the intent to send it, and generated again if
the process dies before. The row of a released or requeued execution is waiting and due at once, so that another claim
continues it. The fence refuses every record of a claim whose lease another process has taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from rules import stages
from rules.stages import Queue, Stage, Status, WaitingFor
from tasks.runtime.claimed_execution import NOT_WAITING, ClaimedExecution

#: Between two stages at least, so that their times order them.
_STEP = timedelta(microseconds=1)
#: By how much the time of a claimed execution may be ahead of PostgreSQL's: what its claim took to arrive. The next
#: claim must find it due.
_AHEAD = timedelta(seconds=1)


def begin_round(claimed: ClaimedExecution) -> None:
    """Begin the next follow-up, whose steps and messages have their own keys."""
    claimed.earlier_steps.extend(claimed.steps.values())
    claimed.earlier_messages.extend(claimed.messages.values())
    claimed.steps, claimed.messages, claimed.limit_reserved_on = {}, {}, None
    claimed.state["round"] += 1


def enter(claimed: ClaimedExecution, stage: Stage) -> None:
    """Move to another stage now; nothing changes where it is the current one."""
    if stage == claimed.stage:
        return
    stages.check_move(claimed.stage, stage)
    at = max(claimed.now(), claimed.state["stage_since"] + _STEP)
    claimed.changes.stages.append(
        {
            "execution_id": claimed.execution_id,
            "from_stage": claimed.stage,
            "from_ms": max(0, int((at - claimed.state["stage_since"]).total_seconds() * 1000)),
            "stage": stage,
            "entered_at": at,
        }
    )
    claimed.state.update({"stage": stage, "stage_since": at})


def wait(claimed: ClaimedExecution, waiting_for: WaitingFor, until: datetime | None, event: str | None = None) -> None:
    """Wait until `until` or the event, whichever comes first; no process works on it meanwhile."""
    claimed.state.update({"status": "waiting", "waiting_for": waiting_for, "due_at": until, "wait_event": event})


def leave_pool(claimed: ClaimedExecution, queue: Queue) -> None:
    """Leave the pool for that of another queue, in memory or by a requeue; `tasks.runtime.continuations` decides."""
    claimed.state["queue"] = claimed.next_queue = queue


def requeue(claimed: ClaimedExecution, queue: Queue) -> None:
    """Make it due at once for the workers of `queue`, which are notified after the record."""
    claimed.state["queue"] = claimed.requeued_to = queue
    wait(claimed, "time", claimed.now() - _AHEAD)


def finish(claimed: ClaimedExecution, status: Status, stage: Stage) -> None:
    """End the execution in a final status and stage."""
    enter(claimed, stage)
    claimed.state.update({"status": status, "finished_at": claimed.now(), "next_retry_at": None, **NOT_WAITING})


def end_follow_ups(claimed: ClaimedExecution, rule: str, detail: Mapping[str, Any]) -> None:
    """End the follow-ups because of a rule: the execution succeeds with what was sent before."""
    claimed.state["follow_up_ended_because"] = {"rule": rule, "detail": dict(detail)}
    finish(claimed, "succeeded", "completed")
