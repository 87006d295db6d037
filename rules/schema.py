"""Builds the JSON Schema of a definition, for editors, from the tables that validation uses.

A schema cannot express variables, unique ids, sizes, Liquid's syntax and what is safe in a page; `rules/validation`
checks these. Every definition that validation accepts is valid here, not the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rules.actions import ACTIONS, PLAYBOOK_ACTIONS, WORKFLOW_ACTIONS, Action
from rules.language import (
    BESIDE_TRIGGER,
    MAX_STEPS,
    PAGE_TRIGGER,
    TRIGGERS,
    VARIANT,
    WORKFLOW_FIELDS,
    build_step_object,
    build_trigger_object,
)

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def build_json_schema() -> dict[str, Any]:
    """Return the schema (JSON Schema 2020-12) of a definition: a playbook where its trigger is `page`."""
    return {
        "$schema": DIALECT,
        "title": "Beckon workflow",
        "type": "object",
        "properties": {
            "trigger": {"$ref": "#/$defs/trigger"},
            **{name: shape.to_json_schema() for name, shape in (WORKFLOW_FIELDS | BESIDE_TRIGGER).items()},
            "steps": {"type": "array", "items": {"type": "object"}, "minItems": 1},
        },
        "required": ["trigger", "steps"],
        "additionalProperties": False,
        "if": {"properties": {"trigger": {"properties": {"type": {"const": PAGE_TRIGGER}}, "required": ["type"]}}},
        "then": {"properties": {"steps": {"$ref": "#/$defs/playbook_steps"}, **dict.fromkeys(WORKFLOW_FIELDS, False)}},
        "else": {"properties": {"steps": {"$ref": "#/$defs/steps"}, **dict.fromkeys(BESIDE_TRIGGER, False)}},
        "$defs": {
            "trigger": _build_trigger_schema(),
            "steps": {"type": "array", "items": {"$ref": "#/$defs/step"}, "maxItems": MAX_STEPS},
            "step": _build_choice_schema(WORKFLOW_ACTIONS),
            "playbook_steps": {"type": "array", "items": {"$ref": "#/$defs/playbook_step"}, "maxItems": MAX_STEPS},
            "playbook_step": _build_choice_schema(PLAYBOOK_ACTIONS),
            "variants": {"type": "array", "items": VARIANT.to_json_schema(), "minItems": 2, "maxItems": 20},
            **{action.name: _build_step_schema(action) for action in ACTIONS.values()},
        },
    }


def _build_choice_schema(names: Sequence[str]) -> dict[str, Any]:
    """Build the schema of a step with one of these actions."""
    return {
        "type": "object",
        "properties": {"action": {"enum": list(names)}},
        "required": ["id", "action"],
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in names],
    }


def _build_trigger_schema() -> dict[str, Any]:
    """Build the schema of a trigger: one of the known types with its own fields, or any other event."""
    event = build_trigger_object("an event").to_json_schema()
    event["properties"]["type"] = {
        "type": "string",
        "pattern": r"^[A-Za-z][A-Za-z0-9_.-]{0,99}$",
        "not": {"anyOf": [{"enum": list(TRIGGERS)}, {"pattern": r"^(instagram|facebook)\."}]},
    }
    return {"oneOf": [*(_build_known_trigger_schema(name) for name in TRIGGERS), event]}


def _build_known_trigger_schema(name: str) -> dict[str, Any]:
    schema = build_trigger_object(name).to_json_schema()
    schema["properties"]["type"] = {"const": name}
    return {**schema, "title": name, "description": TRIGGERS[name].purpose}


def _build_step_schema(action: Action) -> dict[str, Any]:
    """Build the schema of one action's step; a required movable field is required in either place."""
    schema = build_step_object(action).to_json_schema()
    schema["properties"]["action"] = {"const": action.name}
    with_properties = schema["properties"]["with"]["properties"]
    movable = [name for name in schema["required"] if name in action.step_fields and name in with_properties]
    if movable:
        schema["required"] = [name for name in schema["required"] if name not in movable]
        schema["allOf"] = [
            {"anyOf": [{"required": [name]}, {"required": ["with"], "properties": {"with": {"required": [name]}}}]}
            for name in movable
        ]
    return {**schema, "title": action.name, "description": action.purpose}
