"""Field types that contain others: lists, objects with fixed fields, objects with free names, any JSON.

The scalar types are in `rules/field_types`. A list of steps is only referenced here; `rules/validation` checks it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rules import templating
from rules.field_types import FieldType, Report, check_template
from rules.problems import describe_type, format_unknown, join_path


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of `min_items` to `max_items` values of one type."""

    item: FieldType
    max_items: int = 100
    min_items: int = 0

    @property
    def label(self) -> str:
        return f"list of {self.item.label}"

    def check(self, value: object, path: str, report: Report) -> None:
        if not isinstance(value, list):
            report.add(path, f"must be a list, not {describe_type(value)}")
            return
        if not self.min_items <= len(value) <= self.max_items:
            report.add(path, f"must have between {self.min_items} and {self.max_items} items, not {len(value)}")
            return
        for index, item in enumerate(value):
            self.item.check(item, f"{path}[{index}]", report)

    def to_json_schema(self) -> dict[str, Any]:
        return {
            "type": "array",
            "items": self.item.to_json_schema(),
            "minItems": self.min_items,
            "maxItems": self.max_items,
        }


@dataclass(frozen=True, slots=True)
class MapOf:
    """An object with free names; `validator` checks each name."""

    item: FieldType
    max_properties: int = 100
    validator: Callable[[str], str | None] | None = None
    min_properties: int = 0

    @property
    def label(self) -> str:
        return f"object of {self.item.label}"

    def check(self, value: object, path: str, report: Report) -> None:
        if not isinstance(value, dict):
            report.add(path, f"must be an object, not {describe_type(value)}")
            return
        if len(value) > self.max_properties:
            report.add(path, f"must have at most {self.max_properties} fields, not {len(value)}")
            return
        if len(value) < self.min_properties:
            report.add(path, "must not be empty")
        for name, item in value.items():
            fault = self.validator(name) if self.validator else None
            if fault:
                report.add(join_path(path, name), fault)
            self.item.check(item, join_path(path, name), report)

    def to_json_schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "additionalProperties": self.item.to_json_schema(),
            "maxProperties": self.max_properties,
            **({"minProperties": self.min_properties} if self.min_properties else {}),
        }


@dataclass(frozen=True, slots=True)
class AnyJson:
    """Any JSON value; with `template`, every string in it may be a template."""

    template: bool = False

    @property
    def label(self) -> str:
        return "any JSON, templates within" if self.template else "any JSON"

    def check(self, value: object, path: str, report: Report) -> None:
        if isinstance(value, dict):
            for name, item in value.items():
                self.check(item, join_path(path, name), report)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self.check(item, f"{path}[{index}]", report)
        elif self.template and isinstance(value, str) and templating.is_template(value):
            check_template(value, path, report)

    def to_json_schema(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True, slots=True)
class Object:
    """An object with fixed fields. `at_least_one` rejects an empty object."""

    fields: Mapping[str, FieldType]
    required: frozenset[str] = frozenset()
    at_least_one: bool = False
    #: Fields of which at most one may be set.
    mutually_exclusive: tuple[str, ...] = ()
    label = "object"

    def check(self, value: object, path: str, report: Report) -> None:
        if not isinstance(value, dict):
            report.add(path, f"must be an object, not {describe_type(value)}")
            return
        for name in value:
            if name not in self.fields and not report.is_full:
                report.add(join_path(path, name), format_unknown("field", name, self.fields))
        for name, shape in self.fields.items():
            if name in value:
                shape.check(value[name], join_path(path, name), report)
            elif name in self.required:
                report.add(join_path(path, name), "is required")
        if self.at_least_one and not value:
            report.add(path, f"must have at least one of {', '.join(self.fields)}")
        if len(names := [name for name in self.mutually_exclusive if name in value]) > 1:
            report.add(path, f"must have only one of {', '.join(names)}")

    def to_json_schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {name: shape.to_json_schema() for name, shape in self.fields.items()},
            "additionalProperties": False,
        }
        if self.required:
            schema["required"] = sorted(self.required)
        if self.mutually_exclusive:
            schema["not"] = {"required": list(self.mutually_exclusive)}
        return {**schema, "minProperties": 1} if self.at_least_one else schema


@dataclass(frozen=True, slots=True)
class Nested:
    """A list of steps or variants: checked by `rules/validation`, described by reference."""

    reference: str
    label = "list of steps"

    def check(self, value: object, path: str, report: Report) -> None:
        if not isinstance(value, list):
            report.add(path, f"must be a list of {self.reference}, not {describe_type(value)}")

    def to_json_schema(self) -> dict[str, Any]:
        return {"$ref": f"#/$defs/{self.reference}"}
