"""Shapes made of shapes: lists, objects with known fields, objects with names of one's own, any JSON.

The other half of `rules/shapes`; a list of steps is only named here, `rules/validation` walks through it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rules import templating
from rules.problems import below, kind_of, unknown
from rules.shapes import Report, Shape, check_template


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of at most `most` values of one shape."""

    item: Shape
    most: int = 100
    least: int = 0

    @property
    def words(self) -> str:
        return f"list of {self.item.words}"

    def check(self, value: object, at: str, report: Report) -> None:
        if not isinstance(value, list):
            report.add(at, f"must be a list, not {kind_of(value)}")
            return
        if not self.least <= len(value) <= self.most:
            report.add(at, f"must have between {self.least} and {self.most} items, not {len(value)}")
            return
        for index, one in enumerate(value):
            self.item.check(one, f"{at}[{index}]", report)

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self.item.schema(), "minItems": self.least, "maxItems": self.most}


@dataclass(frozen=True, slots=True)
class MapOf:
    """An object with names of one's own; `fault` judges a name."""

    item: Shape
    most: int = 100
    fault: Callable[[str], str | None] | None = None

    @property
    def words(self) -> str:
        return f"object of {self.item.words}"

    def check(self, value: object, at: str, report: Report) -> None:
        if not isinstance(value, dict):
            report.add(at, f"must be an object, not {kind_of(value)}")
            return
        if len(value) > self.most:
            report.add(at, f"must have at most {self.most} fields, not {len(value)}")
            return
        for name, one in value.items():
            fault = self.fault(name) if self.fault else None
            if fault:
                report.add(below(at, name), fault)
            self.item.check(one, below(at, name), report)

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": self.item.schema(), "maxProperties": self.most}


@dataclass(frozen=True, slots=True)
class Anything:
    """Any JSON value; with `template`, every text in it may have gaps."""

    template: bool = False

    @property
    def words(self) -> str:
        return "any JSON, templates within" if self.template else "any JSON"

    def check(self, value: object, at: str, report: Report) -> None:
        if isinstance(value, dict):
            for name, one in value.items():
                self.check(one, below(at, name), report)
        elif isinstance(value, list):
            for index, one in enumerate(value):
                self.check(one, f"{at}[{index}]", report)
        elif self.template and isinstance(value, str) and templating.is_template(value):
            check_template(value, at, report)

    def schema(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True, slots=True)
class Object:
    """An object with known fields. `at_least_one` refuses the empty one."""

    fields: Mapping[str, Shape]
    required: frozenset[str] = frozenset()
    at_least_one: bool = False
    #: Fields of which only one may be given.
    not_together: tuple[str, ...] = ()
    words = "object"

    def check(self, value: object, at: str, report: Report) -> None:
        if not isinstance(value, dict):
            report.add(at, f"must be an object, not {kind_of(value)}")
            return
        for name in value:
            if name not in self.fields:
                report.add(below(at, name), unknown("field", name, self.fields))
        for name, shape in self.fields.items():
            if name in value:
                shape.check(value[name], below(at, name), report)
            elif name in self.required:
                report.add(below(at, name), "is required")
        if self.at_least_one and not value:
            report.add(at, f"must have at least one of {', '.join(self.fields)}")
        if len(given := [name for name in self.not_together if name in value]) > 1:
            report.add(at, f"must have only one of {', '.join(given)}")

    def schema(self) -> dict[str, Any]:
        made: dict[str, Any] = {
            "type": "object",
            "properties": {name: shape.schema() for name, shape in self.fields.items()},
            "additionalProperties": False,
        }
        if self.required:
            made["required"] = sorted(self.required)
        if self.not_together:
            made["not"] = {"required": list(self.not_together)}
        return {**made, "minProperties": 1} if self.at_least_one else made


@dataclass(frozen=True, slots=True)
class Nested:
    """A list of steps or variants: checked by the walk through the steps, described by reference."""

    reference: str
    words = "list of steps"

    def check(self, value: object, at: str, report: Report) -> None:
        if not isinstance(value, list):
            report.add(at, f"must be a list of {self.reference}, not {kind_of(value)}")

    def schema(self) -> dict[str, Any]:
        return {"$ref": f"#/$defs/{self.reference}"}
