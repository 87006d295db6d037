"""JSON responses: camelCase names, RFC 3339 times with `Z`, ids as strings; and cursor pagination."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeVar

import flask
from flask.json.provider import JSONProvider

from dashboard.errors import invalid_request
from models.ids import is_id
from rules.json_text import dump_json, load_json
from rules.problems import Problem

#: A row of a list.
ListRow = TypeVar("ListRow", bound=Mapping[str, Any])


@lru_cache(maxsize=1024)
def to_camel_case(name: str) -> str:
    """`stage_since` as `stageSince`."""
    head, *rest = name.split("_")
    return head + "".join(word.title() for word in rest)


def to_api_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with camelCase names; values are unchanged."""
    return {to_camel_case(name): value for name, value in row.items()}


class Json(JSONProvider):
    """Compact JSON that also encodes the database's times, ids and decimals."""

    def dumps(self, obj: Any, **_: Any) -> str:
        return dump_json(obj, _encode_value)

    def loads(self, s: str | bytes, **_: Any) -> Any:
        return load_json(s)


def format_time(at: datetime) -> str:
    """Format an aware time as RFC 3339 in UTC: `2026-05-04T09:00:00.125Z`."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _encode_value(value: object) -> object:
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, uuid.UUID | date):
        return str(value)
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def success(status: int = 200, /, **fields: Any) -> tuple[flask.Response, int]:
    """A response with `success: true`."""
    return flask.jsonify({"success": True, **fields}), status


def encode_cursor(row_id: object) -> str:
    """An opaque cursor for the rows after the row with this id."""
    return base64.urlsafe_b64encode(str(row_id).encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """The content of a cursor; empty for an invalid one."""
    try:
        return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        return ""


def parse_row_cursor(cursor: str | None) -> str | None:
    """The id that a cursor is. Raises `ProblemError` 422 for an invalid cursor."""
    if cursor is None:
        return None
    if not is_id(cursor):
        raise invalid_request([Problem("cursor", "is not a cursor of this list")])
    return cursor


def fetch_page(fetch_rows: Callable[[int], Sequence[ListRow]], limit: int) -> tuple[list[ListRow], str | None]:
    """A page of at most `limit` rows, and the cursor of the next page or None. `fetch_rows` takes a number of rows."""
    rows = list(fetch_rows(limit + 1))
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], str(rows[limit - 1]["id"])
