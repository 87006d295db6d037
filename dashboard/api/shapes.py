"""Shapes of answers, as JSON Schema for the OpenAPI document, and small bodies that several resources read."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from dashboard.bodies import Body
from rules.problems import unknown

ID: dict[str, Any] = {"type": "string", "format": "uuid"}
TEXT: dict[str, Any] = {"type": "string"}
NUMBER: dict[str, Any] = {"type": "number"}
COUNT: dict[str, Any] = {"type": "integer"}
BOOL: dict[str, Any] = {"type": "boolean"}
TIME: dict[str, Any] = {"type": "string", "format": "date-time"}
ANY: dict[str, Any] = {}


def maybe(shape: dict[str, Any]) -> dict[str, Any]:
    """The shape, or null."""
    return {**shape, "type": [shape["type"], "null"]} if isinstance(shape.get("type"), str) else shape


def listing(shape: dict[str, Any]) -> dict[str, Any]:
    """A list of the shape."""
    return {"type": "array", "items": shape}


def record(**fields: dict[str, Any]) -> dict[str, Any]:
    """An object with these fields; more may be added to an answer at any time."""
    return {"type": "object", "properties": fields}


PROBLEMS = listing(record(path=TEXT, message=TEXT))


def one_of(known: Collection[str]) -> Callable[[str], str]:
    """A check for texts that are one of a few words; raises `ValueError`."""

    def check(text: str) -> str:
        if text not in known:
            raise ValueError(unknown("value", text, known))
        return text

    return check


def _number_of(text: object) -> object:
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 10 else text


def _truth_of(text: object) -> object:
    return {"true": True, "1": True, "false": False, "0": False}.get(text, text) if isinstance(text, str) else text


def _moment(text: str) -> str:
    moment_of(text)
    return text


def moment_of(text: str) -> datetime:
    """An RFC 3339 time with its zone. Raises `ValueError`."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("must be a time such as 2026-11-20T09:30:00Z") from None
    if moment.tzinfo is None:
        raise ValueError("must name its zone, such as Z at the end")
    if not 1970 <= moment.year < 9000:
        raise ValueError("must be a year from 1970 on")
    return moment


#: A number, a truth and a time as a query writes them.
QueryTruth = Annotated[bool, BeforeValidator(_truth_of)]
Moment = Annotated[str, AfterValidator(_moment)]
Limit = Annotated[int, BeforeValidator(_number_of), Field(ge=1, le=200)]


class Page(Body):
    """Which page of a list."""

    limit: Limit = 50
    cursor: Annotated[str, Field(max_length=100)] | None = None
