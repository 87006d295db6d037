"""Validates bodies from HTTP and Redis with strict pydantic models, and reports every problem at once with its path.

Nothing is coerced: an unknown field is rejected, `"1"` is not a number. The exception is 1.0, which is accepted as 1
because some languages serialize integers that way.
"""

from __future__ import annotations

import json  # it escapes every character that cannot be shown
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import pydantic
from pydantic import BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, StringConstraints
from pydantic_core.core_schema import CoreSchema, no_info_after_validator_function

from rules.problems import Problem, check_characters, describe_type, format_unknown, join_path, shorten

#: Maximum nesting of objects and lists.
MAX_DEPTH = 32
#: Maximum absolute value: larger numbers are not representable in every language.
MAX_NUMBER = sys.float_info.max
#: Maximum number of problems reported for one body.
MAX_PROBLEMS = 100

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class Body(pydantic.BaseModel):
    """Base model of every body: strict, no unknown fields."""

    model_config = pydantic.ConfigDict(strict=True, extra="forbid", frozen=True, populate_by_name=True)


BodyType = TypeVar("BodyType", bound=Body)
#: What has values, and where a value is: the path of its container, and its name or position there.
Container = dict[str, Any] | list[Any]
Path = tuple[Any, Any]


@dataclass(frozen=True)
class Pattern:
    """Annotates a string that must match a pattern as a whole, with the message for those that do not."""

    pattern: str
    message: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "pattern": f"^{self.pattern}$"}

    def _check(self, text: str) -> str:
        if re.fullmatch(self.pattern, text) is None:
            raise ValueError(self.message)
        return text


@dataclass(frozen=True)
class DescribedAs:
    """Annotates a value with the JSON Schema of the model that describes it and that something else validates."""

    model: type[Body]

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(self.model.__pydantic_core_schema__)


def _to_integer(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def to_whole_numbers(value: object) -> object:
    """Return a JSON value in which 1.0 is 1, at any depth: JSON Schema counts both as integers."""
    if isinstance(value, dict):
        return {name: to_whole_numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [to_whole_numbers(item) for item in value]
    return _to_integer(value)


#: A whole number; 1.0 is accepted as 1.
WholeNumber = Annotated[int, BeforeValidator(_to_integer)]
#: A string of one line: a name, a key, a search term.
_ONE_LINE = r"^[^\x00-\x1f\x7f]*$"
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_ONE_LINE)]
#: As ShortText, and may be empty: the type of a field whose default is the empty text.
OptionalText = Annotated[str, StringConstraints(max_length=200, pattern=_ONE_LINE)]


def find_invalid_values(value: object) -> list[Problem]:
    """Return values that no field may contain: control characters, too deep nesting, numbers out of range."""
    problems: list[Problem] = []
    _walk([value], None, 0, problems)
    return problems[:MAX_PROBLEMS]


def _walk(values: Container, path: Path | None, depth: int, problems: list[Problem]) -> None:
    """Append the invalid values of a container to `problems`. Valid ones, nearly all, cost no text and no call."""
    if depth > MAX_DEPTH:
        problems.append(Problem(_format_path(path), f"is nested deeper than {MAX_DEPTH} levels"))
        return
    for key, item in values.items() if isinstance(values, dict) else enumerate(values):
        if len(problems) >= MAX_PROBLEMS:
            return
        if isinstance(key, str) and not key.isprintable():
            _add_fault(check_characters(key), "the name ", (path, key), problems)
        kind = type(item)
        if kind is dict or kind is list:
            _walk(item, (path, key), depth + 1, problems)
        elif kind is str:
            if not item.isprintable():
                _add_fault(check_characters(item), "", (path, key), problems)
        elif (kind is float or kind is int) and not -MAX_NUMBER <= item <= MAX_NUMBER:
            _add_fault("is a number out of range", "", (path, key), problems)


def _add_fault(fault: str | None, prefix: str, path: Path, problems: list[Problem]) -> None:
    if fault is not None:
        problems.append(Problem(_format_path(path), f"{prefix}{fault}"))


def _format_path(path: Path | None) -> str:
    """Format a path; its first entry is the list around the whole value."""
    keys: list[Any] = []
    while path is not None:
        path, key = path
        keys.append(key)
    text = ""
    for key in reversed(keys[:-1]):
        text = f"{text}[{key}]" if isinstance(key, int) else join_path(text, format_name(key))
    return text


def format_name(name: str) -> str:
    """Format a field name for a path; an unusual name is quoted."""
    return name if _PLAIN_NAME.fullmatch(name) else json.dumps(shorten(name))


def check(model: type[BodyType], value: object, path: str = "") -> tuple[BodyType | None, list[Problem]]:
    """Validate `value`: return the model instance, or None and the problems, with paths below `path`."""
    if not isinstance(value, dict):
        return None, [Problem(path, f"must be an object, not {describe_type(value)}")]
    try:
        return model.model_validate(value), []
    except pydantic.ValidationError as error:
        return None, [_build_problem(model, detail, path) for detail in error.errors(include_url=False)[:MAX_PROBLEMS]]


def _build_problem(model: type[pydantic.BaseModel], error: Mapping[str, Any], path: str) -> Problem:
    location = path
    for part in error["loc"]:
        location = f"{location}[{part}]" if isinstance(part, int) else join_path(location, format_name(str(part)))
    return Problem(location, _format_message(model, error))


def _format_message(model: type[pydantic.BaseModel], error: Mapping[str, Any]) -> str:
    kind, limits, value = error["type"], error.get("ctx", {}), error.get("input")
    if kind == "extra_forbidden":
        names = {field.alias or name for name, field in model.model_fields.items()} if len(error["loc"]) == 1 else set()
        return format_unknown("field", str(error["loc"][-1]), names)
    messages = {
        "missing": "is required",
        "string_type": f"must be a string, not {describe_type(value)}",
        "bool_type": f"must be true or false, not {describe_type(value)}",
        "int_type": f"must be a whole number, not {describe_type(value)}",
        "dict_type": f"must be an object, not {describe_type(value)}",
        "list_type": f"must be a list, not {describe_type(value)}",
        "string_too_short": "must not be empty",
        "string_too_long": f"must have at most {limits.get('max_length')} characters",
        "too_long": f"must have at most {limits.get('max_length')} entries",
        "too_short": f"must have at least {limits.get('min_length')} entries",
        "greater_than_equal": f"must be at least {limits.get('ge')}",
        "less_than_equal": f"must be at most {limits.get('le')}",
        "literal_error": f"must be one of {limits.get('expected')}",
        "string_pattern_mismatch": "contains characters that are not allowed here",
        "value_error": str(limits.get("error", "")),
    }
    return messages.get(kind) or str(error["msg"])
