"""The JSON Schemas of requests: what pydantic writes, with what the reader of every body and query refuses besides.

`rules.body_json` refuses control characters in any string and name of a body, and `dashboard.bodies` any but one line
in a query, so each string without a pattern of its own gets one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

from rules.language import PAGE_TRIGGER
from rules.schema import build_json_schema

REF = "#/components/schemas/{model}"
#: The characters of a string in a body and in a query.
TEXT_PATTERN = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
#: The same, for `\S`: a text that is not blank.
NOT_BLANK_PATTERN = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
LINE_PATTERN = r"^[^\x00-\x1f\x7f]*$"
#: Marks a schema that stands for a component of this name: pydantic refuses references to what it did not define.
COMPONENT = "x-component"
#: Bounds of a type with a validator of its own, which pydantic writes under its own names.
_KEYWORDS = {"ge": "minimum", "le": "maximum"}
#: Keywords that already say which strings are valid.
_EXACT = ("pattern", "enum", "const")
_NAMES = {"pattern": TEXT_PATTERN}

Schema = dict[str, Any]

#: Any value of a body that no model describes.
JSON_VALUE: Schema = {
    "description": "A JSON value. Control characters other than tab and line breaks are refused at any depth.",
    "anyOf": [
        {"type": "string", "pattern": TEXT_PATTERN},
        {"type": ["number", "boolean", "null"]},
        {"type": "array", "items": {"$ref": REF.format(model="JsonValue")}},
        {
            "type": "object",
            "propertyNames": _NAMES,
            "additionalProperties": {"$ref": REF.format(model="JsonValue")},
        },
    ],
}
_ANY = {"$ref": REF.format(model="JsonValue")}
#: The names are those of the package tzdata, whatever the machine has, so that the document is the same everywhere.
TIME_ZONE: Schema = {
    "description": "A time zone of the IANA database.",
    "type": "string",
    "enum": sorted(files("tzdata").joinpath("zones").read_text("utf-8").split()),
}
HOOK_PAYLOAD: Schema = {
    "description": "The payload of a hook. `contact` or `contactId` names the contact.",
    "type": "object",
    "properties": {
        "contact": {"anyOf": [{"$ref": REF.format(model="ContactFields")}, {"type": "null"}]},
        "contactId": {"type": ["string", "null"], "minLength": 1, "maxLength": 64, "pattern": TEXT_PATTERN},
    },
    "propertyNames": _NAMES,
    "additionalProperties": _ANY,
}


def build_definition_components() -> dict[str, Schema]:
    """Return the schema of a definition and of its parts, by the names of components.

    A playbook and a workflow are two components here, which generators of clients read better than `if` and `then`.
    """
    schema = build_json_schema()
    parts = schema["$defs"]
    triggers = parts.pop("trigger")["oneOf"]
    parts["page_trigger"] = next(trigger for trigger in triggers if trigger.get("title") == PAGE_TRIGGER)
    parts["trigger"] = {"anyOf": [trigger for trigger in triggers if trigger is not parts["page_trigger"]]}
    parts["workflow"] = _build_variant(schema, schema["else"], "trigger")
    parts["playbook"] = _build_variant(schema, schema["then"], "page_trigger")
    names = {name: f"Definition{name.title().replace('_', '')}" for name in parts}

    def name_reference(part: Schema) -> Schema:
        if "$ref" not in part:
            return part
        return {"$ref": REF.format(model=names[part["$ref"].rsplit("/", 1)[1]])}

    components = {names[name]: _map_schemas(part, name_reference) for name, part in parts.items()}
    variants = [{"$ref": REF.format(model=names[name])} for name in ("workflow", "playbook")]
    description = "What an automation does, in the workflow language: a playbook where its trigger is `page`."
    return {
        "Definition": {"description": description, "anyOf": variants},
        **{name: refuse_control_characters(part) for name, part in components.items()},
    }


def _build_variant(schema: Schema, branch: Schema, trigger: str) -> Schema:
    """Return the schema of a definition with the fields of one branch of `if`."""
    fields = schema["properties"] | branch["properties"] | {"trigger": {"$ref": f"#/$defs/{trigger}"}}
    return {
        "type": "object",
        "properties": {name: field for name, field in fields.items() if field is not False},
        "required": schema["required"],
        "additionalProperties": False,
    }


def refuse_control_characters(schema: Any, pattern: str = TEXT_PATTERN) -> Any:
    """Return a schema whose strings, names of free objects and unspecified values have no control characters."""
    if not isinstance(schema, dict):
        return schema
    if not _get_keywords(schema):
        return {**schema, **_ANY}
    changed: Schema = {}
    for name, item in schema.items():
        if name in ("properties", "$defs"):
            changed[name] = {field: refuse_control_characters(value, pattern) for field, value in item.items()}
        elif name in ("items", "additionalProperties") and isinstance(item, dict):
            changed[name] = refuse_control_characters(item, pattern)
        elif name in ("anyOf", "oneOf"):
            changed[name] = [refuse_control_characters(value, pattern) for value in item]
        else:
            changed[name] = item
    if schema.get("pattern") == r"\S":
        changed["pattern"] = NOT_BLANK_PATTERN
    if schema.get("type") == "string" and not any(name in schema for name in _EXACT):
        changed["pattern"] = pattern
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        changed.setdefault("propertyNames", _NAMES)
        if schema.get("additionalProperties", True) is True:
            changed["additionalProperties"] = _ANY
    return changed


def _get_keywords(schema: Schema) -> set[str]:
    """Return the keywords of a schema that say something about the value."""
    return schema.keys() - {"title", "description", "default"}


def rename_keywords(value: Any) -> Any:
    """Return a schema with the names of JSON Schema for all keywords, and references for what stands for components."""
    return _map_schemas(value, _rename)


def _rename(schema: Schema) -> Schema:
    if COMPONENT in schema:
        return {"$ref": REF.format(model=schema[COMPONENT])}
    return {_KEYWORDS.get(name, name): item for name, item in schema.items()}


def _map_schemas(value: Any, change: Callable[[Schema], Schema]) -> Any:
    if isinstance(value, list):
        return [_map_schemas(item, change) for item in value]
    if not isinstance(value, dict):
        return value
    return change({name: _map_schemas(item, change) for name, item in value.items()})


def describe_parameter(name: str, schema: Mapping[str, Any], *, is_required: bool) -> Schema:
    """Return a parameter of a query. A query has no null, and a list is one value with commas."""
    field = rename_keywords(_without_null(schema))
    field = refuse_control_characters(field, LINE_PATTERN) if _get_keywords(field) else field
    parameter = {"name": name, "in": "query", "required": is_required, "schema": field}
    return parameter | {"style": "form", "explode": False} if field.get("type") == "array" else parameter


def _without_null(schema: Mapping[str, Any]) -> Schema:
    rest = {name: item for name, item in schema.items() if name != "anyOf"}
    if rest.get("default", ...) is None:
        del rest["default"]
    options = [option for option in schema.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) == 1:
        return {**rest, **options[0]}
    return {**rest, "anyOf": options} if options else rest
