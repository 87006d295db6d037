"""Rows as JSON: the API's names, times in RFC 3339 with `Z`, ids as strings; and pages of them with a cursor."""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

import flask
from flask.json.provider import JSONProvider

from dashboard.errors import invalid_request
from models.database import Row
from models.ids import is_id
from rules.problems import Problem


@lru_cache(maxsize=1024)
def to_camel_case(name: str) -> str:
    """`stage_since` as `stageSince`."""
    head, *rest = name.split("_")
    return head + "".join(word.title() for word in rest)


def to_api_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row under the API's names; what its values hold is left as it is."""
    return {to_camel_case(name): value for name, value in row.items()}


class Json(JSONProvider):
    """Compact JSON without a second truth: what Python's does not know is a time, an id or a number of the database."""

    def dumps(self, obj: Any, **_: Any) -> str:
        return json.dumps(obj, default=_encode_value, ensure_ascii=False, separators=(",", ":"))

    def loads(self, s: str | bytes, **_: Any) -> Any:
        return json.loads(s)


def _encode_value(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, uuid.UUID | date):
        return str(value)
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def success(status: int = 200, /, **fields: Any) -> tuple[flask.Response, int]:
    """An answer with `success: true`."""
    return flask.jsonify({"success": True, **fields}), status


def encode_cursor(row_id: object) -> str:
    """An opaque cursor: ask for what comes after the row with this id."""
    return base64.urlsafe_b64encode(str(row_id).encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """What a cursor holds; empty for one that was not ours."""
    try:
        return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        return ""


def parse_row_cursor(cursor: str | None) -> str | None:
    """The id in a cursor. Raises `Refusal` 422 for one that was not ours."""
    if cursor is None:
        return None
    row_id = decode_cursor(cursor)
    if not is_id(row_id):
        raise invalid_request([Problem("cursor", "is not a cursor that this list gave")])
    return row_id


def fetch_page(fetch_rows: Callable[[int], Sequence[Row]], limit: int) -> tuple[list[Row], str | None]:
    """A page of at most `limit` rows, and the cursor of the next where there is more. `read` takes how many to read."""
    rows = list(fetch_rows(limit + 1))
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], encode_cursor(rows[limit - 1]["id"])
