"""What follows when a round's steps are done: the end, a wait for the contact's answer, or the next follow-up.

An execution of which something was sent, and whose rules ask for follow-ups, waits `every` for an answer, is judged
anew, and does its last writing and its last send again as the next round, with messages of their own (semantics,
section 7). Nothing of this is remembered but rounds, steps and messages, so a worker that dies at any point leaves
enough for the next one to go on.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from rules.definition import Step
from rules.eligibility import Skip
from rules.plan import next_step
from tasks.checking import check
from tasks.engine import Engine
from tasks.follow_ups import REPLIED, as_output, called_off, steps_of_follow_up
from tasks.passage import FIRST_ROUND, Passage, moment_of
from tasks.places import give_back_place


def next_of_round(passage: Passage) -> Step | None:
    """The step to do now; None when the round has come to its end."""
    if passage.round == FIRST_ROUND:
        return next_step(passage.workflow, passage.finished)
    done = {step["step_id"] for step in passage.steps.values() if step["status"] in ("succeeded", "skipped")}
    return next((step for step in steps_of_follow_up(passage) if step.id not in done), None)


def end_round(engine: Engine, passage: Passage) -> bool:
    """The round's steps are done; whether the passage goes on in place, with the next round."""
    rounds = {message["round"] for message in passage.sent_to_contact}
    passage.state["follow_up_count"] = len(rounds - {FIRST_ROUND})
    if passage.round > FIRST_ROUND and passage.round not in rounds:
        _end_unsent(passage)
        return False
    until = _awaited_until(passage)
    if until is None:
        _complete(passage)
        return False
    stopped = passage.row["follow_ups_stopped"]
    if stopped is not None:
        passage.end_follow_ups(stopped["rule"], stopped["detail"])
        return False
    if passage.accepted:
        # That the provider took the message is recorded before anything else is asked.
        _await_answer(passage, until)
        return False
    return _after_silence(engine, passage, until)


def _after_silence(engine: Engine, passage: Passage, until: datetime) -> bool:
    """The next follow-up if none came before its time, and nothing else calls it off."""
    ended = called_off(passage)
    if ended is not None:
        passage.end_follow_ups(ended.rule, ended.detail)
    elif until > passage.now():
        _await_answer(passage, until)
    elif passage.round < passage.workflow.rules.follow_ups.max:
        passage.begin_round()
        passage.enter("checking")
        return check(engine, passage)
    else:
        _complete(passage)
    return False


def is_called_off(passage: Passage) -> bool:
    """Whether a follow-up that was begun, and of which nothing has left yet, is to be left; then it was."""
    if passage.round == FIRST_ROUND or any(
        message["sent_at"] or message["status"] == "sending" for message in passage.messages.values()
    ):
        return False
    ended = called_off(passage)
    if ended is None:
        return False
    _leave(passage, ended)
    return True


def _awaited_until(passage: Passage) -> datetime | None:
    """Until when the contact has time to answer; None where no follow-ups are wanted, or there is nothing to repeat."""
    wanted = passage.workflow.rules.follow_ups
    if not wanted.max or not passage.sent_to_contact or not steps_of_follow_up(passage):
        return None
    done = [moment_of(step["finished_at"]) for step in (*passage.earlier_steps, *passage.steps.values())]
    return max(done) + timedelta(seconds=wanted.every_seconds)


def _await_answer(passage: Passage, until: datetime) -> None:
    is_last = passage.round >= passage.workflow.rules.follow_ups.max
    passage.state["queue"] = "executions" if is_last else steps_of_follow_up(passage)[0].queue
    passage.enter("sent")
    passage.wait("follow_up", until, REPLIED)


def _end_unsent(passage: Passage) -> None:
    """The send of this follow-up was forbidden at the last moment."""
    (skipped, *_) = [step["output"]["skipped"] for step in passage.steps.values() if step["status"] == "skipped"]
    passage.end_follow_ups(skipped["rule"], {name: one for name, one in skipped.items() if name != "rule"})
    give_back_place(passage)


def _leave(passage: Passage, ended: Skip) -> None:
    for step in steps_of_follow_up(passage):
        if step.id in passage.messages:
            passage.message(step, status="discarded")
        if step.id in passage.steps and passage.steps[step.id]["status"] != "succeeded":
            passage.succeed(step, as_output(ended), status="skipped")
    if passage.stage == "sending":
        passage.enter("ready_to_send")
    passage.end_follow_ups(ended.rule, ended.detail)
    give_back_place(passage)


def _complete(passage: Passage) -> None:
    """The plan is done: completed, or skipped if every send was forbidden and nothing left."""
    forbidden = [step["output"]["skipped"] for step in passage.steps.values() if step["status"] == "skipped"]
    if forbidden and not passage.sent_something:
        passage.state.update(skipped_rule=forbidden[0]["rule"], skipped_detail=forbidden[0])
        passage.finish("skipped", "skipped")
    else:
        passage.finish("succeeded", "completed")
    give_back_place(passage)
