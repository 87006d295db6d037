"""Declares the states of an execution: statuses, stages, their valid combinations, and every allowed move.

The stage is the execution's progress for the contact; the status is what the engine does with it. A row enters and
leaves a status as follows:

    pending    in: a trigger was accepted           out: a worker claims it
    running    in: a claim takes the lease          out: an end, a wait, a failure, a requeue, an operator
    waiting    in: a wait, a window, a retry, a pause   out: its time or event, an operator
    succeeded, skipped, cancelled                   out: never
    failed     in: not retryable, or retries are used up   out: only an operator

Each move between stages is one row of the stage history. Steps that send nothing keep the stage, so a running
execution may also be at eligible (before its first send) or at sent (between sends).
"""

from __future__ import annotations

from typing import Literal, get_args

from rules.errors import ErrorClass

Stage = Literal[
    "queued", "checking", "eligible", "generating", "ready_to_send", "sending", "sent", "completed", "failed", "skipped"
]  # fmt: skip
Status = Literal["pending", "running", "waiting", "succeeded", "failed", "skipped", "cancelled"]
#: The queue of an execution's next outside call; `executions` where there is none.
Queue = Literal["executions", "generation", "sending"]
WaitingFor = Literal[
    "time", "window", "event", "follow_up", "retry", "rate_limit", "provider", "review", "pause", "configuration"
]  # fmt: skip
StepStatus = Literal["pending", "running", "succeeded", "failed", "skipped"]
MessageStatus = Literal[
    "pending", "review", "sending", "sent", "delivered", "read", "bounced", "complained", "failed", "outcome_unknown",
    "discarded",
]  # fmt: skip

STAGES: tuple[Stage, ...] = get_args(Stage)
STATUSES: tuple[Status, ...] = get_args(Status)

#: Final statuses; only an operator may retry a failed execution.
FINISHED = frozenset({"succeeded", "failed", "skipped", "cancelled"})
IN_FLIGHT = frozenset(STATUSES) - FINISHED
#: What an execution waits for because of an error, besides its next retry: these waits bear the names of classes.
WAITS_FOR_ERROR: tuple[WaitingFor, ...] = tuple(sorted(set(get_args(WaitingFor)) & set(get_args(ErrorClass))))

_ACTIVE = frozenset({"checking", "eligible", "generating", "ready_to_send", "sending", "sent"})

#: The valid stages of each status.
STAGES_BY_STATUS: dict[str, frozenset[str]] = {
    "pending": frozenset({"queued"}),
    "running": _ACTIVE,
    # A pause or a configuration error keeps an execution at its stage, whichever it is.
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
    # A follow-up that the rules forbid completes the execution.
    "checking": frozenset({"eligible", "completed"}) | _END,
    # Back to checking when active hours open and the rules are evaluated again.
    "eligible": frozenset({"checking", "generating", "ready_to_send", "completed"}) | _END,
    "generating": frozenset({"eligible", "sent", "ready_to_send", "completed"}) | _END,
    "ready_to_send": frozenset({"sending", "generating", "sent", "completed"}) | _END,
    "sending": frozenset({"sent", "ready_to_send"}) | _END,
    "sent": frozenset({"checking", "generating", "ready_to_send", "completed"}) | _END,
    # A retry returns to the stage of the failed step.
    "failed": _ACTIVE | {"skipped", "completed"},
    "completed": frozenset(),
    "skipped": frozenset(),
}


class IllegalMove(Exception):
    """A move that `MOVES` does not allow; nothing was changed."""


def check_move(before: str, after: str) -> None:
    """Raise `IllegalMove` unless an execution at stage `before` may enter stage `after`."""
    if after not in MOVES[before]:
        raise IllegalMove(f"an execution cannot go from {before} to {after}")


def check_status_stage(status: str, stage: str) -> None:
    """Raise `IllegalMove` unless `status` and `stage` go together."""
    if stage not in STAGES_BY_STATUS[status]:
        raise IllegalMove(f"an execution that is {status} cannot be at stage {stage}")
