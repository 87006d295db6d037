"""Ends a round whose steps are done: with the execution's end, a wait for a reply, or the next follow-up.

An execution that has sent a message and whose rules have follow-ups waits `every` for a reply. It is then checked again
and repeats its last generation and its last send as the next round, with separate messages. The
only state is rounds, steps and messages, so another worker can continue wherever one dies.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from rules import plan
from rules.definition import REPLIED, Step
from rules.eligibility import Skip
from tasks.eligibility import check
from tasks.runtime import message_rows, moves, step_rows
from tasks.runtime.claimed_execution import FIRST_ROUND, ClaimedExecution
from tasks.runtime.engine import Engine
from tasks.steps.follow_ups import as_output, find_stop_reason, list_follow_up_steps
from tasks.steps.limit_reservations import release_daily_limits


def find_next_step_of_round(claimed: ClaimedExecution) -> Step | None:
    """Return the step to run now, or None at the end of the round."""
    if claimed.round == FIRST_ROUND:
        return plan.find_next_step(claimed.workflow, claimed.finished_outputs)
    done = {step["step_id"] for step in claimed.steps.values() if step["status"] in ("succeeded", "skipped")}
    return next((step for step in list_follow_up_steps(claimed) if step.id not in done), None)


def end_round(engine: Engine, claimed: ClaimedExecution) -> bool:
    """End the round; return whether the execution continues in place with the next one."""
    rounds = {message["round"] for message in claimed.sent_to_contact}
    claimed.state["follow_up_count"] = len(rounds - {FIRST_ROUND})
    if claimed.round > FIRST_ROUND and claimed.round not in rounds:
        _end_unsent(claimed)
        return False
    until = _find_answer_deadline(claimed)
    if until is None:
        _complete(claimed)
        return False
    stopped = claimed.row["follow_ups_stopped"]
    if stopped is not None:
        moves.end_follow_ups(claimed, stopped["rule"], stopped["detail"])
        return False
    if claimed.accepted:
        # The provider's acceptance of the message is recorded before anything else is checked.
        _await_answer(claimed, until)
        return False
    return _continue_after_silence(engine, claimed, until)


def _continue_after_silence(engine: Engine, claimed: ClaimedExecution, until: datetime) -> bool:
    """Begin the next follow-up, unless its time has not come or something stops it."""
    stop_reason = find_stop_reason(claimed)
    if stop_reason is not None:
        moves.end_follow_ups(claimed, stop_reason.rule, stop_reason.detail)
    elif until > claimed.now():
        _await_answer(claimed, until)
    elif claimed.round < claimed.workflow.rules.follow_ups.max:
        moves.begin_round(claimed)
        moves.enter(claimed, "checking")
        return check(engine, claimed)
    else:
        _complete(claimed)
    return False


def end_if_stopped(claimed: ClaimedExecution) -> bool:
    """Discard a begun follow-up that has sent nothing, if something stops it; return whether it was discarded."""
    if claimed.round == FIRST_ROUND or any(
        message["sent_at"] or message["status"] == "sending" for message in claimed.messages.values()
    ):
        return False
    stop_reason = find_stop_reason(claimed)
    if stop_reason is None:
        return False
    _discard_follow_up(claimed, stop_reason)
    return True


def _find_answer_deadline(claimed: ClaimedExecution) -> datetime | None:
    """Return the contact's deadline for a reply, or None without follow-ups or without a send to repeat."""
    follow_ups = claimed.workflow.rules.follow_ups
    if not follow_ups.max or not claimed.sent_to_contact or not list_follow_up_steps(claimed):
        return None
    steps = (*claimed.earlier_steps, *claimed.steps.values())
    finished_at = max(step["finished_at"] for step in steps if step["finished_at"])
    return finished_at + timedelta(seconds=follow_ups.every_seconds)


def _await_answer(claimed: ClaimedExecution, until: datetime) -> None:
    is_last = claimed.round >= claimed.workflow.rules.follow_ups.max
    queue = None if is_last else list_follow_up_steps(claimed)[0].queue
    claimed.state["queue"] = queue or "executions"
    moves.enter(claimed, "sent")
    moves.wait(claimed, "follow_up", until, REPLIED)


def _end_unsent(claimed: ClaimedExecution) -> None:
    """End a follow-up whose send was forbidden right before it."""
    (skipped, *_) = _list_skips(claimed)
    moves.end_follow_ups(claimed, skipped["rule"], {name: value for name, value in skipped.items() if name != "rule"})
    release_daily_limits(claimed)


def _list_skips(claimed: ClaimedExecution) -> list[dict[str, Any]]:
    """Why steps of this round were skipped: rule and detail, in their order."""
    return [
        step["output"]["skipped"] for step in claimed.steps.values() if step["status"] == "skipped" and step["output"]
    ]


def _discard_follow_up(claimed: ClaimedExecution, stop_reason: Skip) -> None:
    for step in list_follow_up_steps(claimed):
        if step.id in claimed.messages:
            message_rows.update(claimed, step, status="discarded")
        if step.id in claimed.steps and claimed.steps[step.id]["status"] != "succeeded":
            step_rows.succeed(claimed, step, as_output(stop_reason), status="skipped")
    if claimed.stage == "sending":
        moves.enter(claimed, "ready_to_send")
    moves.end_follow_ups(claimed, stop_reason.rule, stop_reason.detail)
    release_daily_limits(claimed)


def _complete(claimed: ClaimedExecution) -> None:
    """End the execution as completed, or as skipped if a send was forbidden and nothing was sent."""
    forbidden = _list_skips(claimed)
    if forbidden and not claimed.has_sent:
        claimed.state.update({"skipped_rule": forbidden[0]["rule"], "skipped_detail": forbidden[0]})
        moves.finish(claimed, "skipped", "skipped")
    else:
        moves.finish(claimed, "succeeded", "completed")
    release_daily_limits(claimed)
