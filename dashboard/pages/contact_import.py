"""Contacts from a CSV file, by hand: a preview that writes nothing, then the import of exactly what it showed.

The preview's page carries the file to the import, so that nothing is kept between the two.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any

import flask

from dashboard.access import Caller
from dashboard.api.contact_import import MOST_ROWS, SHOWN_PROBLEMS, SHOWN_ROWS, ContactFile, read_file, write
from dashboard.bodies import LARGE_BODY_LIMIT
from dashboard.errors import Refusal
from dashboard.pages import frame
from dashboard.pages.contact_fields import FIELDS, attribute_text
from models.database import Row
from rules.problems import Problem

contact_import_pages = flask.Blueprint("contact-import-pages", __name__)

#: What a form has around its file.
_AROUND = 64 * 1024
_COLUMNS = {field.name: field.column for field in FIELDS}
_TOO_LARGE = (
    f"The file is larger than {LARGE_BODY_LIMIT // 2**20} MiB. Split it, with the first line in each part, and import "
    "the parts one after the other."
)


@contact_import_pages.get("/contacts/import")
def ask() -> Any:
    """The form for a file."""
    return _form(frame.visitor("write"))


@contact_import_pages.post("/contacts/import")
def take() -> Any:
    """A file's preview; with `confirm` the import and what came of it."""
    _admit_a_file()
    call = frame.visitor("write")
    try:
        text = _text()
        found = read_file(text)
    except Refusal as refused:
        return _form(call, [one.message for one in refused.problems]), refused.status
    if "confirm" not in flask.request.form:
        return _preview(call, text, found)
    return _show(call, "imported_contacts.html", found, imported=write(call, found))


def _admit_a_file() -> None:
    limit = LARGE_BODY_LIMIT + _AROUND
    if (flask.request.content_length or 0) > limit:
        raise Refusal(413, _TOO_LARGE)
    flask.request.max_content_length = limit
    flask.request.max_form_memory_size = limit


def _text() -> str:
    """The file's text: uploaded, or as the preview carried it, whose line ends the browser made its own."""
    if "confirm" in flask.request.form:
        return flask.request.form.get("csv", "").replace("\r\n", "\n")
    uploaded = flask.request.files.get("file")
    with contextlib.closing(uploaded or io.BytesIO()) as file:
        raw: bytes = file.read()
    if not raw.strip():
        raise Refusal(422, problems=[Problem("csv", "Choose a file that is not empty.")])
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        words = "The file is not UTF-8. Save it as “CSV UTF-8” in your spreadsheet, then choose it again."
        raise Refusal(422, problems=[Problem("csv", words)]) from None


def _form(call: Caller, problems: list[str] | None = None) -> flask.Response:
    return frame.render(
        "import_contacts.html", call, problems=problems or [], fields=[*_COLUMNS, "tags"], most_rows=MOST_ROWS,
        most_bytes=LARGE_BODY_LIMIT, too_large=_TOO_LARGE,
    )  # fmt: skip


def _preview(call: Caller, text: str, found: ContactFile) -> flask.Response:
    rows = [(line, [_cell(fields, name) for name in found.header]) for line, fields in found.good[:SHOWN_ROWS]]
    return _show(call, "import_preview.html", found, csv=text, rows=rows)


def _show(call: Caller, template: str, found: ContactFile, **facts: Any) -> flask.Response:
    rejected = found.rejected()
    return frame.render(
        template, call, found=found, rejected=rejected[:SHOWN_PROBLEMS], problems=len(rejected),
        bad_rows=len({one["line"] for one in rejected}), **facts,
    )  # fmt: skip


def _cell(fields: Row, name: str) -> str:
    if name == "tags":
        return ", ".join(fields.get("tags") or [])
    if name in _COLUMNS:
        return fields.get(_COLUMNS[name]) or ""
    attributes = fields.get("attributes") or {}
    return attribute_text(attributes[name]) if name in attributes else ""
