"""The field types of a definition: each checks a value, renders itself as JSON Schema, and has a label for the docs.

The tables of `rules/language` consist of these, so validation, the published schema and the documentation have one
source. A field type reports problems and the Liquid sources it finds; it never raises. Lists and objects are in
`rules/containers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from rules import conditions, outbound_urls, templating
from rules.problems import Problem, describe_type, format_unknown
from rules.schedule import parse_duration

#: JSON Schema's pattern of a string with a template tag.
_GAP = {"pattern": r"\{[\{%]"}
#: Maximum number of reported problems.
MAX_PROBLEMS = 100


@dataclass(slots=True)
class Report:
    """The findings of one pass through a document."""

    problems: list[Problem] = field(default_factory=list)
    #: Valid templates and conditions, each as (path, its variables).
    sources: list[tuple[str, list[templating.Segments]]] = field(default_factory=list)
    #: Private networks that outbound URLs may point to.
    networks: outbound_urls.Networks = ()

    @property
    def is_full(self) -> bool:
        """Whether it has as many problems as are reported."""
        return len(self.problems) >= MAX_PROBLEMS

    def add(self, path: str, message: str) -> None:
        """Add a problem at `path`."""
        self.problems.append(Problem(path, message))


class FieldType(Protocol):
    """The type of a value in a definition."""

    @property
    def label(self) -> str:
        """The type in a word or two, for the documentation."""

    def check(self, value: object, path: str, report: Report) -> None:
        """Report the problems of `value` at `path`."""

    def to_json_schema(self) -> dict[str, Any]:
        """Return the type as JSON Schema 2020-12."""


@dataclass(frozen=True, slots=True)
class Text:
    """A string, not empty unless allowed. With `template` it may be a template; `validator` checks one without."""

    max_length: int = 1000
    template: bool = False
    validator: Callable[[str], str | None] | None = None
    #: JSON Schema keywords that correspond to `validator`.
    keywords: Mapping[str, Any] = field(default_factory=dict)
    name: str = "string"
    allow_empty: bool = False

    @property
    def label(self) -> str:
        return f"{self.name}, template" if self.template else self.name

    def check(self, value: object, path: str, report: Report) -> None:
        if not isinstance(value, str):
            report.add(path, f"must be a string, not {describe_type(value)}")
            return
        if not value.strip() and not self.allow_empty:
            report.add(path, "must not be empty")
            return
        if len(value) > self.max_length:
            report.add(path, f"must have at most {self.max_length} characters, not {len(value)}")
            return
        if self.template and templating.is_template(value):
            check_template(value, path, report)
            return
        fault = self.validator(value) if self.validator else None
        if fault:
            report.add(path, fault)

    def to_json_schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {
            "type": "string",
            "minLength": int(not self.allow_empty),
            "maxLength": self.max_length,
        }
        if not self.keywords:
            return schema
        if not self.template:
            return {**schema, **self.keywords}
        return {**schema, "anyOf": [dict(self.keywords), _GAP]}


def check_template(source: str, path: str, report: Report) -> None:
    """Report the problem of a template, or add its variables to `report.sources`."""
    fault = templating.check(source)
    if fault:
        report.add(path, fault)
        return
    report.sources.append((path, templating.list_variables(source)))


@dataclass(frozen=True, slots=True)
class OutboundUrl:
    """A URL that Beckon calls, possibly a template; a literal host in a private network is rejected."""

    text: Text

    @property
    def label(self) -> str:
        return self.text.label

    def check(self, value: object, path: str, report: Report) -> None:
        problem_count = len(report.problems)
        self.text.check(value, path, report)
        if len(report.problems) > problem_count or not isinstance(value, str):
            return
        validate = outbound_urls.check_template_url if templating.is_template(value) else outbound_urls.check_url
        fault = validate(value, report.networks)
        if fault:
            report.add(path, fault)

    def to_json_schema(self) -> dict[str, Any]:
        return self.text.to_json_schema()


@dataclass(frozen=True, slots=True)
class Condition:
    """A boolean Liquid expression without braces."""

    label = "condition"

    def check(self, value: object, path: str, report: Report) -> None:
        if not isinstance(value, str):
            report.add(path, f"must be a condition in quotes, not {describe_type(value)}")
            return
        fault = conditions.check(value)
        if fault:
            report.add(path, f"is not a condition: {fault}")
            return
        report.sources.append((path, conditions.list_variables(value)))

    def to_json_schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1, "maxLength": conditions.MAX_LENGTH}


@dataclass(frozen=True, slots=True)
class Duration:
    """A number and a unit: `45s`, `10m`, `2h`, `3d`, `1w`, between one second and `maximum`; or 0 if allowed."""

    maximum: str = "365d"
    allow_zero: bool = False

    @property
    def label(self) -> str:
        return "duration, or 0" if self.allow_zero else "duration"

    def check(self, value: object, path: str, report: Report) -> None:
        if self.allow_zero and value in ("0", 0) and not isinstance(value, bool):
            return
        try:
            length = parse_duration(value) if isinstance(value, str) else None
        except ValueError as error:
            report.add(path, str(error))
            return
        if length is None:
            report.add(path, f'must be a duration such as "2h", not {describe_type(value)}')
            return
        minimum = 0 if self.allow_zero else 1
        if not minimum <= length <= parse_duration(self.maximum):
            report.add(path, f"must be between {minimum}s and {self.maximum}")

    def to_json_schema(self) -> dict[str, Any]:
        duration = {"type": "string", "pattern": "^[0-9]{1,9}[smhdw]$"}
        return {"anyOf": [duration, {"enum": [0, "0"]}]} if self.allow_zero else duration


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number from `minimum` to `maximum`."""

    minimum: int = 0
    maximum: int = 1_000_000_000

    @property
    def label(self) -> str:
        return (
            f"number {self.minimum} to {self.maximum}"
            if self.maximum < 1_000_000_000
            else f"number, at least {self.minimum}"
        )

    def check(self, value: object, path: str, report: Report) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            description = "a decimal number" if isinstance(value, float) else describe_type(value)
            report.add(path, f"must be a whole number, not {description}")
            return
        if not self.minimum <= value <= self.maximum:
            report.add(path, f"must be between {self.minimum} and {self.maximum}")

    def to_json_schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}


@dataclass(frozen=True, slots=True)
class Number:
    """A number, whole or decimal, from `minimum` to `maximum`."""

    minimum: float
    maximum: float

    @property
    def label(self) -> str:
        return f"number {self.minimum:g} to {self.maximum:g}"

    def check(self, value: object, path: str, report: Report) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            report.add(path, f"must be a number, not {describe_type(value)}")
        elif not self.minimum <= value <= self.maximum:
            report.add(path, f"must be between {self.minimum:g} and {self.maximum:g}")

    def to_json_schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": self.minimum, "maximum": self.maximum}


@dataclass(frozen=True, slots=True)
class Boolean:
    """True or false."""

    label = "boolean"

    def check(self, value: object, path: str, report: Report) -> None:
        if not isinstance(value, bool):
            report.add(path, f"must be true or false, not {describe_type(value)}")

    def to_json_schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few options; `kind` names them in messages: a channel, a format."""

    kind: str
    options: tuple[str, ...]

    @property
    def label(self) -> str:
        return " or ".join(f"`{word}`" for word in self.options)

    def check(self, value: object, path: str, report: Report) -> None:
        if not isinstance(value, str):
            report.add(path, f"must be a string, not {describe_type(value)}")
            return
        if value not in self.options:
            report.add(path, format_unknown(self.kind, value, self.options))

    def to_json_schema(self) -> dict[str, Any]:
        return {"enum": list(self.options)}
