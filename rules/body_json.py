"""Parses the JSON or the form of a body, and says why a body is refused before any field of it is known.

Pure, so that a large body can be parsed in a process of its own (`rules/parsers.py`).
"""

from __future__ import annotations

import codecs
import json  # its hooks, and the line and column of an error
from collections.abc import Collection, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote

from rules.bodies import find_invalid_values
from rules.json_text import has_more_values
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
        # Some programs begin with a byte order mark, which RFC 8259, 8.1 lets a parser skip.
        return _DECODER.decode(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise BodyError(400, "The body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise BodyError(
            400, f"The body is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        ) from None
    except (ValueError, RecursionError):
        raise BodyError(400, "The body is not valid JSON.") from None


def check_value_count(raw: bytes, max_values: int) -> None:
    """Raise `BodyError` 413 where JSON, not yet parsed, has more than `max_values` values."""
    if has_more_values(raw, max_values):
        raise BodyError(413, f"The body has too many values. The limit of this path is {max_values:,} values.")


def parse_body(raw: bytes, max_values: int) -> Any:
    """Return the JSON value of a body. Raises `BodyError` 413 where it has more than `max_values` values, before it is
    parsed; 400; or 422 for characters, depth and numbers."""
    check_value_count(raw, max_values)
    value = parse_json(raw)
    problems = find_invalid_values(value)
    if problems:
        raise invalid_body(problems)
    return value


def parse_signed_json(raw: bytes, max_values: int, signed_names: Collection[str]) -> Any:
    """Return the JSON value of a body that has its signature inside; no object may repeat a name of the signature.

    Raises `BodyError` 413 and 400.
    """
    check_value_count(raw, max_values)

    def read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs if name in signed_names]
        if len(names) != len(set(names)):
            raise ValueError("a signed field is repeated")
        return dict(pairs)

    try:
        return json.loads(raw, object_pairs_hook=read_object)
    except (ValueError, RecursionError):
        raise BodyError(400, "The body is not JSON.") from None


def parse_form(raw: bytes) -> list[tuple[str, str]]:
    """Return the fields of a URL-encoded form; bytes that are no UTF-8 stay as they are encoded."""
    try:
        return parse_qsl(raw.decode(), keep_blank_values=True, errors="beckon.keep_encoded")
    except UnicodeDecodeError:
        return []


def _keep_encoded(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return quote(error.object[error.start : error.end], safe=""), error.end


codecs.register_error("beckon.keep_encoded", _keep_encoded)


def _reject_constant(name: str) -> None:
    raise ValueError(name)


#: `json.loads` would build one at each call.
_DECODER = json.JSONDecoder(parse_constant=_reject_constant)
