"""Strict parsing of requests: size, JSON, characters, then the schema (`rules.bodies`)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import flask

from dashboard.errors import ProblemError, invalid_request
from dashboard.held_bytes import hold_body
from dashboard.parsing import LARGE_BYTES, parse_apart
from rules.bodies import Body, BodyType, ShortText, WholeNumber, check, format_name
from rules.body_json import BodyError, parse_body
from rules.problems import Problem, check_characters

__all__ = [
    "BODY_LIMIT",
    "LARGE_BODY_LIMIT",
    "Body",
    "BodyType",
    "ShortText",
    "WholeNumber",
    "check",
    "compute_max_values",
    "parse_here",
    "parse_json_bytes",
    "read",
    "read_bytes",
    "read_json",
    "read_json_bytes",
    "read_query",
]

#: Maximum bytes of a body; batches and webhooks may have five times as many.
BODY_LIMIT = 1024 * 1024
LARGE_BODY_LIMIT = 5 * BODY_LIMIT
#: Maximum values of a JSON body per KiB of its limit. Parsing, checking and storing cost by values, not by bytes.
MAX_VALUES_PER_KIB = 20

Parsed = TypeVar("Parsed")


def read_bytes(limit: int) -> bytes:
    """The raw body. Raises `ProblemError` 413 where it is longer than `limit` bytes, whatever Content-Length says."""
    # A body without a length is silently cut at the limit; one extra byte shows that it was longer.
    flask.request.max_content_length = limit + 1
    hold_body(limit)
    raw = flask.request.get_data()
    if len(raw) > limit:
        raise ProblemError(413, f"The body is too large. The limit of this path is {limit:,} bytes.")
    return raw


def read_json_bytes(limit: int) -> bytes:
    """The body, which says that it is JSON. Raises `ProblemError` 413, 415, or 400 for an empty one."""
    raw = read_bytes(limit)
    if not raw:
        raise ProblemError(400, "The body is empty. Send a JSON body.")
    if flask.request.mimetype != "application/json":
        raise ProblemError(415, "The Content-Type must be application/json.")
    return raw


def read_json(limit: int) -> Any:
    """The body's JSON value. Raises `ProblemError` 413, 415, 400, or 422 for characters, depth and numbers."""
    return parse_json_bytes(read_json_bytes(limit), limit)


def parse_json_bytes(raw: bytes, limit: int) -> Any:
    """The JSON value of a body of a path with this limit. Raises `ProblemError` 413, 400 and 422."""
    if len(raw) > LARGE_BYTES:
        return parse_apart("json", raw, max_values=compute_max_values(limit))
    return parse_here(parse_body, raw, compute_max_values(limit))


def parse_here(parse: Callable[..., Parsed], body: object, *options: Any) -> Parsed:
    """What `parse` makes of a small body. Raises `ProblemError` instead of `BodyError`."""
    try:
        return parse(body, *options)
    except BodyError as error:
        raise ProblemError(error.status, error.detail, error.problems) from None


def compute_max_values(limit: int) -> int:
    """The values that a path with this limit in bytes accepts."""
    return limit // 1024 * MAX_VALUES_PER_KIB


def read(model: type[BodyType], limit: int = BODY_LIMIT) -> BodyType:
    """The request body, validated by the model. Raises `ProblemError`."""
    body, problems = check(model, read_json(limit))
    if body is None:
        raise invalid_request(problems)
    return body


def read_query(model: type[BodyType]) -> BodyType:
    """The query, validated by the model; a repeated name is rejected. Raises `ProblemError` 422."""
    arguments = flask.request.args
    problems = [Problem(name, "is present more than once") for name, values in arguments.lists() if len(values) > 1]
    for name, text in arguments.items():
        fault = check_characters(text) or ("must be one line" if re.search(r"[\t\n\r]", text) else None)
        if fault:
            problems.append(Problem(format_name(name), fault))
    if problems:
        raise invalid_request(problems)
    query, problems = check(model, arguments.to_dict())
    if query is None:
        raise invalid_request(problems)
    return query
