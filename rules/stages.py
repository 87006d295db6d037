"""The states of an execution: every status, every stage, which go together, and every move that is allowed.

Where the execution *stands* for the contact is its stage; what the engine *does* with it is its status. A row moves
in and out of a status as follows (semantics, sections 1 and 5):

    pending    in: a trigger was accepted           out: a worker claims it
    running    in: a claim takes the lease          out: a finish, a wait, a failure, a hand-over, an operator
    waiting    in: a wait, a window, a retry, a pause   out: its time or event comes, an operator
    succeeded, skipped, cancelled                   out: never
    failed     in: not retryable, or retries are used up   out: only an operator

A stage that is left and entered is one row of the stage history. Steps that send nothing keep the stage, so a
running execution may also stand at eligible (before its first send) or at sent (between sends).
"""

from __future__ import annotations

from typing import Literal, get_args

Stage = Literal[
    "queued", "checking", "eligible", "generating", "ready_to_send", "sending", "sent", "completed", "failed", "skipped"
]  # fmt: skip
Status = Literal["pending", "running", "waiting", "succeeded", "failed", "skipped", "cancelled"]
#: The queue of an execution's next outside call; `executions` where there is none.
Queue = Literal["executions", "generation", "sending"]
WaitingFor = Literal[
    "time", "window", "event", "follow_up", "retry", "rate_limit", "review", "pause", "configuration"
]  # fmt: skip
StepStatus = Literal["pending", "running", "succeeded", "failed", "skipped"]
MessageStatus = Literal[
    "pending", "review", "sending", "sent", "delivered", "read", "bounced", "complained", "failed", "outcome_unknown",
    "discarded",
]  # fmt: skip

STAGES: tuple[Stage, ...] = get_args(Stage)
STATUSES: tuple[Status, ...] = get_args(Status)

#: Statuses that nothing moves any more, except that an operator may retry what failed.
FINISHED = frozenset({"succeeded", "failed", "skipped", "cancelled"})
IN_FLIGHT = frozenset(STATUSES) - FINISHED

_ACTIVE = frozenset({"checking", "eligible", "generating", "ready_to_send", "sending", "sent"})

#: The stages that go with each status.
STAGES_BY_STATUS: dict[str, frozenset[str]] = {
    "pending": frozenset({"queued"}),
    "running": _ACTIVE,
    # A pause or a configuration error holds an execution where it is, at any stage.
    "waiting": _ACTIVE | {"queued", "failed"},
    "succeeded": frozenset({"completed"}),
    "failed": frozenset({"failed"}),
    "skipped": frozenset({"skipped"}),
    "cancelled": frozenset({"skipped"}),
}

_END = frozenset({"failed", "skipped"})

#: From each stage, the stages that an execution may enter next.
MOVES: dict[str, frozenset[str]] = {
    "queued": frozenset({"checking"}) | _END,
    # A follow-up that the rules forbid is the end of what was sent before.
    "checking": frozenset({"eligible", "completed"}) | _END,
    # Back to checking when a waited-for window opens and the rules are judged anew.
    "eligible": frozenset({"checking", "generating", "ready_to_send", "completed"}) | _END,
    "generating": frozenset({"eligible", "sent", "ready_to_send", "completed"}) | _END,
    "ready_to_send": frozenset({"sending", "generating", "sent", "completed"}) | _END,
    "sending": frozenset({"sent", "ready_to_send"}) | _END,
    "sent": frozenset({"checking", "generating", "ready_to_send", "completed"}) | _END,
    # A retry goes back to the stage of the step that failed.
    "failed": _ACTIVE | {"skipped", "completed"},
    "completed": frozenset(),
    "skipped": frozenset(),
}


class IllegalMove(Exception):
    """A move that the table above does not hold; nothing was changed."""


def check_move(before: str, after: str) -> None:
    """Raise `IllegalMove` unless an execution at stage `before` may enter stage `after`."""
    if after not in MOVES[before]:
        raise IllegalMove(f"an execution cannot go from {before} to {after}")


def check_status_stage(status: str, stage: str) -> None:
    """Raise `IllegalMove` unless `status` and `stage` go together."""
    if stage not in STAGES_BY_STATUS[status]:
        raise IllegalMove(f"an execution that is {status} cannot stand at {stage}")
