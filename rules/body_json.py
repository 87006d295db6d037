"""Parses the JSON of a body, and says why a body is refused before any field of it is known.

Pure, so that a large body can be parsed in a process of its own (`rules/parsers.py`).
"""

from __future__ import annotations

import json  # its hook, and the line and column of an error
from collections.abc import Sequence
from typing import Any

from rules.bodies import find_invalid_values
from rules.problems import Problem


class BodyError(Exception):
    """A body that cannot be accepted: the HTTP status, a detail for people, and the invalid fields."""

    def __init__(self, status: int, detail: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.problems = list(problems)


def invalid_body(problems: Sequence[Problem]) -> BodyError:
    """Return 422 with the invalid fields."""
    return BodyError(422, "The request is not valid.", problems)


def parse_json(raw: bytes) -> Any:
    """Return the JSON value of a body. Raises `BodyError` 400 with the position of the fault."""
    try:
        return json.loads(raw.decode("utf-8"), parse_constant=_reject_constant)
    except UnicodeDecodeError:
        raise BodyError(400, "The body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise BodyError(
            400, f"The body is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        ) from None
    except (ValueError, RecursionError):
        raise BodyError(400, "The body is not valid JSON.") from None


def parse_body(raw: bytes) -> Any:
    """Return the JSON value of a body. Raises `BodyError` 400, or 422 for characters, depth and numbers."""
    value = parse_json(raw)
    problems = find_invalid_values(value)
    if problems:
        raise invalid_body(problems)
    return value


def _reject_constant(name: str) -> None:
    raise ValueError(name)
