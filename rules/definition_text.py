"""Checks the text of a definition as its author wrote it: the document, and each problem with its line and column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rules.language import AutomationType, infer_type
from rules.outbound_urls import Networks
from rules.parsing import DefinitionError, read
from rules.problems import Problem, join_path
from rules.serialization import write
from rules.source_tree import find_position, map_positions
from rules.validation import validate


@dataclass(frozen=True, slots=True)
class TextProblem(Problem):
    """A problem with its line and column in the text, from 1; None where the document has no such place."""

    line: int | None = None
    column: int | None = None


@dataclass(frozen=True)
class TextCheck:
    """A text's document, None where it cannot be parsed, the type of automation that it was checked for, and its
    problems."""

    document: Any
    automation_type: AutomationType
    problems: list[TextProblem]


def check_text(
    text: str, automation_type: str | None = None, networks: Networks = (), trigger: object = None
) -> TextCheck:
    """Check a text in YAML or JSON for a type of automation; without one, for the type that its trigger belongs to.

    `trigger` replaces the document's trigger; a string replaces only its type.
    """
    type_: Any = automation_type or "workflow"
    try:
        document = replace_trigger(read(text), trigger)
    except DefinitionError as error:
        problem = TextProblem("", str(error), error.line or None, error.column or None)
        return TextCheck(None, type_, [problem])
    type_ = automation_type or infer_type(document)
    problems = validate(document, automation_type=type_, networks=networks)
    return TextCheck(document, type_, locate_problems(text, problems))


def locate_problems(text: str, problems: Sequence[Problem]) -> list[TextProblem]:
    """Return the problems with their places in the text."""
    if not problems:
        return []
    positions, paths = map_positions(text), _map_step_paths(text)
    places = [find_position(_resolve_step(problem.path, paths), positions) or (None, None) for problem in problems]
    return [_place(problem, *place) for problem, place in zip(problems, places, strict=True)]


def _place(problem: Problem, line: int | None, column: int | None) -> TextProblem:
    """Return the problem with its place, and with what it has besides."""
    if isinstance(problem, TextProblem):
        return replace(problem, line=line, column=column)
    return TextProblem(problem.path, problem.message, line, column)


def _resolve_step(path: str, paths: Mapping[str, str]) -> str:
    """Return `steps[2].on_unknown` for `steps.hello.on_unknown`."""
    root, _, rest = path.partition(".")
    name, dot, field = rest.partition(".")
    return f"{paths[name]}{dot}{field}" if root == "steps" and name in paths else path


def _map_step_paths(text: str) -> dict[str, str]:
    """Return the path of each step by its id; empty where the text cannot be parsed."""
    try:
        document = read(text)
    except DefinitionError:
        return {}
    paths: dict[str, str] = {}
    stack: list[tuple[object, str]] = [(document, "")]
    while stack:
        value, path = stack.pop()
        if isinstance(value, dict):
            if isinstance(value.get("id"), str) and "action" in value:
                paths.setdefault(value["id"], path)
            stack.extend((item, join_path(path, str(name))) for name, item in value.items())
        elif isinstance(value, list):
            stack.extend((item, f"{path}[{index}]") for index, item in enumerate(value))
    return paths


def replace_trigger(document: Any, trigger: object) -> Any:
    """Return the document with another trigger; a string is another type of the same trigger."""
    if trigger is None or not isinstance(document, dict):
        return document
    if isinstance(trigger, str):
        former = document.get("trigger")
        trigger = {**(former if isinstance(former, dict) else {}), "type": trigger}
    return {**document, "trigger": trigger}


def get_source(source: str | None, definition: Mapping[str, Any] | None) -> str | None:
    """Return a definition's text: as its author wrote it, else one that is parsed to the same document."""
    if source is not None or definition is None:
        return source
    return write(definition)
