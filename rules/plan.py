"""The way through a workflow: what comes next, given what is finished.

`finished` maps the id of each finished step to its output. The output of a branch, a split or a `wait_until` names the
arm that was taken: `{"taken": "then"}`, `{"taken": "else"}`, or a variant's name; the plan walks into that arm and
then on. Nothing is remembered between calls: the same `finished` gives the same answer, in time linear in the steps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from rules import conditions
from rules.definition import Step, Workflow
from rules.errors import InvalidRequest

Finished = Mapping[str, Mapping[str, object]]

#: What a look ahead may find besides a queue or a channel: the list of steps ends, or the execution does.
_FALLS_THROUGH = "falls through"
_ENDS = "ends"
_WAITS = "waits"

#: Actions that hold arms, and those that let time pass.
_FORKS = frozenset({"branch", "split", "wait_until"})
_WAITING = frozenset({"wait", "wait_until"})


def next_step(workflow: Workflow, finished: Finished) -> Step | None:
    """The step to do now; None when the workflow has come to its end."""
    step, _ = _next(workflow.steps, finished)
    return step


def _next(steps: tuple[Step, ...], finished: Finished) -> tuple[Step | None, bool]:
    """The next step of a list, and whether a `stop` has ended everything."""
    for step in steps:
        output = finished.get(step.id)
        if output is None:
            return step, False
        if step.action == "stop":
            return None, True
        if step.action in _FORKS:
            found, stopped = _next(_taken(step, output), finished)
            if found is not None or stopped:
                return found, stopped
    return None, False


def arms(step: Step) -> dict[str, tuple[Step, ...]]:
    """The ways a step may go by name; empty for a step that goes on straight."""
    if step.action == "split":
        return {variant.name: variant.steps for variant in step.variants}
    return {"then": step.then, "else": step.otherwise} if step.action in _FORKS else {}


def _taken(step: Step, output: Mapping[str, object]) -> tuple[Step, ...]:
    return arms(step).get(str(output.get("taken")), ())


def next_queue(workflow: Workflow, finished: Finished) -> str:
    """The queue of the next outside call: `generation`, `sending`, or `executions` when it cannot be told.

    It cannot where there is no such call, where a wait comes first, and where ways that are still open disagree.
    """
    found = _ahead(workflow.steps, finished, lambda step: step.queue, _undecided)
    return found.pop() if found in ({"generation"}, {"sending"}) else "executions"


def first_send_channel(workflow: Workflow, finished: Finished, facts: Mapping[str, object]) -> str | None:
    """The channel of the first message to the contact on the way ahead, waits included.

    Open branches are decided by `facts` where these can decide them (a condition on a step that is not finished
    cannot be known), splits by the contact's id. None when nothing is sent, or the ways that stay open disagree.
    """
    return _first_send(workflow, finished, facts, lambda step: step.channel, through_waits=True)


def first_send_way(
    workflow: Workflow, finished: Finished, facts: Mapping[str, object], *, through_waits: bool
) -> str | None:
    """How that message goes (`Step.way`). Without `through_waits`, None also where a wait comes before it."""
    return _first_send(workflow, finished, facts, lambda step: step.way, through_waits=through_waits)


def _first_send(
    workflow: Workflow,
    finished: Finished,
    facts: Mapping[str, object],
    label: Callable[[Step], str | None],
    *,
    through_waits: bool,
) -> str | None:
    def choose(step: Step) -> str | None:
        return _foreseen(step, finished, facts)

    found = _ahead(workflow.steps, finished, label, choose, through_waits=through_waits)
    only = found.pop() if len(found) == 1 else None
    return None if only in (_FALLS_THROUGH, _ENDS, _WAITS) else only


def _undecided(_step: Step) -> str | None:
    return None


def _foreseen(step: Step, finished: Finished, facts: Mapping[str, object]) -> str | None:
    """The arm that an open fork will take, if the facts say so now."""
    if step.action == "split":
        contact = facts.get("contact")
        known = contact.get("id") if isinstance(contact, Mapping) else None
        return split_variant(step, str(known)) if known else None
    if step.action != "branch" or step.condition is None:
        return None
    named = [path for path in conditions.variables(step.condition) if path[0] == "steps"]
    if any(len(path) < 2 or path[1] not in finished for path in named):
        return None
    return "then" if conditions.holds(step.condition, facts) else "else"


def _ahead(
    steps: tuple[Step, ...],
    finished: Finished,
    label: Callable[[Step], str | None],
    choose: Callable[[Step], str | None],
    *,
    through_waits: bool = False,
) -> set[str]:
    """Every label that may be met first from here on, over all the ways that are open."""
    found: set[str] = set()
    for step in steps:
        output = finished.get(step.id)
        met = label(step) if output is None else None
        if met is not None:
            return found | {met}
        if step.action == "stop":
            return found | {_ENDS}
        if output is None and step.action in _WAITING and not through_waits:
            return found | {_WAITS}
        if step.action not in _FORKS:
            continue
        ways = _ways(step, output, choose)
        within = set().union(*(_ahead(way, finished, label, choose, through_waits=through_waits) for way in ways))
        found |= within - {_FALLS_THROUGH}
        if _FALLS_THROUGH not in within:
            return found
    return found | {_FALLS_THROUGH}


def _ways(
    step: Step, output: Mapping[str, object] | None, choose: Callable[[Step], str | None]
) -> list[tuple[Step, ...]]:
    if output is not None:
        return [_taken(step, output)]
    chosen = choose(step)
    return [arms(step)[chosen]] if chosen is not None else list(arms(step).values())


def take(step: Step, facts: Mapping[str, object], contact_id: str) -> str:
    """The arm that a branch or split takes. Raises `InvalidRequest` when the step is neither."""
    if step.action == "split":
        return split_variant(step, contact_id)
    if step.action == "branch" and step.condition is not None:
        return "then" if conditions.holds(step.condition, facts) else "else"
    raise InvalidRequest(f'the step "{step.id}" ({step.action}) does not decide anything')


def split_variant(step: Step, contact_id: str) -> str:
    """The variant of a split for this contact: by weight, by chance, and for ever the same.

    The chance is a SHA-256 of the step's id and the contact's: two splits with different ids are independent.
    """
    digest = hashlib.sha256(f"{step.id}:{contact_id}".encode()).digest()
    point = int.from_bytes(digest[:8], "big") % sum(variant.weight for variant in step.variants)
    for variant in step.variants:
        point -= variant.weight
        if point < 0:
            return variant.name
    raise AssertionError("the weights of a split add up to more than any point")


def follow_up_steps(workflow: Workflow, finished: Finished, skipped: Collection[str] = ()) -> tuple[Step, ...]:
    """What each follow-up does again: the last text that was written and the last message to the contact, if any left.

    None where a `stop` has ended everything. A public answer to a comment is given once, a private reply too: after it
    comes a plain message. `skipped` steps count as not done.
    """
    if _next(workflow.steps, finished)[1]:
        return ()
    done = {step_id: output for step_id, output in finished.items() if step_id not in skipped}
    message = last_step(workflow, done, queue="sending")
    text = last_step(workflow, done, queue="generation")
    if message is None:
        return ()
    if message.way == "private_reply":
        message = replace(message, with_={**message.with_, "as": "message"})
    return (text, message) if text is not None else (message,)


def last_step(workflow: Workflow, finished: Finished, *, queue: str) -> Step | None:
    """The last finished step whose outside call is of this queue, among those that write to the contact."""
    last: Step | None = None
    waiting = list(reversed(workflow.steps))
    while waiting:
        step = waiting.pop()
        if step.id not in finished:
            continue
        if step.queue == queue and (queue != "sending" or (step.channel and step.action != "reply_comment")):
            last = step
        waiting.extend(reversed(_taken(step, finished[step.id])))
    return last


def find_step(workflow: Workflow, step_id: str) -> Step | None:
    """The step with this id, on whichever way it lies."""
    waiting = list(workflow.steps)
    while waiting:
        step = waiting.pop()
        if step.id == step_id:
            return step
        waiting.extend(inner for way in arms(step).values() for inner in way)
    return None
