"""Reads what a request brings, strictly: its size, its JSON, its characters, and then its shape (`rules.bodies`)."""

from __future__ import annotations

import json
from typing import Any

import flask

from dashboard.errors import Refusal, invalid
from rules.bodies import Body, Read, ShortText, WholeNumber, check, readable, unfit
from rules.problems import Problem, character_fault

__all__ = [
    "BODY_LIMIT",
    "LARGE_BODY_LIMIT",
    "Body",
    "ShortText",
    "WholeNumber",
    "check",
    "read",
    "read_bytes",
    "read_json",
    "read_query",
]

#: Bytes that a body may have; batches and webhooks may have five times as many.
BODY_LIMIT = 1024 * 1024
LARGE_BODY_LIMIT = 5 * BODY_LIMIT


def read_bytes(limit: int) -> bytes:
    """The body as it came. Raises `Refusal` 413 when it is longer than `limit` bytes, said or not."""
    # A body without a length is cut at the limit in silence: one byte more tells whether there was more.
    flask.request.max_content_length = limit + 1
    raw = flask.request.get_data()
    if len(raw) > limit:
        raise Refusal(413, f"The body may have at most {limit:,} bytes here.")
    return raw


def read_json(limit: int) -> Any:
    """The body's JSON value. Raises `Refusal` 413, 415, 400, or 422 for characters, depth and numbers."""
    raw = read_bytes(limit)
    if not raw:
        raise Refusal(400, "The body is empty; JSON was expected.")
    if flask.request.mimetype != "application/json":
        raise Refusal(415, "The Content-Type must be application/json.")
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise Refusal(400, "The body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise Refusal(400, f"The body is not JSON: {error.msg} (line {error.lineno}, column {error.colno}).") from None
    except (ValueError, RecursionError):
        raise Refusal(400, "The body is not JSON that can be read.") from None
    problems = unfit(value)
    if problems:
        raise invalid(problems)
    return value


def _no_constant(name: str) -> None:
    raise ValueError(name)


def read(model: type[Read], limit: int = BODY_LIMIT) -> Read:
    """The request's body as the model has it. Raises `Refusal`."""
    found, problems = check(model, read_json(limit))
    if found is None:
        raise invalid(problems)
    return found


def read_query(model: type[Read]) -> Read:
    """The request's query as the model has it; a name that is given twice is refused. Raises `Refusal` 422."""
    given = flask.request.args
    problems = [Problem(name, "is given more than once") for name, all_given in given.lists() if len(all_given) > 1]
    for name, text in given.items():
        fault = character_fault(text) or (not text.isprintable() and "must be one line") or None
        if fault:
            problems.append(Problem(readable(name), fault))
    if problems:
        raise invalid(problems)
    found, problems = check(model, given.to_dict())
    if found is None:
        raise invalid(problems)
    return found
