"""Says in sentences what differs between two definitions, as an operator reads it.

Step "hello": subject changed from "Hi" to "Hello"
Step "x" (wait) added after "hello"
Daily limit: 200 → 100
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rules.json_text import format_json
from rules.problems import shorten
from rules.source_edits import find_stable, is_same

#: Characters of a value in a sentence.
_MAX_VALUE = 80
_ARMS = ("then", "else", "variants")
_MISSING = object()
#: What a field is called at the beginning of a sentence; others by their own name.
_LABELS = {
    "trigger.type": "Trigger", "trigger.where": "Condition of the trigger", "rules.where": "Condition",
    "rules.daily_limit": "Daily limit", "rules.contact_daily_limit": "Daily limit per contact",
    "rules.outside_hours": "Outside the active hours", "rules.reentry": "Re-entry",
    "rules.tags.all": "Required tags", "rules.tags.any": "Tags of which one is required",
    "rules.tags.none": "Excluded tags", "rules.active_hours.start": "Start of the active hours",
    "rules.active_hours.end": "End of the active hours", "rules.active_hours.days": "Active days",
    "rules.active_hours.timezone": "Time zone of the active hours",
    "rules.frequency_cap.max": "Messages in the frequency cap",
    "rules.frequency_cap.per": "Window of the frequency cap",
    "rules.follow_ups.max": "Follow-ups", "rules.follow_ups.every": "Interval of the follow-ups",
    "transactional": "Transactional", "topic": "Topic", "exclusive": "Exclusive",
}  # fmt: skip


@dataclass(frozen=True)
class Change:
    """One difference: a sentence, the path in the newer definition (of a removed part in the older one), and the step
    that it is about."""

    path: str
    sentence: str
    step: str | None = None


@dataclass(frozen=True)
class _PlacedStep:
    path: str
    #: The step and the arm that hold it, as a sentence names them; empty for the workflow itself.
    container: str
    previous: str | None
    step: Mapping[str, Any]


def list_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Return the differences of two definitions: of the document, then of the steps in the order of the newer one."""
    own, others = (_without(document, ("steps",)) for document in (before, after))
    changes = [Change(path, sentence) for path, sentence in _compare_fields(own, others, "", "")]
    old, new = _place_steps(before), _place_steps(after)
    changes += [Change(old[name].path, f'Step "{name}" removed', name) for name in old if name not in new]
    moved = _find_moved(old, new)
    for name, placed in new.items():
        if name not in old:
            action = placed.step.get("action")
            changes.append(Change(placed.path, f'Step "{name}" ({action}) added {_describe_place(placed)}', name))
            continue
        if name in moved:
            changes.append(Change(placed.path, f'Step "{name}" moved {_describe_place(placed)}', name))
        sides = _normalize(old[name].step), _normalize(placed.step)
        differences = _compare_fields(sides[0], sides[1], placed.path, f'Step "{name}": ')
        changes += [Change(path, sentence, name) for path, sentence in differences]
    return changes


def _without(fields: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}


def _normalize(step: Mapping[str, Any]) -> dict[str, Any]:
    """Return the step's own fields, with the names and weights of its variants instead of their steps."""
    with_ = step.get("with") if isinstance(step.get("with"), Mapping) else {}
    variants = step.get("variants", with_.get("variants") if isinstance(with_, Mapping) else None)
    own = _without(step, (*_ARMS, "id"))
    if isinstance(with_, Mapping) and with_:
        own["with"] = _without(with_, _ARMS)
    if isinstance(variants, list):
        own["variants"] = {
            str(item.get("name")): {"weight": item.get("weight", 1)} for item in variants if isinstance(item, Mapping)
        }
    return own


def _place_steps(document: Mapping[str, Any]) -> dict[str, _PlacedStep]:
    placed: dict[str, _PlacedStep] = {}
    _place(document.get("steps"), "steps", "", placed)
    return placed


def _place(steps: object, path: str, container: str, placed: dict[str, _PlacedStep]) -> None:
    previous = None
    for index, step in enumerate(steps if isinstance(steps, list) else []):
        if not isinstance(step, Mapping):
            continue
        name, own_path = str(step.get("id", f"{path}[{index}]")), f"{path}[{index}]"
        placed.setdefault(name, _PlacedStep(own_path, container, previous, step))
        previous = name
        with_ = step.get("with")
        for fields, inner in ((step, own_path), (with_ if isinstance(with_, Mapping) else {}, f"{own_path}.with")):
            for arm in ("then", "else"):
                _place(fields.get(arm), f"{inner}.{arm}", f'"{arm}" of "{name}"', placed)
            variants = fields.get("variants")
            for number, variant in enumerate(variants if isinstance(variants, list) else []):
                if isinstance(variant, Mapping):
                    arm_path = f"{inner}.variants[{number}].steps"
                    _place(variant.get("steps"), arm_path, f'variant "{variant.get("name")}" of "{name}"', placed)


def _find_moved(old: Mapping[str, _PlacedStep], new: Mapping[str, _PlacedStep]) -> set[str]:
    """Return the steps in another list, or in another order within theirs."""
    shared = [name for name in old if name in new]
    moved = {name for name in shared if old[name].container != new[name].container}
    for container in {new[name].container for name in shared}:
        members = [name for name in shared if name not in moved and new[name].container == container]
        moved |= set(members) - find_stable(members, [name for name in new if name in members])
    return moved


def _describe_place(placed: _PlacedStep) -> str:
    if placed.previous is not None:
        return f'after "{placed.previous}"'
    return f"at the beginning of {placed.container}" if placed.container else "at the beginning"


def _compare_fields(
    before: Mapping[str, Any], after: Mapping[str, Any], path: str, prefix: str
) -> Iterator[tuple[str, str]]:
    for name in [*before, *(name for name in after if name not in before)]:
        old, new = before.get(name, _MISSING), after.get(name, _MISSING)
        field_path = f"{path}.{name}" if path else name
        if _is_nested(old, new):
            inner, other = (value if isinstance(value, Mapping) else {} for value in (old, new))
            yield from _compare_fields(inner, other, field_path, prefix)
        elif old is _MISSING or new is _MISSING or not is_same(old, new):
            yield field_path, _describe_change(_label(field_path, prefix), old, new, prefix)


def _is_nested(old: object, new: object) -> bool:
    """Whether both are objects, or one is and the other is missing."""
    values = [value for value in (old, new) if value is not _MISSING]
    return bool(values) and all(isinstance(value, Mapping) and value for value in values)


def _label(path: str, prefix: str) -> str:
    if not prefix:
        return _LABELS.get(path, path.replace("trigger.with.", "Trigger: ").replace("_", " "))
    # The path of a step's field without the step: with.subject is the subject.
    tail = path.rpartition("]")[2].lstrip(".")
    return tail.removeprefix("with.")


def _describe_change(label: str, old: object, new: object, prefix: str) -> str:
    if old is _MISSING:
        return f"{prefix}{label} added: {_format(new)}"
    if new is _MISSING:
        return f"{prefix}{label} removed (was {_format(old)})"
    if prefix:
        return f"{prefix}{label} changed from {_format(old)} to {_format(new)}"
    return f"{label}: {_format(old)} → {_format(new)}"


def _format(value: object) -> str:
    if isinstance(value, str):
        return f'"{shorten(value, _MAX_VALUE)}"'
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return shorten(", ".join(value), _MAX_VALUE) or "none"
    return shorten(format_json(value), _MAX_VALUE)
