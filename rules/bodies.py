"""The shape of what comes from outside: strict pydantic models, and every problem named by its path, all at once.

Nothing is guessed: an unknown field is refused, `"1"` is not a number. Only 1.0 is taken for 1, because some languages
write it so. Whoever reads a body, from HTTP or from Redis, judges it here.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import pydantic
from pydantic import BeforeValidator, StringConstraints

from rules.problems import Problem, below, character_fault, kind_of, shortened, unknown

#: How deep objects and lists may stand within each other.
DEEPEST = 32
#: No number may be farther from 0: more than this is not a number everywhere.
LARGEST_NUMBER = sys.float_info.max
#: A refusal names so many problems at most.
MOST_PROBLEMS = 100

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class Body(pydantic.BaseModel):
    """The base of everything that is read: strict, and without unknown fields."""

    model_config = pydantic.ConfigDict(strict=True, extra="forbid", frozen=True, populate_by_name=True)


Read = TypeVar("Read", bound=Body)


def _integral(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


#: A whole number, also when it is written 1.0.
WholeNumber = Annotated[int, BeforeValidator(_integral)]
#: A text of one line: a name, a key, a word to search for.
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


def unfit(value: object) -> list[Problem]:
    """What no field may hold, wherever it stands: control characters, endless nesting, numbers beyond all bounds."""
    problems: list[Problem] = []
    _walk(value, "", 1, problems)
    return problems


def _walk(value: object, path: str, depth: int, problems: list[Problem]) -> None:
    """Collect what no field may hold, wherever it stands."""
    if len(problems) >= MOST_PROBLEMS:
        return
    if isinstance(value, str):
        fault = character_fault(value)
        if fault:
            problems.append(Problem(path, fault))
    elif isinstance(value, int | float) and not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
        problems.append(Problem(path, "is a number beyond what can be kept"))
    elif isinstance(value, dict | list):
        _walk_within(value, path, depth, problems)


def _walk_within(value: dict[str, object] | list[object], path: str, depth: int, problems: list[Problem]) -> None:
    if depth > DEEPEST:
        problems.append(Problem(path, f"is nested deeper than {DEEPEST} levels"))
        return
    if isinstance(value, list):
        for index, item in enumerate(value):
            _walk(item, f"{path}[{index}]", depth + 1, problems)
        return
    for name, item in value.items():
        fault = character_fault(name)
        if fault:
            problems.append(Problem(below(path, readable(name)), f"the name {fault}"))
        _walk(item, below(path, readable(name)), depth + 1, problems)


def readable(name: str) -> str:
    """A field's name as it may stand in a path."""
    return name if _PLAIN_NAME.fullmatch(name) else json.dumps(shortened(name))


def check(model: type[Read], value: object, path: str = "") -> tuple[Read | None, list[Problem]]:
    """`value` as the model has it, or what is wrong with it, with paths that begin at `path`."""
    if not isinstance(value, dict):
        return None, [Problem(path, f"must be an object, not {kind_of(value)}")]
    try:
        return model.model_validate(value), []
    except pydantic.ValidationError as error:
        return None, [_problem(model, one, path) for one in error.errors(include_url=False)[:MOST_PROBLEMS]]


def _problem(model: type[pydantic.BaseModel], error: Mapping[str, Any], path: str) -> Problem:
    where = path
    for part in error["loc"]:
        where = f"{where}[{part}]" if isinstance(part, int) else below(where, readable(str(part)))
    return Problem(where, _words(model, error))


def _words(model: type[pydantic.BaseModel], error: Mapping[str, Any]) -> str:
    kind, limits, given = error["type"], error.get("ctx", {}), error.get("input")
    if kind == "extra_forbidden":
        known = {field.alias or name for name, field in model.model_fields.items()} if len(error["loc"]) == 1 else set()
        return unknown("field", str(error["loc"][-1]), known)
    fixed = {
        "missing": "is required",
        "string_type": f"must be a text, not {kind_of(given)}",
        "bool_type": f"must be true or false, not {kind_of(given)}",
        "int_type": f"must be a whole number, not {kind_of(given)}",
        "dict_type": f"must be an object, not {kind_of(given)}",
        "list_type": f"must be a list, not {kind_of(given)}",
        "string_too_short": "must not be empty",
        "string_too_long": f"must have at most {limits.get('max_length')} characters",
        "too_long": f"must have at most {limits.get('max_length')} entries",
        "too_short": f"must have at least {limits.get('min_length')} entries",
        "greater_than_equal": f"must be at least {limits.get('ge')}",
        "less_than_equal": f"must be at most {limits.get('le')}",
        "literal_error": f"must be one of {limits.get('expected')}",
        "string_pattern_mismatch": "holds characters that are not allowed here",
        "value_error": str(limits.get("error", "")),
    }
    return fixed.get(kind) or str(error["msg"])
