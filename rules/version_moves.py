"""Decides whether an execution can continue on another version of its automation.

It can if the steps that it has passed and the step where it failed or waits exist unchanged in the other version, and
if that step is still the next one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rules.definition import Step, Workflow
from rules.plan import find_next_step, find_step


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
