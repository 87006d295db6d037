"""What a preview may execute of a draft: the parts that could be published as they are. A draft is often unfinished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rules.language import BESIDE_WITH, MAX_STEPS, PAGE_TRIGGER, PLAYBOOK
from rules.playbooks import build_actions, build_trigger
from rules.validation import validate

#: Makes a document of one condition complete.
_HARMLESS = {"id": "a", "action": "hide", "with": {"selector": "a"}}


def build_preview(document: object) -> dict[str, Any]:
    """Return `trigger` and `actions` of a draft in the form of the browser script, without every condition and action
    that has a problem.

    Each is validated by itself: the validation of a whole draft ends early where a part of it is no text or number
    that can be stored, or where it has very many problems, and says nothing of the rest.
    """
    fields = document if isinstance(document, Mapping) else {}
    conditions, steps = _list_conditions(fields.get("trigger")), fields.get("steps")
    valid_conditions = {name: value for name, value in conditions.items() if _is_valid({name: value}, _HARMLESS)}
    trigger = {"type": PAGE_TRIGGER, "with": valid_conditions}
    return {
        "trigger": build_trigger({"trigger": trigger}),
        "actions": build_actions({"steps": _keep_valid(steps if isinstance(steps, list) else [])}),
    }


def _list_conditions(trigger: object) -> dict[str, Any]:
    """The conditions beside and under `with`, as `build_trigger` merges them."""
    fields = trigger if isinstance(trigger, Mapping) else {}
    with_ = fields.get("with")
    beside = {name: fields[name] for name in BESIDE_WITH if name in fields}
    return {**beside, **(with_ if isinstance(with_, Mapping) else {})}


def _keep_valid(steps: Sequence[Any]) -> list[Any]:
    """The valid steps; of several with one id the first."""
    kept: dict[str, Any] = {}
    for step in steps[:MAX_STEPS]:
        if _is_valid({}, step):
            kept.setdefault(step["id"], step)
    return list(kept.values())


def _is_valid(conditions: Mapping[str, Any], step: object) -> bool:
    document = {"trigger": {"type": PAGE_TRIGGER, "with": conditions}, "steps": [step]}
    return not validate(document, automation_type=PLAYBOOK)
