"""What a preview may execute of a draft: the parts that could be published as they are. A draft is often unfinished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rules.language import BESIDE_TRIGGER, BESIDE_WITH
from rules.playbooks import build_actions, build_trigger
from rules.problems import Problem


def build_preview(document: object, problems: Sequence[Problem]) -> dict[str, Any]:
    """Return `trigger` and `actions` of a draft in the form of the browser script, without every condition and action
    that has one of the draft's `problems`, which validation has found."""
    paths = [problem.path for problem in problems]
    document = document if isinstance(document, Mapping) else {}
    trigger = document.get("trigger")
    steps = document.get("steps")
    fields = trigger if isinstance(trigger, Mapping) else {}
    valid_steps = [step for index, step in enumerate(_list(steps)) if not _is_faulty(f"steps[{index}]", paths)]
    conditions = _keep_valid(fields.get("with"), "trigger.with", paths)
    beside = {name: value for name, value in _keep_valid(fields, "trigger", paths).items() if name in BESIDE_WITH}
    around = {name: value for name, value in _keep_valid(document, "", paths).items() if name in BESIDE_TRIGGER}
    kept = {**around, "trigger": {**beside, "with": conditions}, "steps": valid_steps}
    return {"trigger": build_trigger(kept), "actions": build_actions(kept)}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _keep_valid(fields: object, place: str, paths: Sequence[str]) -> dict[str, Any]:
    items = fields.items() if isinstance(fields, Mapping) else ()
    return {name: value for name, value in items if not _is_faulty(f"{place}.{name}" if place else str(name), paths)}


def _is_faulty(place: str, paths: Sequence[str]) -> bool:
    """Whether a problem is at this place, within it, or around it."""
    return any(_contains(place, path) or _contains(path, place) for path in paths if path not in ("", "steps"))


def _contains(place: str, path: str) -> bool:
    return path == place or path.startswith((f"{place}.", f"{place}["))
