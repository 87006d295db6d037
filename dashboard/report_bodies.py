"""Reads what producers report: JSON that is bounded before it is parsed, and cleaned of what cannot be stored.

Beacons are `text/plain`, the only type that a page may send without asking first. They are accepted with a site key.
"""

from __future__ import annotations

import flask

from dashboard.bodies import BodyType, check, parse_here, read_bytes
from dashboard.errors import ProblemError, invalid_request
from dashboard.gevent_support import take_turns
from dashboard.parsing import LARGE_BATCH_BYTES, LARGE_BYTES, parse_apart
from models.ids import new_id
from rules.parsers import read_execution
from rules.problems import Problem
from rules.tracking import TrackedExecution, compute_max_report_values
from rules.tracking_bodies import parse_entry, parse_report, read_batch

#: Maximum bytes of a beacon; browsers refuse slightly larger ones.
BEACON_LIMIT = 60 * 1024
#: The executions of a batch, each valid or with its problems.
ParsedExecutions = list[TrackedExecution | list[Problem]]


def read(model: type[BodyType], limit: int) -> BodyType:
    """The report in the request's body, validated by the model. Raises `ProblemError` 400, 413, 415 or 422."""
    raw, max_values = _read_bytes(limit)
    if len(raw) > LARGE_BYTES:
        value = parse_apart("report", raw, max_values=max_values)
    else:
        value = parse_here(parse_report, raw, max_values)
    body, problems = check(model, value)
    if body is None:
        raise invalid_request(problems)
    return body


def read_executions(limit: int) -> ParsedExecutions:
    """The executions of a batch in the request's body, those of a large one validated in another process.

    Raises `ProblemError` 400, 413, 415 or 422.
    """
    raw, max_values = _read_bytes(limit)
    # Five hundred executions of a hundred actions take a fifth of a second, and a part of it if they are validated.
    if len(raw) > LARGE_BATCH_BYTES:
        answers = parse_apart("executions", raw, max_values=max_values)
        return [read_execution(answer, new_id()) for answer in take_turns(answers)]
    entries = parse_here(read_batch, raw, max_values)
    return [parse_entry(index, entry, new_id()) for index, entry in take_turns(enumerate(entries))]


def _read_bytes(limit: int) -> tuple[bytes, int]:
    """The body, and the values that it may have."""
    is_beacon = "site_key" in flask.g and flask.request.mimetype == "text/plain"
    limit = BEACON_LIMIT if is_beacon else limit
    raw = read_bytes(limit)
    if not raw:
        raise ProblemError(400, "The body is empty. Send a JSON body.")
    if not is_beacon and flask.request.mimetype != "application/json":
        raise ProblemError(415, _describe_types())
    return raw, compute_max_report_values(limit)


def _describe_types() -> str:
    if "site_key" in flask.g:
        return "The Content-Type must be application/json or text/plain."
    return "The Content-Type must be application/json."
