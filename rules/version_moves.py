"""Decides whether an execution can continue on another version of its automation.

It can if the steps that it has passed and the step where it failed or waits exist unchanged in the other version, and
if that step is still the next one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from rules.definition import Step, Workflow
from rules.plan import find_next_step, find_step, list_arms


def explain_refusal(
    before: Workflow, after: Workflow, finished: Mapping[str, Mapping[str, object]], step_id: str | None, round: int = 0
) -> str | None:
    """Return why an execution cannot move from `before` to `after`; None if it can.

    `finished` are the outputs of its finished steps, as for `rules.plan`; `step_id` is where it failed or waits.
    """
    for passed_id in (*finished, *([step_id] if step_id else [])):
        refusal = _compare(find_step(before, passed_id), find_step(after, passed_id), passed_id)
        if refusal is not None:
            return refusal
    # A follow-up repeats steps that are finished, so the plan does not name its next one.
    next_step = find_next_step(after, finished) if step_id and round == 0 else None
    if step_id and round == 0 and (next_step is None or next_step.id != step_id):
        return f"The current version has another step before “{step_id}”."
    return None


def _compare(before: Step | None, after: Step | None, step_id: str) -> str | None:
    if after is None or before is None:
        return f"The current version has no step “{step_id}”."
    if _without_arms(before) != _without_arms(after):
        return f"The step “{step_id}” is different in the current version."
    return None


def _without_arms(step: Step) -> Step:
    """The step without the steps of its arms: those that were passed are compared by themselves."""
    return replace(step, then=(), otherwise=(), variants=tuple(replace(arm, steps=()) for arm in step.variants))


@dataclass(frozen=True)
class ActivePlace:
    """Where an execution in flight stands: the outputs of its finished steps, whether it is past the check of its
    rules, and whether it is retried or waits for a reply to its last message."""

    finished: Mapping[str, Mapping[str, object]]
    is_begun: bool = True
    is_retry: bool = False
    failed_step: str | None = None
    waits_for_reply: bool = False
    round: int = 0


def explain_active_refusal(before: Workflow, after: Workflow, place: ActivePlace) -> str | None:
    """Return why an execution in flight cannot move from `before` to `after`; None if it can."""
    step_id = find_current_step(before, place)
    refusal = explain_refusal(before, after, place.finished, step_id, place.round)
    if refusal is not None or step_id is not None or place.round or not place.is_begun or place.is_retry:
        return refusal
    # It has no step left: it would go back to work when its time has come.
    next_step = find_next_step(after, place.finished)
    return f"The current version has another step “{next_step.id}” after the last one." if next_step else None


def find_current_step(workflow: Workflow, place: ActivePlace) -> str | None:
    """Return the step where the execution waits; None before its first step, and after its last one."""
    if place.is_retry:
        return place.failed_step
    step = find_next_step(workflow, place.finished) if place.is_begun and place.round == 0 else None
    return step.id if step else None


def describe_place(workflow: Workflow, place: ActivePlace) -> str:
    """Say where the execution stands, for a list."""
    step_id = find_current_step(workflow, place)
    if place.is_retry:
        return f"Retry of “{step_id}”" if step_id else "Retry"
    if place.waits_for_reply or place.round:
        return "Waiting for a reply" if place.waits_for_reply else f"Follow-up {place.round}"
    if not place.is_begun:
        return "Before the first step"
    return f"At “{step_id}”" if step_id else "After the last step"


def describe_move(before: Workflow, after: Workflow, place: ActivePlace) -> str:
    """Say what moving does to an execution that can move."""
    step_id = find_current_step(before, place)
    if place.waits_for_reply or place.round:
        follow_ups = after.rules.follow_ups
        if before.rules.follow_ups == follow_ups:
            return "Keeps waiting; follow-ups stay the same."
        if follow_ups.max <= place.round:
            return "Completes when the wait ends; no follow-up is sent."
        return f"Follow-ups are those of the current version, at most {follow_ups.max}."
    if not place.is_begun or step_id is None:
        return "Starts with the rules and steps of the current version."
    kept = find_step(after, step_id)
    following = None
    if kept is not None and not list_arms(kept):
        following = find_next_step(after, {**place.finished, step_id: {}})
    then = f"then goes on with “{following.id}”" if following else "then follows the current version"
    return f"Stays at “{step_id}”, {then}."
