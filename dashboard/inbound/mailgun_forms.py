"""Reads the three signed fields of Mailgun's inbound form from its bytes, so that nothing else of it is parsed before
the signature is verified."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote_plus

import flask

from dashboard.form_parser import check_field_count, iter_headers
from providers import mailgun

#: Maximum bytes of a signed field, and of the header of its part.
_MAX_FIELD_BYTES = 1024

_NAME = re.compile(rb'form-data; *name="(\w+)"\s*$', re.IGNORECASE)


def read_signature(raw: bytes) -> dict[str, str]:
    """The signed fields that are present exactly once. Raises `ProblemError` 413 for a form beyond its bounds."""
    fields = list(_iter_parts(raw) if flask.request.mimetype == "multipart/form-data" else _iter_pairs(raw))
    names = [name for name, _ in fields]
    return {name: value for name, value in fields if names.count(name) == 1}


def _iter_pairs(raw: bytes) -> Iterator[tuple[str, str]]:
    check_field_count(raw.count(b"&") + 1, flask.request.max_form_parts)
    for pair in raw.split(b"&"):
        name, _, value = pair[:_MAX_FIELD_BYTES].decode("ascii", "replace").partition("=")
        if name in mailgun.SIGNATURE_FIELDS:
            yield name, unquote_plus(value)


def _iter_parts(raw: bytes) -> Iterator[tuple[str, str]]:
    boundary = flask.request.mimetype_params.get("boundary", "")
    for count, (start, end) in enumerate(iter_headers(raw, boundary), 1):
        check_field_count(count, flask.request.max_form_parts)
        header = _NAME.search(raw[start : min(end, start + _MAX_FIELD_BYTES)])
        name = header.group(1).decode() if header else ""
        if name in mailgun.SIGNATURE_FIELDS:
            value, _, _ = raw[end : end + _MAX_FIELD_BYTES].strip().partition(b"--" + boundary.encode())
            yield name, value.strip().decode("ascii", "replace")
