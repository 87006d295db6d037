"""Decides the next step of a workflow from the finished steps.

`finished` maps the id of each finished step to its output. The output of a branch, a split or a `wait_until` names the
arm that was taken: `{"taken": "then"}`, `{"taken": "else"}`, or a variant's name; the plan continues in that arm and
then after it. No state is kept between calls: the same `finished` gives the same result, in time linear in the steps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import cast

from rules import conditions
from rules.actions import ACTIONS
from rules.definition import Step, Workflow
from rules.stages import Queue

Finished = Mapping[str, Mapping[str, object]]

#: Results of a look-ahead besides a queue or a channel: the list of steps ends, the execution ends, a wait comes first.
_FALLS_THROUGH = "falls through"
_ENDS = "ends"
_WAITS = "waits"

#: Actions with arms, and actions that wait.
_FORKS = frozenset(name for name, action in ACTIONS.items() if action.is_fork)
_WAITING = frozenset(name for name, action in ACTIONS.items() if action.is_wait)


def find_next_step(workflow: Workflow, finished: Finished) -> Step | None:
    """Return the step to run now; None at the end of the workflow."""
    step, _ = _find_next(workflow.steps, finished)
    return step


def _find_next(steps: tuple[Step, ...], finished: Finished) -> tuple[Step | None, bool]:
    """Return the next step of a list, and whether a `stop` has ended the execution."""
    for step in steps:
        output = finished.get(step.id)
        if output is None:
            return step, False
        if step.action == "stop":
            return None, True
        if step.action in _FORKS:
            next_step, stopped = _find_next(_find_taken_arm(step, output), finished)
            if next_step is not None or stopped:
                return next_step, stopped
    return None, False


def list_arms(step: Step) -> dict[str, tuple[Step, ...]]:
    """Return the arms of a step by name; empty for a step without arms."""
    if step.action == "split":
        return {variant.name: variant.steps for variant in step.variants}
    return {"then": step.then, "else": step.otherwise} if step.action in _FORKS else {}


def _find_taken_arm(step: Step, output: Mapping[str, object]) -> tuple[Step, ...]:
    return list_arms(step).get(str(output.get("taken")), ())


def find_next_queue(workflow: Workflow, finished: Finished) -> Queue:
    """Return the queue of the next outside call: `generation`, `sending`, or `executions` if it is not determined.

    It is not determined without such a call, if a wait comes first, and if open arms disagree.
    """
    queues = _find_first_labels(workflow.steps, finished, lambda step: step.queue, _choose_none)
    return cast(Queue, queues.pop()) if queues in ({"generation"}, {"sending"}) else "executions"


def find_first_send_channel(workflow: Workflow, finished: Finished, facts: Mapping[str, object]) -> str | None:
    """Return the channel of the first message to the contact ahead, looking past waits.

    `facts` decide open branches where possible (a condition on an unfinished step is not decidable), the contact's id
    decides splits. None if no message is sent, or if arms that stay open disagree.
    """
    return _find_first_send(workflow, finished, facts, lambda step: step.channel, through_waits=True)


def find_first_message_kind(
    workflow: Workflow, finished: Finished, facts: Mapping[str, object], *, through_waits: bool
) -> str | None:
    """Return that message's kind (`Step.message_kind`). Without `through_waits`, None if a wait comes before it."""
    return _find_first_send(workflow, finished, facts, lambda step: step.message_kind, through_waits=through_waits)


def _find_first_send(
    workflow: Workflow,
    finished: Finished,
    facts: Mapping[str, object],
    label: Callable[[Step], str | None],
    *,
    through_waits: bool,
) -> str | None:
    def choose(step: Step) -> str | None:
        return _predict_arm(step, finished, facts)

    labels = _find_first_labels(workflow.steps, finished, label, choose, through_waits=through_waits)
    result = labels.pop() if len(labels) == 1 else None
    return None if result in (_FALLS_THROUGH, _ENDS, _WAITS) else result


def _choose_none(_step: Step) -> str | None:
    return None


def _predict_arm(step: Step, finished: Finished, facts: Mapping[str, object]) -> str | None:
    """Return the arm that an unfinished step will take, or None if the facts do not decide it yet."""
    if step.action == "split":
        contact = facts.get("contact")
        contact_id = contact.get("id") if isinstance(contact, Mapping) else None
        return choose_variant(step, str(contact_id)) if contact_id else None
    if step.action != "branch" or step.condition is None:
        return None
    step_paths = [path for path in conditions.list_variables(step.condition) if path[0] == "steps"]
    if any(len(path) < 2 or path[1] not in finished for path in step_paths):
        return None
    return "then" if conditions.evaluate(step.condition, facts) else "else"


def _find_first_labels(
    steps: tuple[Step, ...],
    finished: Finished,
    label: Callable[[Step], str | None],
    choose: Callable[[Step], str | None],
    *,
    through_waits: bool = False,
) -> set[str]:
    """Return every label that may come first from here, over all open arms."""
    labels: set[str] = set()
    for step in steps:
        output = finished.get(step.id)
        step_label = label(step) if output is None else None
        if step_label is not None:
            return labels | {step_label}
        if step.action == "stop":
            return labels | {_ENDS}
        if output is None and step.action in _WAITING and not through_waits:
            return labels | {_WAITS}
        if step.action not in _FORKS:
            continue
        arms = _list_open_arms(step, output, choose)
        inner_labels = set().union(
            *(_find_first_labels(arm, finished, label, choose, through_waits=through_waits) for arm in arms)
        )
        labels |= inner_labels - {_FALLS_THROUGH}
        if _FALLS_THROUGH not in inner_labels:
            return labels
    return labels | {_FALLS_THROUGH}


def _list_open_arms(
    step: Step, output: Mapping[str, object] | None, choose: Callable[[Step], str | None]
) -> list[tuple[Step, ...]]:
    if output is not None:
        return [_find_taken_arm(step, output)]
    arm = choose(step)
    return [list_arms(step)[arm]] if arm is not None else list(list_arms(step).values())


def choose_variant(step: Step, contact_id: str) -> str:
    """Return the variant of a split for this contact: weighted, random, and always the same.

    The choice is a SHA-256 hash of the step's id and the contact's id: splits with different ids are independent.
    """
    digest = hashlib.sha256(f"{step.id}:{contact_id}".encode()).digest()
    point = int.from_bytes(digest[:8], "big") % sum(variant.weight for variant in step.variants)
    for variant in step.variants:
        point -= variant.weight
        if point < 0:
            return variant.name
    raise AssertionError("the point is beyond the total weight of the split")


def list_follow_up_steps(workflow: Workflow, finished: Finished, skipped: Collection[str] = ()) -> tuple[Step, ...]:
    """Return the steps that each follow-up repeats: the last generated text and the last message to the contact.

    Empty without a message, or if a `stop` has ended the execution. A public reply to a comment is never repeated; a
    private reply is repeated as a plain message. `skipped` steps count as not done.
    """
    if _find_next(workflow.steps, finished)[1]:
        return ()
    done = {step_id: output for step_id, output in finished.items() if step_id not in skipped}
    message = find_last_step(workflow, done, queue="sending")
    text = find_last_step(workflow, done, queue="generation")
    if message is None:
        return ()
    if message.message_kind == "private_reply":
        message = replace(message, with_={**message.with_, "as": "message"})
    return (text, message) if text is not None else (message,)


def find_last_step(workflow: Workflow, finished: Finished, *, queue: str) -> Step | None:
    """Return the last finished step of this queue; of `sending`, only steps that message the contact."""
    last: Step | None = None
    stack = list(reversed(workflow.steps))
    while stack:
        step = stack.pop()
        if step.id not in finished:
            continue
        if step.queue == queue and (queue != "sending" or (step.channel and step.action != "reply_comment")):
            last = step
        stack.extend(reversed(_find_taken_arm(step, finished[step.id])))
    return last


def find_step(workflow: Workflow, step_id: str) -> Step | None:
    """Return the step with this id in any arm, or None."""
    return next((step for step in iter_steps(workflow.steps) if step.id == step_id), None)


def iter_steps(steps: Sequence[Step]) -> Iterator[Step]:
    """Yield these steps and those of their arms."""
    stack = list(reversed(steps))
    while stack:
        step = stack.pop()
        yield step
        stack.extend(inner for arm in reversed(list_arms(step).values()) for inner in reversed(arm))
