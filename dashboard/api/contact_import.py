"""The import of contacts from a CSV file: what it would do, then the valid rows; invalid rows are reported by line.

`rules/contact_file.py` reads the file, `tasks.operators.contact_import` writes its rows. The file is the text of a JSON
body, or as it is: the body itself, or a file of a form, in any encoding that `rules.csv_text` reads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any

import flask
from pydantic import BeforeValidator, Field
from werkzeug.datastructures import FileStorage

from dashboard import bodies
from dashboard.access import Caller
from dashboard.api import schemas
from dashboard.api.contacts import contacts
from dashboard.bodies import BODY_LIMIT, Body
from dashboard.errors import ProblemError, invalid_request, not_found
from dashboard.held_bytes import hold_body
from dashboard.parsing import parse_apart
from dashboard.responses import success
from models import contact_import as stored_import
from models import operation
from rules.contact_columns import MAX_COLUMNS, Target
from rules.contact_file import ContactFile, format_rejected
from rules.csv_text import DecodedText, decode
from rules.json_text import load_json
from rules.parsers import read_contact_file
from rules.problems import Problem, join_path
from tasks.operators import contact_import
from tasks.operators.contact_import import ImportCounts

# The route is added to `contacts`; import `contacts` from this module to register it.
__all__ = [
    "IMPORT_LIMIT",
    "MAX_LISTED_PROBLEMS",
    "PREVIEW_ROWS",
    "contacts",
    "decode_file",
    "extend_form_limit",
    "parse_csv",
    "read_uploaded",
    "respond_with_rejected",
]

#: Maximum bytes of a file, and of a form beside its file.
IMPORT_LIMIT = 10 * BODY_LIMIT
_FORM_OVERHEAD_BYTES = 64 * 1024
#: Maximum rows in a preview, and maximum problems in a response.
PREVIEW_ROWS, MAX_LISTED_PROBLEMS = 20, 200
#: Lines of a download that are sent together.
_LINES_PER_PIECE = 500
#: The types of a body that is the file itself.
_FILE_TYPES = ("text/csv", "application/csv", "text/tab-separated-values", "application/vnd.ms-excel")

Columns = dict[str, Target]

#: A problem of a row; `merge` where it names two contacts.
_REJECTED = schemas.record(
    line=schemas.COUNT, field=schemas.TEXT, message=schemas.TEXT,
    merge=schemas.record(contactId=schemas.ID, into=schemas.ID),
)  # fmt: skip


class ImportOptions(Body):
    """With `dryRun` nothing is written, and the response says what an import would do."""

    dry_run: schemas.QueryBool = Field(False, alias="dryRun")


class Import(Body):
    """A CSV file as text. `columns` has what columns become, by their names: a field, `attribute` or `ignore`. With
    `dryRun`, or where `confirm` is false, nothing is written, and the response says what an import would do."""

    csv: Annotated[str, Field(min_length=1)]
    columns: Columns = Field(default_factory=dict, max_length=MAX_COLUMNS)
    dry_run: bool = Field(False, alias="dryRun")
    confirm: bool = True


def _parse_columns(text: object) -> object:
    try:
        return load_json(text) if isinstance(text, str) else text
    except ValueError:
        raise ValueError('must be JSON such as {"Correo": "email"}') from None


class ImportForm(ImportOptions):
    """The fields of a form beside its file; `columns` is JSON."""

    columns: Annotated[Columns, BeforeValidator(_parse_columns)] = Field(default_factory=dict, max_length=MAX_COLUMNS)
    confirm: schemas.QueryBool = True


@dataclass(frozen=True)
class ImportRequest:
    """A file to import, what its columns become, and whether it is written."""

    file: DecodedText
    columns: Mapping[str, str]
    is_dry_run: bool


def read_import(limit: int) -> ImportRequest:
    """The file of a request. Raises `ProblemError`: 413, 415, 422 for what is no text, and those of a JSON body."""
    mimetype = flask.request.mimetype
    if mimetype == "multipart/form-data":
        return _read_form(limit)
    if mimetype in _FILE_TYPES:
        return ImportRequest(decode_file(bodies.read_bytes(limit)), {}, False)
    body = bodies.read(Import, limit)
    return ImportRequest(DecodedText(body.csv, None), body.columns, body.dry_run or not body.confirm)


def _read_form(limit: int) -> ImportRequest:
    extend_form_limit(limit, f"The body is too large. The limit of this path is {limit:,} bytes.")
    fields = {name: text for name, text in flask.request.form.items() if name not in ("csrf_token", "csv")}
    form, problems = bodies.check(ImportForm, fields)
    uploaded = flask.request.files.get("file") or flask.request.files.get("csv")
    raw = read_uploaded(uploaded) if uploaded else flask.request.form.get("csv", "").encode()
    if len(raw) > limit:
        raise ProblemError(413, f"The file is too large. The limit of this path is {limit:,} bytes.")
    if form is None:
        raise invalid_request(problems)
    return ImportRequest(decode_file(raw), form.columns, form.dry_run or not form.confirm)


def extend_form_limit(limit: int, detail: str) -> None:
    """Let a form have a file of so many bytes. Raises `ProblemError` 413 where it is larger."""
    limit += _FORM_OVERHEAD_BYTES
    if (flask.request.content_length or 0) > limit:
        raise ProblemError(413, detail)
    flask.request.max_content_length = limit
    flask.request.max_form_memory_size = limit
    hold_body(limit)


def read_uploaded(file: FileStorage) -> bytes:
    """The bytes of an uploaded file."""
    with contextlib.closing(file):
        raw: bytes = file.read()
        return raw


def decode_file(raw: bytes) -> DecodedText:
    """The text of an uploaded file. Raises `ProblemError` 422."""
    if not raw.strip():
        raise invalid_request([Problem("csv", "The file is missing or empty. Choose a CSV file.")])
    try:
        return decode(raw)
    except ValueError as error:
        raise invalid_request([Problem("csv", str(error))]) from None


@contacts.api(
    "POST",
    "/api/contacts/import",
    permission="write",
    body=Import,
    query=ImportOptions,
    response={
        "operationId": schemas.nullable(schemas.ID),
        "matched": schemas.COUNT,
        "imported": schemas.COUNT,
        "created": schemas.COUNT,
        "updated": schemas.COUNT,
        "repeated": schemas.COUNT,
        "valid": schemas.COUNT,
        "attributes": schemas.array_of(schemas.TEXT),
        "preview": schemas.array_of({"type": "object"}),
        "rejected": schemas.array_of(_REJECTED),
        "rejectedRows": schemas.COUNT,
        "warnings": schemas.array_of(schemas.TEXT),
    },
    statuses=(202,),
    limit=IMPORT_LIMIT,
    reader=read_import,
)
def import_contacts(call: Caller, body: ImportRequest, query: ImportOptions) -> Any:
    """Import contacts from CSV. With `dryRun` nothing is written."""
    contact_file = parse_csv(body.file.text, body.columns)
    _check_columns(contact_file, body.columns)
    valid = contact_file.valid
    if body.is_dry_run or query.dry_run:
        counts = contact_import.preview(call.workspace_id, contact_file)
        preview = [row.fields for row in contact_file.list_first(PREVIEW_ROWS)]
        return _respond(200, contact_file, body, counts, valid=valid, imported=0, preview=preview)
    if contact_import.is_large(contact_file):
        row = contact_import.start(call.workspace_id, contact_file, call.actor)
        return _respond(202, contact_file, body, ImportCounts(), valid=valid, operationId=row["id"])
    counts = contact_import.import_now(call.workspace_id, contact_file, call.actor)
    return _respond(200, contact_file, body, counts, valid=valid)


def _respond(status: int, contact_file: ContactFile, body: ImportRequest, counts: ImportCounts, **fields: Any) -> Any:
    answer = {
        "operationId": None,
        "matched": contact_file.rows,
        "imported": counts.people,
        "created": counts.created,
        "updated": counts.updated,
        "repeated": counts.repeated,
        "attributes": contact_file.attributes,
        "preview": [],
        "rejected": contact_file.list_rejected()[:MAX_LISTED_PROBLEMS],
        "rejectedRows": contact_file.count_rejected(),
        "warnings": [body.file.warning] if body.file.warning else [],
    }
    return success(status, **{**answer, **fields})


def _check_columns(contact_file: ContactFile, choices: Mapping[str, str]) -> None:
    unknown = [name for name in choices if name not in contact_file.header]
    problems = [Problem(join_path("columns", name), "is not a column of the file") for name in unknown]
    problems += [Problem("csv", message) for message in contact_file.header_problems]
    if problems:
        raise invalid_request(problems)


def parse_csv(text: str, choices: Mapping[str, str]) -> ContactFile:
    """The validated rows of a file, or the problems of its first line. Raises `ProblemError` 422 where it is not CSV.

    Fifty thousand rows take seconds, so another process reads them.
    """
    raw = text.encode("utf-8", "surrogatepass")
    return read_contact_file(parse_apart("contacts", raw, choices=dict(choices)))


@contacts.api("GET", "/api/operations/{operation_id}/rejected", permission="read", response={}, media_type="text/csv")
def download_rejected_rows(call: Caller, operation_id: str) -> Any:
    """Download the rejected rows of an import as CSV, with the reasons."""
    return respond_with_rejected(call.workspace_id, operation_id)


def respond_with_rejected(workspace_id: str, operation_id: str) -> flask.Response:
    """A download of an operation's rejected rows; only an import has some. Raises `ProblemError` 404."""
    row = operation.get(workspace_id, operation_id)
    if row is None:
        raise not_found("There is no operation with that id.")
    rejected = stored_import.list_rejected(workspace_id, operation_id)
    headers = {"Content-Disposition": 'attachment; filename="rejected-rows.csv"'}
    lines = _join_lines(format_rejected(row["filters"].get("columns", []), rejected))
    return flask.Response(lines, mimetype="text/csv", headers=headers)


def _join_lines(lines: Iterator[str]) -> Iterator[str]:
    """Join lines to pieces that are worth a packet."""
    while piece := "".join(islice(lines, _LINES_PER_PIECE)):
        yield piece
