"""The operations of the workflow editor's buttons as edits of a definition's text: add, remove, duplicate, move steps.

An operation is a word and its arguments between colons, such as `up:steps[2]` or `add:steps:3:send_email`. One that
does not apply, because its button belongs to a text that has changed since, edits nothing. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Any

from dashboard.definition_warnings import find_fix
from dashboard.pages.editor_controls import Form
from dashboard.pages.editor_parts import (
    EVENT,
    Part,
    build_initial_step,
    change_trigger_type,
    choose_step_id,
    read_part,
)
from dashboard.pages.editor_tree import RULES, TRIGGER, find_step_path, list_arms, resolve
from rules.actions import WORKFLOW_ACTIONS
from rules.problems import Problem
from rules.source_edits import Edit
from rules.source_tree import parse_path

#: The part in which a step to add is chosen, with the place where it goes.
_CHOOSING = re.compile(r"add:([A-Za-z0-9_.\[\]]{1,200}):(\d{1,3})")


@dataclass(frozen=True)
class Operation:
    """The part that the form shows next, and the edits that make it."""

    part: str
    edits: tuple[Edit, ...] = ()


def find_place(part: str) -> tuple[str, int] | None:
    """The list and the index at which a step is being added, or None."""
    match = _CHOOSING.fullmatch(part)
    if match is None or find_step_path(f"{match[1]}[{match[2]}]") is None:
        return None
    return match[1], int(match[2])


def read_controls(document: Any, part: Part, form: Form) -> tuple[Any, list[Problem]]:
    """The document with the values of the form's controls, and the problems of those that cannot be read."""
    values, problems = read_part(form, part, document)
    if part.path == TRIGGER:
        values = _read_trigger_type(form, values)
    changed = values if part.path == RULES else _replace(document, part.path, values)
    return changed, [_place(problem, part) for problem in problems]


def _place(problem: Problem, part: Part) -> Problem:
    return problem if part.path == RULES else Problem(f"{part.path}.{problem.path}", problem.message)


def _read_trigger_type(form: Form, trigger: dict[str, Any]) -> dict[str, Any]:
    type_ = form.get("trigger_type", "")
    if type_ == EVENT:
        type_ = form.get("trigger_event", "").strip() or "contact.created"
    return change_trigger_type(trigger, type_) if type_ and type_ != trigger.get("type") else trigger


def _replace(document: Any, path: str, value: Any) -> Any:
    changed = deepcopy(document) if isinstance(document, Mapping) else {}
    *names, last = parse_path(path)
    holder: Any = changed
    for name in names:
        holder = holder[name]
    holder[last] = value
    return changed


def plan_operation(document: Any, part: str, operation: str) -> Operation:
    """What the button of an operation does to a document whose form shows `part`."""
    verb, _, argument = operation.partition(":")
    handler = _HANDLERS.get(verb)
    return (handler(document, part, argument) if handler else None) or Operation(part)


def _select(document: Any, _part: str, argument: str) -> Operation | None:
    is_part = argument in (TRIGGER, RULES) or _find_step(document, argument) is not None
    return Operation(argument) if is_part else None


def _choose(document: Any, _part: str, argument: str) -> Operation | None:
    place = find_place(f"add:{argument}")
    return Operation(f"add:{argument}") if place and _has_list(document, place[0]) else None


def _add(document: Any, _part: str, argument: str) -> Operation | None:
    target, _, action = argument.rpartition(":")
    place = find_place(f"add:{target}")
    if place is None or action not in WORKFLOW_ACTIONS or not _has_list(document, place[0]):
        return None
    return _insert(document, place, build_initial_step(action, choose_step_id(action, document)))


def _insert(document: Any, place: tuple[str, int], step: dict[str, Any]) -> Operation:
    steps = resolve(document, place[0])
    path = f"{place[0]}[{min(place[1], len(steps) if isinstance(steps, list) else 0)}]"
    return Operation(path, (Edit("insert", parse_path(path), step),))


def _has_list(document: Any, path: str) -> bool:
    """Whether steps can be inserted at a list's path: a path of a step may have no list yet."""
    owner = _find_owner(path)
    return owner == TRIGGER or _find_step(document, owner) is not None


def _find_step(document: Any, path: str) -> Mapping[str, Any] | None:
    step = resolve(document, path) if find_step_path(path) else None
    return step if isinstance(step, Mapping) else None


def _remove(document: Any, _part: str, argument: str) -> Operation | None:
    place = find_step_path(argument)
    if place is None or _find_step(document, argument) is None:
        return None
    rest = len(resolve(document, place[0])) - 1
    part = f"{place[0]}[{min(place[1], rest - 1)}]" if rest else _find_owner(place[0])
    return Operation(part, (Edit("delete", parse_path(argument)),))


def _find_owner(path: str) -> str:
    """The step that holds a list of steps; the trigger for the list of the document."""
    owner = re.sub(r"(\.with)?\.(then|else|variants\[\d+\]\.steps)$", "", path)
    return owner if find_step_path(owner) else TRIGGER


def _duplicate(document: Any, _part: str, argument: str) -> Operation | None:
    place, step = find_step_path(argument), _find_step(document, argument)
    if place is None or step is None:
        return None
    return _insert(document, (place[0], place[1] + 1), _rename_all(step, document))


def _rename_all(step: Mapping[str, Any], document: Any) -> dict[str, Any]:
    """A copy of a step in which it, and each step within it, has an id that no other step has."""
    copy: dict[str, Any] = deepcopy(dict(step))
    taken: set[str] = set()
    stack = [copy]
    while stack:
        row = stack.pop()
        row["id"] = choose_step_id(str(row.get("id", "step")), document, taken)
        taken.add(row["id"])
        for _, _, inner in list_arms(row, ""):
            stack += [item for item in (inner if isinstance(inner, list) else []) if isinstance(item, dict)]
    return copy


def _rise(document: Any, _part: str, argument: str) -> Operation | None:
    return _shift(document, argument, -1)


def _sink(document: Any, _part: str, argument: str) -> Operation | None:
    return _shift(document, argument, 1)


def _shift(document: Any, path: str, by: int) -> Operation | None:
    place = find_step_path(path)
    if place is None or _find_step(document, path) is None:
        return None
    if not 0 <= place[1] + by < len(resolve(document, place[0])):
        return None
    target = f"{place[0]}[{place[1] + by}]"
    return Operation(target, (Edit("move", parse_path(path), to=parse_path(target)),))


def _move(document: Any, _part: str, argument: str) -> Operation | None:
    """Move a step before another place: `steps[3]>steps[0].then:1`. It does not move into itself."""
    source, _, target = argument.partition(">")
    place = find_place(f"add:{target}")
    if place is None or _find_step(document, source) is None or not _has_list(document, place[0]):
        return None
    if place[0].startswith(f"{source}.") or len(resolve(document, place[0]) or []) < place[1]:
        return None
    path = _without(source, f"{place[0]}[{place[1]}]")
    return Operation(path, (Edit("move", parse_path(source), to=parse_path(path)),)) if path != source else None


def _without(source: str, target: str) -> str:
    """The path of a place after the step at `source` was taken away."""
    steps, index = find_step_path(source) or ("", 0)
    match = re.match(rf"{re.escape(steps)}\[(\d+)\]", target)
    if match is None or int(match[1]) <= index:
        return target
    return f"{steps}[{int(match[1]) - 1}]{target[match.end() :]}"


def _add_row(document: Any, part: str, argument: str) -> Operation | None:
    path = _join(part, argument)
    if _find_step(document, part) is None or argument not in _NEW_ROWS:
        return None
    rows = resolve(document, path)
    if not isinstance(rows, list) or not rows:
        return Operation(part, (Edit("set", parse_path(path), [_NEW_ROWS[argument]]),))
    row = _NEW_ROWS[argument]
    if "name" in row:
        row = {**row, "name": next(letter for letter in ascii_lowercase if letter not in _list_names(rows))}
    return Operation(part, (Edit("insert", parse_path(f"{path}[{len(rows)}]"), row),))


#: What *Add* puts into a list of rows.
_NEW_ROWS: dict[str, dict[str, Any]] = {
    "variants": {"name": "a", "weight": 50, "steps": []}, "with.buttons": {"title": "Tap me"},
}  # fmt: skip


def _list_names(rows: list[Any]) -> set[object]:
    return {row.get("name") for row in rows if isinstance(row, Mapping)}


def _remove_row(document: Any, part: str, argument: str) -> Operation | None:
    path = _join(part, argument)
    if not path.endswith("]") or resolve(document, path) is None:
        return None
    holder = path[: path.rindex("[")]
    return Operation(part, (Edit("delete", parse_path(holder if len(resolve(document, holder)) == 1 else path)),))


def _join(part: str, path: str) -> str:
    return path if part == RULES else f"{part}.{path}"


def _goto(document: Any, _part: str, argument: str) -> Operation | None:
    """Open the part in which a problem is."""
    path = argument
    while path:
        operation = _select(document, "", path)
        if operation is not None:
            return operation
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return Operation(RULES)


def _fix(document: Any, part: str, argument: str) -> Operation | None:
    """Mend what a warning names: `fix:steps.hello.with.as|Send it as a message`."""
    path, _, title = argument.partition("|")
    fix = find_fix(document, path, title)
    return Operation(part, fix.edits) if fix else None


_HANDLERS: dict[str, Callable[[Any, str, str], Operation | None]] = {
    "select": _select, "choose": _choose, "add": _add, "remove": _remove, "duplicate": _duplicate, "up": _rise,
    "down": _sink, "move": _move, "add_row": _add_row, "remove_row": _remove_row, "goto": _goto, "fix": _fix,
}  # fmt: skip
