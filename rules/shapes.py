"""The shapes of values in a definition: each checks a value, describes itself as JSON Schema, and in a word.

The tables of `rules/language` are made of these, so that validation, the published schema and the documentation are
three readings of one truth. A shape reports problems and the Liquid sources it meets; it never raises. Lists and
objects are in `rules/structures`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from rules import conditions, outbound_urls, templating
from rules.problems import Problem, kind_of, unknown
from rules.schedule import seconds

#: The pattern of a text that has a gap, in JSON Schema.
_GAP = {"pattern": r"\{[\{%]"}


@dataclass(slots=True)
class Report:
    """What a walk through a document found."""

    problems: list[Problem] = field(default_factory=list)
    #: Readable templates and conditions, each as (path, the variables it names).
    sources: list[tuple[str, list[templating.Segments]]] = field(default_factory=list)
    #: Private networks that outbound URLs may lead to.
    networks: outbound_urls.Networks = ()

    def add(self, path: str, message: str) -> None:
        """Report that something is wrong at `path`."""
        self.problems.append(Problem(path, message))


class Shape(Protocol):
    """What a value must look like."""

    @property
    def words(self) -> str:
        """The shape in a word or two, for the documentation."""

    def check(self, value: object, at: str, report: Report) -> None:
        """Report what is wrong with `value`, which stands at the path `at`."""

    def schema(self) -> dict[str, Any]:
        """The shape as JSON Schema 2020-12."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text of at least one character. With `template` it may have gaps; `fault` judges one without."""

    longest: int = 1000
    template: bool = False
    fault: Callable[[str], str | None] | None = None
    #: JSON Schema's keywords for what `fault` judges.
    keywords: Mapping[str, Any] = field(default_factory=dict)
    name: str = "text"

    @property
    def words(self) -> str:
        return f"{self.name}, template" if self.template else self.name

    def check(self, value: object, at: str, report: Report) -> None:
        if not isinstance(value, str):
            report.add(at, f"must be a text, not {kind_of(value)}")
            return
        if not value.strip():
            report.add(at, "must not be empty")
            return
        if len(value) > self.longest:
            report.add(at, f"must have at most {self.longest} characters, not {len(value)}")
            return
        if self.template and templating.is_template(value):
            check_template(value, at, report)
            return
        fault = self.fault(value) if self.fault else None
        if fault:
            report.add(at, fault)

    def schema(self) -> dict[str, Any]:
        plain: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": self.longest}
        if not self.keywords:
            return plain
        if not self.template:
            return {**plain, **self.keywords}
        return {**plain, "anyOf": [dict(self.keywords), _GAP]}


def check_template(source: str, at: str, report: Report) -> None:
    """Report what is wrong with a template, or note the variables it names."""
    fault = templating.check(source)
    if fault:
        report.add(at, fault)
        return
    report.sources.append((at, templating.variables(source)))


@dataclass(frozen=True, slots=True)
class OutboundUrl:
    """A URL that Beckon itself calls, perhaps with gaps: never one that is written out to lead to a private network."""

    text: Text

    @property
    def words(self) -> str:
        return self.text.words

    def check(self, value: object, at: str, report: Report) -> None:
        before = len(report.problems)
        self.text.check(value, at, report)
        if len(report.problems) > before or not isinstance(value, str):
            return
        judge = outbound_urls.template_url_fault if templating.is_template(value) else outbound_urls.url_fault
        fault = judge(value, report.networks)
        if fault:
            report.add(at, fault)

    def schema(self) -> dict[str, Any]:
        return self.text.schema()


@dataclass(frozen=True, slots=True)
class Condition:
    """A boolean expression of Liquid, without braces."""

    words = "condition"

    def check(self, value: object, at: str, report: Report) -> None:
        if not isinstance(value, str):
            report.add(at, f"must be a condition in quotes, not {kind_of(value)}")
            return
        fault = conditions.check(value)
        if fault:
            report.add(at, f"is not a condition: {fault}")
            return
        report.sources.append((at, conditions.variables(value)))

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1, "maxLength": conditions.LONGEST}


@dataclass(frozen=True, slots=True)
class Duration:
    """A number and a unit: `45s`, `10m`, `2h`, `3d`, `1w`, between one second and `longest`."""

    longest: str = "365d"
    words = "duration"

    def check(self, value: object, at: str, report: Report) -> None:
        try:
            length = seconds(value) if isinstance(value, str) else None
        except ValueError as error:
            report.add(at, str(error))
            return
        if length is None:
            report.add(at, f'must be a duration such as "2h", not {kind_of(value)}')
            return
        if not 1 <= length <= seconds(self.longest):
            report.add(at, f"must be between 1s and {self.longest}")

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": "^[0-9]{1,9}[smhdw]$"}


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from `least` to `most`."""

    least: int = 0
    most: int = 1_000_000_000

    @property
    def words(self) -> str:
        return f"number {self.least} to {self.most}" if self.most < 1_000_000_000 else f"number, at least {self.least}"

    def check(self, value: object, at: str, report: Report) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            words = "a broken number" if isinstance(value, float) else kind_of(value)
            report.add(at, f"must be a whole number, not {words}")
            return
        if not self.least <= value <= self.most:
            report.add(at, f"must be between {self.least} and {self.most}")

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Number:
    """A number, broken or whole, from `least` to `most`."""

    least: float
    most: float

    @property
    def words(self) -> str:
        return f"number {self.least:g} to {self.most:g}"

    def check(self, value: object, at: str, report: Report) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            report.add(at, f"must be a number, not {kind_of(value)}")
        elif not self.least <= value <= self.most:
            report.add(at, f"must be between {self.least:g} and {self.most:g}")

    def schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    words = "true or false"

    def check(self, value: object, at: str, report: Report) -> None:
        if not isinstance(value, bool):
            report.add(at, f"must be true or false, not {kind_of(value)}")

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words; `kind` is what they are: a channel, a format."""

    kind: str
    known: tuple[str, ...]

    @property
    def words(self) -> str:
        return " or ".join(f"`{word}`" for word in self.known)

    def check(self, value: object, at: str, report: Report) -> None:
        if not isinstance(value, str):
            report.add(at, f"must be a text, not {kind_of(value)}")
            return
        if value not in self.known:
            report.add(at, unknown(self.kind, value, self.known))

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.known)}
