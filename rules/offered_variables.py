"""Lists the variables that a template may use at a place of a definition, with their types and sample values.

The names are those that the validation accepts there (`rules/scope.py`); the sample values those of a test
(`rules/samples.py`). It never raises for a document with problems.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rules import samples, scope
from rules.actions import ACTIONS
from rules.problems import describe_type
from rules.source_tree import Path

#: What each output of a step looks like.
_OUTPUTS: dict[str, object] = {
    "text": "Hi Ada, thanks for writing.", "model": "gemini-2.5-flash", "inputTokens": 120, "outputTokens": 40,
    "finishReason": "STOP", "fallback": False, "fallbackBecause": None, "following": "true", "because": None,
    "taken": "then", "event": {}, "timedOut": False, "until": "2026-05-04T09:00:00Z",
}  # fmt: skip
_OTHERS: dict[str, object] = {
    "automation.id": "01a00000-0000-7000-8000-000000000000", "automation.name": "Welcome",
    "execution.id": "01a00000-0000-7000-8000-000000000000", "execution.follow_up": 0, "now": "2026-05-04T09:00:00Z",
    "unsubscribe_url": "https://example.com/u/sample", "preferences_url": "https://example.com/u/sample/preferences",
    "conversation": [{"from": "contact", "text": "Is this still available?"}],
}  # fmt: skip
_CONTACT = {"id": "01a00000-0000-7000-8000-000000000000", "timezone": "Europe/Rome"}


@dataclass(frozen=True)
class OfferedVariable:
    """A variable as templates write it, the type of its value, a sample, and the step that makes it."""

    name: str
    type: str
    sample: Any
    step: str | None = None


def list_variables(
    document: object, path: Path, contact: Mapping[str, Any] | None = None, payload: Mapping[str, Any] | None = None
) -> list[OfferedVariable]:
    """Return the variables at a path; `contact` and `payload` give the sample values, else those of a test do."""
    definition = document if isinstance(document, dict) else {}
    steps = list(_iter_earlier(definition, path))
    current = _find_step(definition, path)
    action = ACTIONS.get(str(current.get("action"))) if current else None
    place = _find_scope(path).with_roots(action.variables if action else ())
    offered = [*_list_contact(definition, contact or {})]
    if "payload" in place.roots:
        event = payload if payload is not None else _build_payload(definition)
        offered += [_describe(name, value) for name, value in _flatten("payload", event)]
    if "steps" in place.roots:
        offered += [variable for step in steps for variable in _list_outputs(step)]
    offered += [_describe(name, value) for name, value in _OTHERS.items() if name.partition(".")[0] in place.roots]
    return offered


def _find_scope(path: Path) -> scope.Scope:
    if path[:3] == ("trigger", "with", "contacts"):
        return scope.AT_CONTACT_SELECTION
    if path[:1] == ("trigger",):
        return scope.AT_TRIGGER
    return scope.AT_RULES if path[:1] == ("rules",) else scope.AT_STEPS


def _find_step(document: Mapping[str, Any], path: Path) -> Mapping[str, Any] | None:
    """Return the innermost step at a path."""
    value: Any = document
    step = None
    for name in path:
        try:
            value = value[name]
        except (LookupError, TypeError):
            break
        if isinstance(name, int) and isinstance(value, Mapping) and "action" in value:
            step = value
    return step


def _iter_earlier(document: Mapping[str, Any], path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the steps that may have finished at a path: those before it, with their arms, and those that hold it."""
    value: Any = document
    for index, name in enumerate(path):
        if isinstance(value, list) and isinstance(name, int) and path[index - 1] in ("steps", "then", "else"):
            yield from samples.iter_steps([step for step in value[:name] if isinstance(step, Mapping)])
            has_arm = any(part in ("then", "else", "variants") for part in path[index + 1 :])
            if has_arm and name < len(value) and isinstance(value[name], Mapping):
                yield value[name]
        try:
            value = value[name]
        except (LookupError, TypeError):
            return


def _list_outputs(step: Mapping[str, Any]) -> Iterator[OfferedVariable]:
    action, name = ACTIONS.get(str(step.get("action"))), step.get("id")
    if action is None or not isinstance(name, str):
        return
    for output in action.outputs or ():
        variable = _describe(f"steps.{name}.{output}", _OUTPUTS.get(output))
        yield OfferedVariable(variable.name, variable.type, variable.sample, name)


def _list_contact(definition: Mapping[str, Any], contact: Mapping[str, Any]) -> Iterator[OfferedVariable]:
    sample = {**_CONTACT, **_build_contact(definition)}
    for name in scope.CONTACT:
        value = contact.get(name) if contact else sample.get(name)
        if name != "attributes":
            yield _describe(f"contact.{name}", value)
            continue
        # A contact may lack what the definition names.
        attributes = {**dict(sample.get(name) or {}), **dict(value or {})}
        yield from (_describe(path, item) for path, item in _flatten("contact.attributes", attributes))


def _build_contact(definition: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return samples.build_contacts(1, definition)[0]
    except (AttributeError, LookupError, TypeError):
        return samples.build_contacts(1, {})[0]


def _build_payload(definition: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return samples.build_payload(definition)
    except (AttributeError, LookupError, TypeError):
        return {}


def _flatten(name: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield the values within an object, those of nested objects by their own paths."""
    if not isinstance(value, Mapping):
        yield name, value
        return
    for key, item in value.items():
        inner = f"{name}.{key}" if str(key).replace("_", "a").isalnum() else f'{name}["{key}"]'
        yield from _flatten(inner, item) if isinstance(item, Mapping) and item else [(inner, item)]


def _describe(name: str, value: object) -> OfferedVariable:
    return OfferedVariable(name, describe_type(value).removeprefix("a ").removeprefix("an "), value)
