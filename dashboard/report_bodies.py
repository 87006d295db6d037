"""Reads what producers report: JSON that is bounded before it is parsed, and cleaned of what cannot be stored.

Beacons are `text/plain`, the only type that a page may send without asking first. They are accepted with a site key.
"""

from __future__ import annotations

import flask

from dashboard.bodies import LARGE_BODY_LIMIT, BodyType, check, parse_here, read_bytes
from dashboard.errors import ProblemError, invalid_request
from dashboard.parsing import LARGE_BATCH_BYTES, LARGE_BYTES, parse_apart
from rules.parsers import parse_report
from rules.tracking import compute_max_report_values

#: Maximum bytes of a beacon; browsers refuse slightly larger ones.
BEACON_LIMIT = 60 * 1024


def read(model: type[BodyType], limit: int) -> BodyType:
    """The report in the request's body, validated by the model. Raises `ProblemError` 400, 413, 415 or 422."""
    is_beacon = "site_key" in flask.g and flask.request.mimetype == "text/plain"
    limit = BEACON_LIMIT if is_beacon else limit
    raw = read_bytes(limit)
    if not raw:
        raise ProblemError(400, "The body is empty. Send a JSON body.")
    if not is_beacon and flask.request.mimetype != "application/json":
        raise ProblemError(415, _describe_types())
    max_values = compute_max_report_values(limit)
    if len(raw) > _find_bound(limit):
        value = parse_apart("report", raw, max_values=max_values)
    else:
        value = parse_here(parse_report, raw, max_values)
    body, problems = check(model, value)
    if body is None:
        raise invalid_request(problems)
    return body


def _describe_types() -> str:
    if "site_key" in flask.g:
        return "The Content-Type must be application/json or text/plain."
    return "The Content-Type must be application/json."


def _find_bound(limit: int) -> int:
    """The bytes above which a body is parsed in another process: more for a batch, which its limit tells apart."""
    return LARGE_BATCH_BYTES if limit == LARGE_BODY_LIMIT else LARGE_BYTES
