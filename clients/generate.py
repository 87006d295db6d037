"""Writes the types and limits of the clients from an OpenAPI document on standard input: `make clients`.

The types are those of the operations that producers call, and what they refer to. A field that the document does not
name has no type, and an optional field may be absent.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
#: What producers call. A path that the document lacks stops the generator.
PATHS = ("/api/triggers", "/api/triggers/batch", "/api/track-execution", "/api/track-executions")
#: Constants of the clients: the maximum length of a list in a body.
LIMITS = {"MAX_TRIGGERS": ("Batch", "triggers"), "MAX_EXECUTIONS": ("ExecutionReports", "executions")}

#: Keyword arguments of the Python client: the fields of a body in snake_case, without those named.
ARGUMENTS = {
    "TriggerArguments": ("Trigger", {"type"}),
    "ExecutionArguments": ("ReportedExecution", {"workflowId"}),
}

Schema = dict[str, Any]


@dataclass(frozen=True)
class Language:
    """How a language writes types: the names of simple ones, an array, a choice of values, and one value."""

    names: dict[str, str]
    array: str
    choice: str
    separator: str
    format_value: Callable[[Any], str]


PYTHON = Language(
    {
        "string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None",
        "object": "dict[str, Any]", "any": "Any",
    },
    "list[{}]", "Literal[{}]", ", ", lambda value: str(value) if isinstance(value, bool) else json.dumps(value),
)  # fmt: skip
TYPESCRIPT = Language(
    {
        "string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null",
        "object": "Record<string, unknown>", "any": "unknown",
    },
    "Array<{}>", "{}", " | ", json.dumps,
)  # fmt: skip


def list_schemas(document: Schema) -> dict[str, Schema]:
    """The named schemas of the producers' operations, in the order of their names."""
    schemas: dict[str, Schema] = _write_out_values(document["components"]["schemas"])
    pending = [name for path in PATHS for name in iter_references(document["paths"][path]["post"])]
    names: set[str] = set()
    while pending:
        name = pending.pop()
        if name not in names:
            names.add(name)
            pending.extend(iter_references(schemas[name]))
    return {name: schemas[name] for name in sorted(names)}


def _write_out_values(schemas: dict[str, Schema]) -> dict[str, Schema]:
    """The schemas of objects; a reference to any other one becomes its type, without its long list of values."""
    types = {
        name: {"type": schema["type"]} if "type" in schema else {}
        for name, schema in schemas.items()
        if "properties" not in schema
    }

    def write_out(value: Any) -> Any:
        if isinstance(value, list):
            return [write_out(item) for item in value]
        if not isinstance(value, dict):
            return value
        name = str(value.get("$ref", "")).rsplit("/", 1)[-1]
        return types[name] if name in types else {key: write_out(item) for key, item in value.items()}

    return {name: write_out(schema) for name, schema in schemas.items() if name not in types}


def iter_references(value: Any) -> Iterator[str]:
    """The names of the schemas to which a part of the document refers."""
    if isinstance(value, list):
        for item in value:
            yield from iter_references(item)
    elif isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].rsplit("/", 1)[1]
        for item in value.values():
            yield from iter_references(item)


def read_limits(document: Schema) -> dict[str, int]:
    """The value of each constant."""
    schemas = document["components"]["schemas"]
    return {constant: schemas[name]["properties"][field]["maxItems"] for constant, (name, field) in LIMITS.items()}


def format_type(schema: Schema, language: Language) -> str:
    """The type of a schema. An object without a name is a map of anything."""
    if "$ref" in schema:
        return str(schema["$ref"].rsplit("/", 1)[1])
    if "const" in schema or "enum" in schema:
        values = [schema["const"]] if "const" in schema else schema["enum"]
        return language.choice.format(language.separator.join(map(language.format_value, values)))
    if "anyOf" in schema:
        return " | ".join(format_type(option, language) for option in schema["anyOf"])
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        return " | ".join(format_type({**schema, "type": item}, language) for item in kind)
    if kind == "array":
        return language.array.format(format_type(schema.get("items", {}), language))
    return language.names[kind]


def format_python(document: Schema) -> str:
    """The module of TypedDicts and constants."""
    constants = "".join(f"{name} = {value}\n" for name, value in read_limits(document).items())
    head = (
        '"""Types and limits of the API, generated from its OpenAPI document by `make clients`; do not edit."""\n\n'
        "from __future__ import annotations\n\n"
        f"from typing import Any, Literal, NotRequired, TypedDict\n\n{constants}"
    )
    schemas = list_schemas(document)
    arguments = {name: _build_arguments(schemas[body], left_out) for name, (body, left_out) in ARGUMENTS.items()}
    return "\n\n".join([head, *(_format_class(name, schema) for name, schema in {**schemas, **arguments}.items())])


def _build_arguments(schema: Schema, left_out: set[str]) -> Schema:
    fields = {name: field for name, field in schema["properties"].items() if name not in left_out}
    return {
        "description": f"Keyword arguments. {schema['description']}",
        "required": [_to_snake_case(name) for name in schema.get("required", ())],
        "properties": {_to_snake_case(name): field for name, field in fields.items()},
    }


def _to_snake_case(name: str) -> str:
    return re.sub("[A-Z]", lambda match: f"_{match[0].lower()}", name)


def _format_class(name: str, schema: Schema) -> str:
    lines = [f"class {name}(TypedDict):", *_wrap(f'"""{_describe(schema)}"""'), ""]
    for field, field_schema, is_required in _iter_fields(schema):
        kind = format_type(field_schema, PYTHON)
        lines.append(f"    {field}: {kind if is_required else f'NotRequired[{kind}]'}")
    return "\n".join(lines) + "\n"


def _wrap(docstring: str) -> list[str]:
    return textwrap.wrap(docstring, 118, initial_indent="    ", subsequent_indent="    ", break_long_words=False)


def format_typescript(document: Schema) -> str:
    """The declarations of interfaces."""
    head = "// Types of the API, generated from its OpenAPI document by `make clients`; do not edit.\n"
    return "\n".join([head, *(_format_interface(name, schema) for name, schema in list_schemas(document).items())])


def _format_interface(name: str, schema: Schema) -> str:
    lines = [f"/** {_describe(schema)} */", f"export interface {name} {{"]
    for field, field_schema, is_required in _iter_fields(schema):
        lines.append(f"  {field}{'' if is_required else '?'}: {format_type(field_schema, TYPESCRIPT)};")
    return "\n".join([*lines, "}"]) + "\n"


def _iter_fields(schema: Schema) -> Iterator[tuple[str, Schema, bool]]:
    required = schema.get("required", ())
    for field, field_schema in schema.get("properties", {}).items():
        yield field, field_schema, field in required


def _describe(schema: Schema) -> str:
    return " ".join(str(schema["description"]).split())


def format_limits(document: Schema) -> str:
    """The module of constants for Node."""
    fields = "".join(f"  {name}: {value},\n" for name, value in read_limits(document).items())
    return (
        "// Limits of the API, generated from its OpenAPI document by `make clients`; do not edit.\n"
        f"'use strict';\n\nmodule.exports = Object.freeze({{\n{fields}}});\n"
    )


#: Each generated file, and the function that formats it.
FILES: dict[str, Callable[[Schema], str]] = {
    "python/src/beckon_client/schema.py": format_python,
    "javascript/types/schema.d.ts": format_typescript,
    "javascript/src/limits.cjs": format_limits,
}


def main() -> None:
    """Write every file."""
    document = json.load(sys.stdin)
    for file, format_content in FILES.items():
        (ROOT / file).write_text(format_content(document), encoding="utf-8")


if __name__ == "__main__":
    main()
