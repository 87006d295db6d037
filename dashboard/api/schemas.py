"""JSON Schemas of responses for the OpenAPI document, and request types shared by several resources."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic_core.core_schema import CoreSchema, no_info_after_validator_function, no_info_plain_validator_function

from dashboard.bodies import Body
from rules.bodies import Pattern
from rules.problems import format_unknown

ID: dict[str, Any] = {"type": "string", "format": "uuid"}
TEXT: dict[str, Any] = {"type": "string"}
NUMBER: dict[str, Any] = {"type": "number"}
COUNT: dict[str, Any] = {"type": "integer"}
BOOL: dict[str, Any] = {"type": "boolean"}
EMAIL: dict[str, Any] = {"type": "string", "format": "email", "maxLength": 200}
TIME: dict[str, Any] = {"type": "string", "format": "date-time"}
ANY: dict[str, Any] = {}

#: An id as `models.ids.is_id` knows it.
ID_PATTERN = "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
NO_CURSOR = "is not a cursor of this list"
_NUMBER = re.compile(r"-?[0-9]{1,20}")


def nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, or null."""
    return {**schema, "type": [schema["type"], "null"]} if isinstance(schema.get("type"), str) else schema


def one_of(values: Iterable[str]) -> dict[str, Any]:
    """One of these strings."""
    return {"type": "string", "enum": list(values)}


def array_of(schema: dict[str, Any]) -> dict[str, Any]:
    """An array of the schema."""
    return {"type": "array", "items": schema}


def record(**fields: dict[str, Any]) -> dict[str, Any]:
    """An object with these fields; responses may get more fields at any time."""
    return {"type": "object", "properties": fields}


class Component(dict[str, Any]):
    """A schema with a name of its own: the document has it once, and clients name a type after it."""

    def __init__(self, name: str, schema: dict[str, Any]) -> None:
        super().__init__(schema)
        self.name = name


def component(name: str, description: str, **fields: dict[str, Any]) -> Component:
    """A named object that always has these fields; responses may get more fields at any time."""
    return Component(name, {"description": description, "required": list(fields), **record(**fields)})


def answer(name: str, description: str, **fields: dict[str, Any]) -> Component:
    """The named body of a response that always has `success` and these fields."""
    return component(name, description, success={"const": True}, **fields)


PROBLEM = component(
    "FieldProblem", "One invalid field: its path, such as `contact.email`, and the reason.", path=TEXT, message=TEXT
)
PROBLEMS = array_of(PROBLEM)


@dataclass(frozen=True)
class Choice:
    """Annotates a string that must be one of `values`, for the validation and for the JSON Schema."""

    values: tuple[str, ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "enum": list(self.values)}

    def _check(self, text: str) -> str:
        if text not in self.values:
            raise ValueError(format_unknown("value", text, self.values))
        return text


@dataclass(frozen=True)
class QueryNumber:
    """Annotates a whole number from `minimum` to `maximum` as query strings write it."""

    minimum: int
    maximum: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_plain_validator_function(self._parse)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}

    def _parse(self, value: object) -> int:
        number = int(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value
        if not isinstance(number, int) or isinstance(number, bool) or not self.minimum <= number <= self.maximum:
            raise ValueError(f"must be a whole number from {self.minimum} to {self.maximum}")
        return number


def _parse_bool(text: object) -> object:
    return {"true": True, "1": True, "false": False, "0": False}.get(text, text) if isinstance(text, str) else text


def _validate_moment(text: str) -> str:
    parse_moment(text)
    return text


def parse_moment(text: str) -> datetime:
    """An RFC 3339 time with its zone, in UTC: PostgreSQL knows no offset of 16 hours. Raises `ValueError`."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("must be a time such as 2026-11-20T09:30:00Z") from None
    if moment.tzinfo is None:
        raise ValueError("must have a time zone, such as Z at the end")
    if not 1970 <= moment.year < 9000:
        raise ValueError("must be in the year 1970 or later")
    return moment.astimezone(UTC)


#: Types as query strings write them.
QueryBool = Annotated[bool, BeforeValidator(_parse_bool)]
Moment = Annotated[
    str,
    AfterValidator(_validate_moment),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": "^(19[7-9][0-9]|[2-8][0-9]{3})-"}),
]
PageLimit = Annotated[int, QueryNumber(1, 200)]
#: The id of the last row of a page.
Cursor = Annotated[str, Pattern(ID_PATTERN, NO_CURSOR)]


class Page(Body):
    """The page of a list."""

    limit: PageLimit = 50
    cursor: Cursor | None = None
