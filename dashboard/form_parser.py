"""Bounds forms before they are parsed: their fields, and the header bytes of their parts.

Parsing costs by fields, header lines and header bytes, which werkzeug does not bound for URL-encoded forms and part
headers; one request would keep every other one of the process waiting. Everything here is one scan of the bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import IO

import flask
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.formparser import FormDataParser

from dashboard.errors import ProblemError
from dashboard.parsing import LARGE_BYTES, parse_apart

#: Maximum bytes of a form from a visitor who is not signed in.
PUBLIC_FORM_LIMIT = 16 * 1024
#: Maximum characters of a boundary. RFC 2046 allows 70, and some clients' random ones are a little longer.
MAX_BOUNDARY_LENGTH = 200
#: Maximum header bytes of one part, and of all parts of a form.
MAX_PART_HEADER_BYTES = 4 * 1024
MAX_HEADER_BYTES = 128 * 1024

Parsed = tuple[IO[bytes], MultiDict[str, str], MultiDict[str, FileStorage]]

_BLANK_LINE = re.compile(rb"\r\n\r\n|\r\r|\n\n")


class BoundedFormParser(FormDataParser):
    """Werkzeug's parser, which refuses a form beyond the bounds with 413 before it parses any of it."""

    def _parse_urlencoded(
        self, stream: IO[bytes], mimetype: str, content_length: int | None, options: dict[str, str]
    ) -> Parsed:
        raw = stream.read()
        check_field_count(raw.count(b"&") + 1, self.max_form_parts)
        if len(raw) > LARGE_BYTES:
            # Without a credential it is a webhook, whose signature is verified: it is never refused for its rate.
            pairs = parse_apart("form", raw, is_bounded="credential" in flask.g)
            return stream, self.cls(pairs), self.cls()
        return super()._parse_urlencoded(io.BytesIO(raw), mimetype, content_length, options)

    def _parse_multipart(
        self, stream: IO[bytes], mimetype: str, content_length: int | None, options: dict[str, str]
    ) -> Parsed:
        raw = stream.read()
        check_parts(raw, options.get("boundary", ""), self.max_form_parts)
        return super()._parse_multipart(io.BytesIO(raw), mimetype, content_length, options)


class BoundedRequest(flask.Request):
    """A request whose forms are bounded before they are parsed."""

    form_data_parser_class = BoundedFormParser


def check_field_count(count: int, limit: int | None) -> None:
    """Raise `ProblemError` 413 where a form has more than `limit` fields."""
    if limit is not None and count > limit:
        raise ProblemError(413, f"The form has too many fields. The limit of this path is {limit:,} fields.")


def check_parts(raw: bytes, boundary: str, limit: int | None) -> None:
    """Raise `ProblemError` 413 where a multipart form has more parts or header bytes than it may have."""
    header_bytes = 0
    for count, (start, end) in enumerate(iter_headers(raw, boundary), 1):
        check_field_count(count, limit)
        header_bytes += end - start
        if header_bytes > MAX_HEADER_BYTES:
            raise ProblemError(413, f"The headers of the form's parts have more than {MAX_HEADER_BYTES:,} bytes.")


def iter_headers(raw: bytes, boundary: str) -> Iterator[tuple[int, int]]:
    """The position of each part's header: its first byte, and the blank line after it.

    Raises `ProblemError` 400 for a boundary, and 413 for a header, that is too long.
    """
    if len(boundary) > MAX_BOUNDARY_LENGTH:
        raise ProblemError(400, f"The boundary of the form has more than {MAX_BOUNDARY_LENGTH} characters.")
    delimiter = rb"--%s[^\S\n\r]*(?:\r\n|\n|\r)" % re.escape(boundary.encode("ascii", "replace"))
    for match in re.finditer(delimiter, raw):
        start = match.end()
        blank = _BLANK_LINE.search(raw, start, start + MAX_PART_HEADER_BYTES)
        if blank is not None:
            yield start, blank.start()
        elif len(raw) - start > MAX_PART_HEADER_BYTES:
            raise ProblemError(413, f"The header of a part has more than {MAX_PART_HEADER_BYTES:,} bytes.")
