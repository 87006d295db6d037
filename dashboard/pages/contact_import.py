"""The import of contacts from a CSV file: a preview that writes nothing, then the import of the same file.

The preview page carries the file to the import, so that nothing is stored between the two.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from typing import Any

import flask

from dashboard.access import Caller
from dashboard.api.contact_import import (
    MAX_LISTED_PROBLEMS,
    PREVIEW_ROWS,
    parse_csv,
    write_contacts,
)
from dashboard.bodies import LARGE_BODY_LIMIT
from dashboard.errors import ProblemError
from dashboard.pages import layout
from dashboard.pages.contact_fields import FIELDS
from models import import_columns
from rules.contact_columns import ATTRIBUTE, IGNORE, Column
from rules.contact_file import MAX_ROWS, ContactFile
from rules.csv_text import DecodedText, decode
from rules.problems import Problem

contact_import_pages = flask.Blueprint("contact-import-pages", __name__)

#: Bytes of a form beside its file.
_FORM_OVERHEAD_BYTES = 64 * 1024
#: How the form's fields begin that have what a column becomes.
_COLUMN_FIELD = "column:"
_COLUMNS = {field.name: field.column for field in FIELDS}
_TARGET_LABELS = {
    **{field.name: field.label for field in FIELDS}, "tags": "Tags", ATTRIBUTE: "Attribute", IGNORE: "Ignore",
}  # fmt: skip
_TOO_LARGE = (
    f"The file is larger than {LARGE_BODY_LIMIT // 2**20} MiB. Split it into parts that each have the header line, and "
    "import them one by one."
)


@contact_import_pages.get("/contacts/import")
def show_form() -> Any:
    """The upload form."""
    return _render_form(layout.require_page_permission("write"))


@contact_import_pages.post("/contacts/import")
def upload() -> Any:
    """The preview of a file; with `confirm` the import and its result."""
    _extend_upload_limit()
    call = layout.require_page_permission("write")
    try:
        text, warning = _read_text()
        contact_file = parse_csv(text, _read_choices(call))
    except ProblemError as error:
        problems = [problem.message for problem in error.problems] or [error.detail]
        return _render_form(call, problems), error.status, error.headers
    if contact_file.header_problems or "confirm" not in flask.request.form or not _is_as_previewed(contact_file):
        return _render_preview(call, text, contact_file, warning)
    counts = write_contacts(call, contact_file)
    import_columns.remember(call.workspace_id, {column.name: column.target for column in contact_file.columns})
    return _render(call, "imported_contacts.html", contact_file, counts=counts)


def _read_choices(call: Caller) -> dict[str, str]:
    """What columns become: as the workspace's last imports had them, and as the form has them."""
    choices = {
        name.removeprefix(_COLUMN_FIELD).replace("\r\n", "\n"): target
        for name, target in flask.request.form.items()
        if name.startswith(_COLUMN_FIELD)
    }
    return {**import_columns.load(call.workspace_id), **choices}


def _is_as_previewed(contact_file: ContactFile) -> bool:
    return flask.request.form.get("previewed") == _list_targets(contact_file)


def _list_targets(contact_file: ContactFile) -> str:
    return " ".join(column.target for column in contact_file.columns)


@contact_import_pages.post("/contacts/import/rejected")
def download_rejected() -> Any:
    """The rejected rows as a file: the page of the result carries them, so that nothing is stored."""
    # Each row has its reason beside its cells.
    _extend_upload_limit(4)
    layout.require_page_permission("write")
    headers = {"Content-Disposition": 'attachment; filename="rejected-rows.csv"'}
    text = flask.request.form.get("csv", "").replace("\r\n", "\n").replace("\n", "\r\n")
    return flask.Response(text, mimetype="text/csv", headers=headers)


def _extend_upload_limit(times: int = 1) -> None:
    limit = LARGE_BODY_LIMIT * times + _FORM_OVERHEAD_BYTES
    if (flask.request.content_length or 0) > limit:
        raise ProblemError(413, _TOO_LARGE)
    flask.request.max_content_length = limit
    flask.request.max_form_memory_size = limit


def _read_text() -> DecodedText:
    """The file's text: uploaded, or carried by the preview, where the browser has changed the line ends."""
    if "csv" in flask.request.form:
        return DecodedText(flask.request.form["csv"].replace("\r\n", "\n"), flask.request.form.get("warning"))
    uploaded = flask.request.files.get("file")
    with contextlib.closing(uploaded or io.BytesIO()) as file:
        raw: bytes = file.read()
    if not raw.strip():
        raise ProblemError(422, problems=[Problem("csv", "The file is missing or empty. Choose a CSV file.")])
    try:
        return decode(raw)
    except ValueError as error:
        raise ProblemError(422, problems=[Problem("csv", str(error))]) from None


def _render_form(call: Caller, problems: list[str] | None = None) -> flask.Response:
    return layout.render(
        "import_contacts.html", call, problems=problems or [], fields=[*_COLUMNS, "tags"], max_rows=MAX_ROWS,
        max_bytes=LARGE_BODY_LIMIT, too_large=_TOO_LARGE,
    )  # fmt: skip


def _render_preview(
    call: Caller, text: str, contact_file: ContactFile, warning: str | None
) -> tuple[flask.Response, int]:
    columns = [column for column in contact_file.columns if column.target != IGNORE]
    rows = [
        (row.line, [_format_cell(row.fields, column) for column in columns])
        for row in contact_file.list_first(PREVIEW_ROWS)
    ]
    is_changed = "confirm" in flask.request.form and not _is_as_previewed(contact_file)
    page = _render(
        call, "import_preview.html", contact_file, csv=text, rows=rows, columns=columns, warning=warning,
        targets=_TARGET_LABELS, column_field=_COLUMN_FIELD, previewed=_list_targets(contact_file),
        is_changed=is_changed,
    )  # fmt: skip
    return page, 422 if contact_file.header_problems else 200


def _render(call: Caller, template: str, contact_file: ContactFile, **context: Any) -> flask.Response:
    rejected = contact_file.list_rejected()
    return layout.render(
        template, call, contact_file=contact_file, rejected=rejected[:MAX_LISTED_PROBLEMS], problems=len(rejected),
        bad_rows=len({problem["line"] for problem in rejected}), rejected_csv=contact_file.format_rejected(), **context,
    )  # fmt: skip


def _format_cell(fields: Mapping[str, Any], column: Column) -> str:
    if column.target == "tags":
        return ", ".join(fields.get("tags") or [])
    if column.target in _COLUMNS:
        return fields.get(_COLUMNS[column.target]) or ""
    attributes: Mapping[str, str] = fields.get("attributes") or {}
    return attributes.get(column.attribute, "")
