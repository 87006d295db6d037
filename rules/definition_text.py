"""Checks the text of a definition as its author wrote it: the document, and each problem with its line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rules.outbound_urls import Networks
from rules.parsing import DefinitionError, find_line, map_lines, read
from rules.validation import validate


@dataclass(frozen=True)
class TextProblem:
    """A problem and its line in the text."""

    path: str
    message: str
    line: int | None = None


def check_text(text: str, automation_type: str, networks: Networks = ()) -> tuple[Any, list[TextProblem]]:
    """Return the document in YAML or JSON, None where it cannot be parsed, and its problems."""
    try:
        document = read(text)
    except DefinitionError as error:
        return None, [TextProblem("", str(error))]
    problems = validate(document, automation_type=automation_type, networks=networks)
    lines = map_lines(text) if problems else {}
    return document, [
        TextProblem(problem.path, problem.message, find_line(problem.path, lines)) for problem in problems
    ]
