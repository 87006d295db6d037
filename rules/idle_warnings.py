"""Warns of steps that never run or that change nothing, and of branches that always go the same way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rules import conditions
from rules.actions import ACTIONS
from rules.definition_warnings import DefinitionWarning, Fix, build_change, build_removal, warn
from rules.delivery_warnings import can_remove
from rules.source_edits import Edit
from rules.step_walk import Visit, Walk, list_arms


def list_idle_warnings(document: Mapping[str, Any], walk: Walk, used: frozenset[str]) -> Iterator[DefinitionWarning]:
    """Yield the warnings of a valid definition of a workflow; `used` are the steps whose outputs are read."""
    rules = document.get("rules") or {}
    delays_end = bool((rules.get("follow_ups") or {}).get("max")) or rules.get("reentry") == "after_finish"
    for visit in walk.visits:
        if visit.before is None:
            yield from _check_unreachable(visit)
            continue
        if visit.is_last and not delays_end:
            yield from _check_last_wait(visit, used)
        if ACTIONS[visit.action].is_fork and not ACTIONS[visit.action].is_wait:
            yield from _check_fork(visit, used)
        elif visit.action == "generate_message" and visit.id not in used:
            yield _warn(visit, "No step uses this text.", used)
        elif visit.action == "update_contact":
            yield from _check_update(visit)


def _warn(visit: Visit, message: str, used: frozenset[str]) -> DefinitionWarning:
    return warn(visit.name_path("action"), message, _build_removal(visit, used))


def _build_removal(visit: Visit, used: frozenset[str]) -> Fix | None:
    return build_removal("Remove the step", *visit.path) if can_remove(visit, used) else None


def _check_unreachable(visit: Visit) -> Iterator[DefinitionWarning]:
    """Yield a warning for the first of the steps that no path reaches; the fix removes them."""
    index = visit.index
    earlier = visit.siblings[index - 1] if index else None
    if earlier is None or not _ends(earlier):
        return
    edits = tuple(Edit("delete", (*visit.path[:-1], place)) for place in range(len(visit.siblings) - 1, index - 1, -1))
    yield warn(
        visit.name_path("action"),
        "This step never runs: every path before it ends with stop.",
        Fix("Remove the steps that never run", edits),
    )


def _ends(step: Mapping[str, Any]) -> bool:
    """Whether every path through a step is stopped."""
    if step["action"] == "stop":
        return True
    arms = list_arms(step, ())
    return bool(arms) and all(any(_ends(inner) for inner in steps) for _, steps, _ in arms)


def _check_last_wait(visit: Visit, used: frozenset[str]) -> Iterator[DefinitionWarning]:
    is_idle = ACTIONS[visit.action].is_wait and not any(
        inner["action"] != "stop" for _, steps, _ in list_arms(visit.step, visit.path) for inner in steps
    )
    if is_idle:
        yield _warn(visit, "Nothing follows this wait, so it only delays the end.", used)


def _check_fork(visit: Visit, used: frozenset[str]) -> Iterator[DefinitionWarning]:
    arms = list_arms(visit.step, visit.path)
    if visit.id not in used and not any(steps for _, steps, _ in arms):
        yield _warn(visit, "No path of this step has a step, so it changes nothing.", used)
        return
    condition = visit.step.get("if")
    if isinstance(condition, str) and conditions.is_constant(condition):
        taken = "then" if conditions.evaluate(condition, {}) else "else"
        yield warn(
            visit.name_path("if"),
            f"The condition has no variable, so {taken} is always taken.",
            _fix_branch(visit, taken) if visit.id not in used else None,
        )


def _fix_branch(visit: Visit, taken: str) -> Fix | None:
    """The fix that puts the steps of an arm in the branch's place."""
    _, steps, path = next(arm for arm in list_arms(visit.step, visit.path) if arm[0] == taken)
    if not steps and len(visit.siblings) == 1:
        return None
    inner, edits = path[len(visit.path) :], []
    for count in range(len(steps)):
        place = visit.index + count
        branch = (*visit.path[:-1], place)
        edits.append(Edit("move", (*branch, *inner, 0), to=branch))
    edits.append(Edit("delete", (*visit.path[:-1], visit.index + len(steps))))
    return Fix(f"Keep the steps of {taken}", tuple(edits))


def _check_update(visit: Visit) -> Iterator[DefinitionWarning]:
    added, removed = visit.fields.get("add_tags") or [], visit.fields.get("remove_tags") or []
    both = [tag for tag in dict.fromkeys(added) if tag in removed]
    if not both:
        return
    rest = [tag for tag in removed if tag not in both]
    path = (*visit.path, "with", "remove_tags")
    names = ", ".join(f'"{tag}"' for tag in both)
    fix = build_change("Only add it", rest, *path) if rest else build_removal("Only add it", *path)
    yield warn(visit.name_path("with", "remove_tags"), f"The step both adds and removes {names}.", fix)
