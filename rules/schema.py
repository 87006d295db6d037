"""The JSON Schema of a definition, for editors: made from the tables that validate, so it cannot say otherwise.

It describes what this version can run. What a schema cannot say (variables, unique ids, sizes, Liquid's syntax) only
`rules/validation` knows: what it finds valid is valid here too, not the other way round.
"""

from __future__ import annotations

from typing import Any

from rules import not_yet
from rules.actions import ACTIONS, Action
from rules.language import MOST_STEPS, RULES, TRIGGERS, VARIANT, step_shape, trigger_shape

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema (JSON Schema 2020-12) of a workflow's definition."""
    runnable = [action for action in ACTIONS.values() if action.name not in not_yet.ACTIONS]
    return {
        "$schema": DIALECT,
        "title": "Beckon workflow",
        "type": "object",
        "properties": {
            "trigger": {"$ref": "#/$defs/trigger"},
            "rules": RULES.schema(),
            "steps": {"$ref": "#/$defs/steps", "minItems": 1},
        },
        "required": ["trigger", "steps"],
        "additionalProperties": False,
        "$defs": {
            "trigger": _trigger(),
            "steps": {"type": "array", "items": {"$ref": "#/$defs/step"}, "maxItems": MOST_STEPS},
            "step": {
                "type": "object",
                "properties": {"action": {"enum": [action.name for action in runnable]}},
                "required": ["id", "action"],
                "oneOf": [{"$ref": f"#/$defs/{action.name}"} for action in runnable],
            },
            "variants": {"type": "array", "items": VARIANT.schema(), "minItems": 2, "maxItems": 20},
            **{action.name: _step(action) for action in runnable},
        },
    }


def _trigger() -> dict[str, Any]:
    """One of the known types with its own fields, or any other event."""
    known = [name for name in TRIGGERS if name not in not_yet.TRIGGERS]
    event = trigger_shape("an event").schema()
    event["properties"]["type"] = {
        "type": "string",
        "pattern": r"^[A-Za-z][A-Za-z0-9_.-]{0,99}$",
        "not": {"anyOf": [{"enum": list(TRIGGERS)}, {"pattern": r"^(instagram|facebook)\."}]},
    }
    return {"oneOf": [*(_known_trigger(name) for name in known), event]}


def _known_trigger(name: str) -> dict[str, Any]:
    schema = trigger_shape(name).schema()
    schema["properties"]["type"] = {"const": name}
    return {**schema, "title": name, "description": TRIGGERS[name].purpose}


def _step(action: Action) -> dict[str, Any]:
    """One action's step; a field that may stand in two places is required in either."""
    schema = step_shape(action).schema()
    schema["properties"]["action"] = {"const": action.name}
    within = schema["properties"]["with"]["properties"]
    moved = [name for name in schema["required"] if name in action.beside and name in within]
    if moved:
        schema["required"] = [name for name in schema["required"] if name not in moved]
        schema["allOf"] = [
            {"anyOf": [{"required": [name]}, {"required": ["with"], "properties": {"with": {"required": [name]}}}]}
            for name in moved
        ]
    return {**schema, "title": action.name, "description": action.purpose}
