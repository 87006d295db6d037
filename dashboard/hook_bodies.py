"""Reads the body of a hook, which services send as JSON, as a form, or not at all."""

from __future__ import annotations

import re
from typing import Any

import flask

from dashboard.bodies import BODY_LIMIT, parse_here, parse_json_bytes, read_bytes
from dashboard.errors import ProblemError, invalid_request
from rules.bodies import find_invalid_values
from rules.form_fields import nest_fields

#: JSON by its name, by a structured suffix (RFC 6839), or by none: some services send no Content-Type.
_JSON = re.compile(r"(application/(.+\+)?json)?")
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def read_payload() -> Any:
    """The payload: a JSON value, or the fields of a form without its files; an empty body is an empty object.

    Raises `ProblemError` 413, 415, 400 or 422.
    """
    raw = read_bytes(BODY_LIMIT)
    if not raw.removeprefix(b"\xef\xbb\xbf").strip():
        return {}
    if flask.request.mimetype in _FORMS:
        return _read_form()
    if _JSON.fullmatch(flask.request.mimetype):
        return parse_json_bytes(raw, BODY_LIMIT)
    raise ProblemError(415, f"The Content-Type must be application/json, application/*+json, {' or '.join(_FORMS)}.")


def _read_form() -> dict[str, Any]:
    flask.request.max_form_memory_size = BODY_LIMIT
    pairs = list(flask.request.form.items(multi=True))
    payload = parse_here(nest_fields, pairs)
    problems = find_invalid_values(payload)
    if problems:
        raise invalid_request(problems)
    return payload
