"""Translates between a playbook's definition and the fields of its form.

The form may hold values that are not valid yet, so a definition is read tolerantly: what the form has no field for is
kept as it is. `read_definition` and `apply_operation` are pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from werkzeug.datastructures import MultiDict

from dashboard.pages.playbook_fields import (
    CONDITION_NAMES,
    CONDITIONS,
    FREQUENCIES,
    UTM_NAMES,
    build_initial_step,
    list_fields,
)
from rules.actions import PLAYBOOK_ACTIONS
from rules.language import MAX_STEPS

Form = MultiDict[str, str]
Document = dict[str, Any]

#: A definition without conditions and actions.
EMPTY: Document = {"trigger": {"type": "page", "with": {"url": "/*"}}, "steps": []}
#: More conditions or styles than this are left out of the form.
MAX_ROWS = 50


def normalize(document: object) -> Document:
    """The definition with the parts that the form needs, whatever a draft has; `event` and `frequency` under `with`."""
    copy = deepcopy(dict(document)) if isinstance(document, Mapping) else {}
    trigger = dict(copy["trigger"]) if isinstance(copy.get("trigger"), Mapping) else {}
    conditions = dict(trigger["with"]) if isinstance(trigger.get("with"), Mapping) else {}
    for holder, name in ((trigger, "event"), (trigger, "frequency"), (copy, "frequency")):
        if name in holder:
            conditions.setdefault(name, holder.pop(name))
    trigger = {**trigger, "type": "page", "with": conditions}
    steps = copy.get("steps")
    rows = [step for step in steps if isinstance(step, Mapping)] if isinstance(steps, list) else []
    return {**copy, "trigger": trigger, "steps": _normalize_steps(rows[:MAX_STEPS])}


def _normalize_steps(rows: list[Mapping[str, Any]]) -> list[Document]:
    """Steps with fields, and ids by which the form can tell them apart."""
    steps: list[Document] = []
    for row in rows:
        action, step_id, with_ = row.get("action"), row.get("id"), row.get("with")
        if not isinstance(step_id, str) or any(step["id"] == step_id for step in steps):
            step_id = choose_step_id(action if isinstance(action, str) else "step", steps)
        steps.append({**row, "id": step_id, "with": dict(with_) if isinstance(with_, Mapping) else {}})
    return steps


def read_definition(form: Form, base: object) -> Document:
    """The definition that the form describes; `base` is the one that it was filled from."""
    document = normalize(base)
    document["trigger"]["with"] = _read_conditions(form, document["trigger"]["with"])
    document["steps"] = _read_steps(form, document["steps"])
    return document


def _read_conditions(form: Form, before: Mapping[str, Any]) -> Document:
    readers: dict[str, Callable[[], object]] = {
        "url": lambda: form.get("url", "").strip(),
        "device": lambda: [device for device in form.getlist("device")[:MAX_ROWS] if device],
        "utm": lambda: _read_pairs(form, "utm"),
        "scroll_depth": lambda: _read_number(form.get("scroll_depth", "")),
        "time_on_page": lambda: form.get("time_on_page", "").strip() + form.get("time_on_page_unit", "s")[:1],
        "exit_intent": lambda: before.get("exit_intent", True),
        "returning": lambda: form.get("returning") != "false",
        "event": lambda: form.get("event", "").strip(),
    }
    conditions = {name: value for name, value in before.items() if name not in (*CONDITION_NAMES, "frequency")}
    for name in form.getlist("when"):
        if name in readers:
            conditions[name] = readers[name]()
    frequency = _read_frequency(form)
    return {**conditions, "frequency": frequency} if frequency else conditions


def _read_frequency(form: Form) -> Document | None:
    text = form.get("frequency", "")
    if text == "other":
        per = form.get("frequency_per", "").strip()
        return {"max": _read_number(form.get("frequency_max", "") or "1"), "per": per or "7d"}
    limit, _, per = text.partition("/")
    return {"max": _read_number(limit), "per": per} if text else None


def _read_number(text: str) -> int | str:
    """The number, or the text where it is none, so that validation reports it."""
    return int(text) if re.fullmatch(r"-?[0-9]{1,9}", text.strip()) else text.strip()


def _read_pairs(form: Form, prefix: str) -> dict[str, str]:
    names, values = form.getlist(f"{prefix}_name")[:MAX_ROWS], form.getlist(f"{prefix}_value")[:MAX_ROWS]
    pairs = zip(names, values, strict=False)
    return {name.strip(): value.strip() for name, value in pairs if name.strip()}


def _read_steps(form: Form, before: list[Document]) -> list[Document]:
    steps_by_id: dict[str, Document] = {}
    for step in before:
        steps_by_id.setdefault(str(step.get("id")), step)
    return [_read_step(form, step_id, steps_by_id.get(step_id, {})) for step_id in form.getlist("step")[:MAX_STEPS]]


def _read_step(form: Form, step_id: str, before: Mapping[str, Any]) -> Document:
    action = form.get(f"{step_id}.action", "")
    fields = {field.name: field.kind for field in list_fields(action)}
    with_ = {name: value for name, value in before.get("with", {}).items() if name not in fields}
    for name, kind in fields.items():
        key = f"{step_id}.{name}"
        value: object = form.get(key, "").replace("\r\n", "\n")
        if kind == "style":
            value = _keep_numbers(_read_pairs(form, key), before.get("with", {}).get(name))
        # An attribute may be set to nothing; any other empty field is not there.
        if value or name == "value":
            with_[name] = value.strip() if kind == "selector" and isinstance(value, str) else value
    return {**before, "id": step_id, "action": action, "with": with_}


def _keep_numbers(style: dict[str, str], before: object) -> Document:
    """The styles of the form, each as the number that it was where the text is the same."""
    values = before if isinstance(before, Mapping) else {}
    return {name: values[name] if str(values.get(name)) == text else text for name, text in style.items()}


def apply_operation(document: Document, operation: str) -> Document:
    """The definition after the operation of a button, such as `add_action:hide` or `up:step_id`.

    An operation that does not apply changes nothing.
    """
    verb, _, name = operation.partition(":")
    changed = deepcopy(document)
    conditions, steps = changed["trigger"]["with"], changed["steps"]
    position = next((index for index, step in enumerate(steps) if step.get("id") == name), None)
    if verb == "add_condition":
        initial = next((condition.initial for condition in CONDITIONS if condition.name == name), None)
        if initial is not None:
            conditions.setdefault(name, deepcopy(initial))
    elif verb == "remove_condition":
        conditions.pop(name, None)
    elif verb == "add_utm" and isinstance(conditions.get("utm"), dict):
        free = next((utm for utm in UTM_NAMES if utm not in conditions["utm"]), None)
        if free:
            conditions["utm"][free] = ""
    elif verb == "add_action" and name in PLAYBOOK_ACTIONS and len(steps) < MAX_STEPS:
        steps.append(build_initial_step(name, choose_step_id(name, steps)))
    elif position is not None:
        _change_step(steps, position, verb)
    return changed


def _change_step(steps: list[Document], position: int, verb: str) -> None:
    step = steps[position]
    if verb == "remove":
        del steps[position]
    elif verb in ("up", "down"):
        target = position + (1 if verb == "down" else -1)
        if 0 <= target < len(steps):
            steps.insert(target, steps.pop(position))
    elif verb == "add_style":
        style = step["with"].setdefault("style", {})
        if isinstance(style, dict):
            style.setdefault(next(name for name in _STYLES if name not in style or name == _STYLES[-1]), "")


#: What *Add style* proposes, in this order.
_STYLES = ("color", "background-color", "font-size", "font-weight", "padding", "margin", "border", "display")


def choose_step_id(action: str, steps: list[Document]) -> str:
    """An id for a new step that no other step has."""
    taken = {step.get("id") for step in steps}
    names = (action, *(f"{action}_{number}" for number in range(2, MAX_STEPS + 2)))
    return next(name for name in names if name not in taken)


def format_frequency(conditions: Mapping[str, Any]) -> str:
    """The frequency as the select's value: `1/7d`, `other`, or empty for none."""
    frequency = conditions.get("frequency")
    if not isinstance(frequency, Mapping):
        return "other" if frequency else ""
    value = f"{frequency.get('max')}/{frequency.get('per')}"
    return value if value in FREQUENCIES else "other"


def split_duration(value: object) -> tuple[str, str]:
    """A duration as number and unit, for two fields."""
    match = re.fullmatch(r"(.*?)([smh])", str(value))
    return (match[1], match[2]) if match else (str(value), "s")
