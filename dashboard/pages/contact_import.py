"""The import of contacts from a CSV file: a preview that writes nothing, then the import of the same file.

The preview page carries the file to the import, so that nothing is stored between the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flask

from dashboard.access import Caller
from dashboard.api.contact_import import (
    IMPORT_LIMIT,
    MAX_LISTED_PROBLEMS,
    PREVIEW_ROWS,
    decode_file,
    extend_form_limit,
    parse_csv,
    read_uploaded,
    respond_with_rejected,
)
from dashboard.errors import ProblemError, not_found
from dashboard.gevent_support import take_turns
from dashboard.pages import layout
from dashboard.pages.contact_fields import FIELDS
from models import contact_import as stored_import
from models import import_columns
from models.ids import is_id
from models.operation import OperationRow
from rules.contact_columns import ATTRIBUTE, IGNORE, Column
from rules.contact_file import MAX_ROWS, ContactFile, format_rejected
from rules.csv_text import DecodedText
from tasks.operators import contact_import

contact_import_pages = flask.Blueprint("contact-import-pages", __name__)

#: How the form's fields begin that have what a column becomes.
_COLUMN_FIELD = "column:"
_COLUMNS = {field.name: field.column for field in FIELDS}
_TARGET_LABELS = {
    **{field.name: field.label for field in FIELDS}, "tags": "Tags", ATTRIBUTE: "Attribute", IGNORE: "Ignore",
}  # fmt: skip
_TOO_LARGE = (
    f"The file is larger than {IMPORT_LIMIT // 2**20} MiB. Split it into parts that each have the header line, and "
    "import them one by one."
)


@contact_import_pages.get("/contacts/import")
def show_form() -> Any:
    """The upload form."""
    return _render_form(layout.require_page_permission("write"))


@contact_import_pages.post("/contacts/import")
def upload() -> Any:
    """The preview of a file; with `confirm` the import and its result."""
    extend_form_limit(IMPORT_LIMIT, _TOO_LARGE)
    call = layout.require_page_permission("write")
    try:
        text, warning = _read_text()
        contact_file = parse_csv(text, _read_choices(call))
    except ProblemError as error:
        problems = [problem.message for problem in error.problems] or [error.detail]
        return _render_form(call, problems), error.status, error.headers
    if contact_file.header_problems or "confirm" not in flask.request.form or not _is_as_previewed(contact_file):
        return _render_preview(call, text, contact_file, warning)
    import_columns.remember(call.workspace_id, {column.name: column.target for column in contact_file.columns})
    if contact_import.is_large(contact_file):
        return layout.redirect(f"/operations/{contact_import.start(call.workspace_id, contact_file, call.actor)['id']}")
    counts = contact_import.import_now(call.workspace_id, contact_file, call.actor)
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
    extend_form_limit(IMPORT_LIMIT * 4, _TOO_LARGE)
    layout.require_page_permission("write")
    headers = {"Content-Disposition": 'attachment; filename="rejected-rows.csv"'}
    text = flask.request.form.get("csv", "").replace("\r\n", "\n").replace("\n", "\r\n")
    return flask.Response(text, mimetype="text/csv", headers=headers)


@contact_import_pages.get("/operations/<operation_id>/rejected")
def download_rejected_rows(operation_id: str) -> Any:
    """The rejected rows of an import by a worker, as a file."""
    call = layout.require_page_permission()
    if not is_id(operation_id):
        raise not_found("There is no operation with that id.")
    return respond_with_rejected(call.workspace_id, operation_id)


def render_operation(call: Caller, row: OperationRow) -> flask.Response:
    """The progress and the result of an import by a worker."""
    settled = row["done"] + row["conflict_count"]
    return layout.render(
        "import_progress.html" if layout.is_fragment() else "import_operation.html",
        call,
        operation=row,
        people=row["counts"]["created"] + row["counts"]["updated"],
        settled=settled,
        percent=settled * 100 // row["matched"],
        conflicts=row["conflicts"][:MAX_LISTED_PROBLEMS],
        keep_days=stored_import.KEEP_DAYS,
    )


def _read_text() -> DecodedText:
    """The file's text: uploaded, or carried by the preview, where the browser has changed the line ends."""
    if "csv" in flask.request.form:
        return DecodedText(flask.request.form["csv"].replace("\r\n", "\n"), flask.request.form.get("warning"))
    uploaded = flask.request.files.get("file")
    return decode_file(read_uploaded(uploaded) if uploaded else b"")


def _render_form(call: Caller, problems: list[str] | None = None) -> flask.Response:
    return layout.render(
        "import_contacts.html", call, problems=problems or [], fields=[*_COLUMNS, "tags"], max_rows=MAX_ROWS,
        max_bytes=IMPORT_LIMIT, too_large=_TOO_LARGE,
    )  # fmt: skip


def _render_preview(
    call: Caller, text: str, contact_file: ContactFile, warning: str | None
) -> tuple[flask.Response, int]:
    columns = [column for column in contact_file.columns if column.target != IGNORE]
    counts = contact_import.preview(call.workspace_id, contact_file)
    rows = [
        (row.line, [_format_cell(row.fields, column) for column in columns])
        for row in contact_file.list_first(PREVIEW_ROWS)
    ]
    is_changed = "confirm" in flask.request.form and not _is_as_previewed(contact_file)
    page = _render(
        call, "import_preview.html", contact_file, csv=text, rows=rows, columns=columns, warning=warning,
        targets=_TARGET_LABELS, column_field=_COLUMN_FIELD, previewed=_list_targets(contact_file),
        is_changed=is_changed, counts=counts,
    )  # fmt: skip
    return page, 422 if contact_file.header_problems else 200


def _render(call: Caller, template: str, contact_file: ContactFile, **context: Any) -> flask.Response:
    rejected = contact_file.list_rejected()
    return layout.render(
        template,
        call,
        contact_file=contact_file,
        rejected=rejected[:MAX_LISTED_PROBLEMS],
        problems=len(rejected),
        bad_rows=contact_file.count_rejected(),
        rejected_csv="".join(take_turns(format_rejected(contact_file.header, contact_file.list_rejected_rows()))),
        **context,
    )


def _format_cell(fields: Mapping[str, Any], column: Column) -> str:
    if column.target == "tags":
        return ", ".join(fields.get("tags") or [])
    if column.target in _COLUMNS:
        return fields.get(_COLUMNS[column.target]) or ""
    attributes: Mapping[str, str] = fields.get("attributes") or {}
    return attributes.get(column.attribute, "")
