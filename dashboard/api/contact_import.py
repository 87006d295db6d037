"""The import of contacts from a CSV file: a preview, then the valid rows; invalid rows are reported by line and field.

The first line has the API's field names; any other column becomes an attribute. An empty cell leaves its field
unchanged. Rows are matched like the contact of a trigger.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from dashboard.access import Caller
from dashboard.api import schemas
from dashboard.api.contacts import contacts
from dashboard.bodies import LARGE_BODY_LIMIT, Body
from dashboard.errors import invalid_request
from dashboard.gevent_support import compute
from dashboard.responses import success
from models import audit, contact, contact_matching
from models.contact_matching import ContactRejection
from models.database import acting_as
from rules.contact_fields import ContactFields
from rules.contacts import count_people, normalise
from rules.csv_cells import format_row
from rules.problems import Problem

# The route is added to `contacts`; import `contacts` from this module to register it.
__all__ = [
    "MAX_LISTED_PROBLEMS",
    "MAX_ROWS",
    "PREVIEW_ROWS",
    "ContactFile",
    "ImportCounts",
    "contacts",
    "read_contact_file",
    "write_contacts",
]

#: Maximum rows of a file.
MAX_ROWS = 20_000
#: Rows per transaction.
BATCH_SIZE = 500
#: Maximum rows in a preview, and maximum problems in a response.
PREVIEW_ROWS, MAX_LISTED_PROBLEMS = 20, 200

_FIELDS = frozenset(field_info.alias or name for name, field_info in ContactFields.model_fields.items()) - {
    "attributes"
}


class Import(Body):
    """A CSV file as text. Without `confirm` nothing is written and the response is a preview."""

    csv: Annotated[str, Field(min_length=1)]
    confirm: bool = False


@dataclass
class ContactFile:
    """A parsed file: valid rows with their lines, invalid rows, the columns, and the columns that become attributes."""

    header: list[str] = field(default_factory=list)
    good: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    bad: list[dict[str, Any]] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)
    #: The cells of each row as they were written, by line.
    cells: dict[int, list[str]] = field(default_factory=dict)

    @property
    def repeated(self) -> int:
        """How many valid rows have an address or an id of an earlier row, and so belong to one person."""
        return len(self.good) - count_people(fields for _, fields in self.good)

    def format_rejected(self) -> str:
        """The problems as CSV, each with the cells of its row: a file to correct."""
        rows = [(row["line"], row["field"], row["message"], *self.cells[row["line"]]) for row in self.list_rejected()]
        return "".join(format_row(row) for row in [("line", "field", "reason", *self.header), *rows])

    def list_rejected(self) -> list[dict[str, Any]]:
        """The problems of invalid rows, by line: {"line", "field", "message"}."""
        return sorted(self.bad, key=lambda row: row["line"])


@dataclass
class ImportCounts:
    """What an import did, in people: `repeated` are further rows of people whom an earlier row named."""

    created: int = 0
    updated: int = 0
    repeated: int = 0

    @property
    def people(self) -> int:
        """The people in the file."""
        return self.created + self.updated


@contacts.api(
    "POST",
    "/api/contacts/import",
    permission="write",
    body=Import,
    response={
        "imported": schemas.COUNT,
        "created": schemas.COUNT,
        "updated": schemas.COUNT,
        "repeated": schemas.COUNT,
        "valid": schemas.COUNT,
        "attributes": schemas.array_of(schemas.TEXT),
        "preview": schemas.array_of({"type": "object"}),
        "rejected": schemas.array_of(schemas.record(line=schemas.COUNT, field=schemas.TEXT, message=schemas.TEXT)),
    },
    limit=LARGE_BODY_LIMIT,
)
def import_contacts(call: Caller, body: Import) -> Any:
    """Import contacts from CSV. Without `confirm` it only returns a preview."""
    contact_file = read_contact_file(body.csv)
    valid = len(contact_file.good)
    counts = write_contacts(call, contact_file) if body.confirm else ImportCounts(repeated=contact_file.repeated)
    return success(
        imported=counts.people,
        created=counts.created,
        updated=counts.updated,
        repeated=counts.repeated,
        valid=valid,
        attributes=contact_file.attributes,
        preview=[] if body.confirm else [fields for _, fields in contact_file.good[:PREVIEW_ROWS]],
        rejected=contact_file.list_rejected()[:MAX_LISTED_PROBLEMS],
    )


def read_contact_file(text: str) -> ContactFile:
    """The validated rows of a file. Raises `ProblemError` 422 where the file is not a CSV file of contacts.

    Twenty thousand rows take seconds, which other requests do not wait for.
    """
    return compute(_parse_contact_file, text)


def _parse_contact_file(text: str) -> ContactFile:
    lines = csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    contact_file = ContactFile()
    try:
        header = contact_file.header = [name.strip() for name in next(lines, [])]
        _check_header(header)
        contact_file.attributes = [name for name in header if name not in _FIELDS]
        for line, cells in _iter_rows(lines):
            contact_file.cells[line] = cells
            _validate_row(contact_file, line, header, cells)
    except csv.Error as error:
        raise invalid_request([Problem("csv", f"line {lines.line_num}: {error}")]) from None
    return contact_file


def _iter_rows(lines: Any) -> Iterator[tuple[int, list[str]]]:
    for number, cells in enumerate(lines):
        if number >= MAX_ROWS:
            raise invalid_request([Problem("csv", f"must have at most {MAX_ROWS:,} rows")])
        if any(cell.strip() for cell in cells):
            yield lines.line_num, cells


def _check_header(header: list[str]) -> None:
    if not any(name in _FIELDS for name in header):
        raise invalid_request(
            [Problem("csv", f"the first line must have field names such as {', '.join(sorted(_FIELDS)[:4])}")]
        )
    if "" in header or len(set(header)) < len(header):
        raise invalid_request([Problem("csv", "every column needs a unique name in the first line")])


def _validate_row(contact_file: ContactFile, line: int, header: list[str], cells: list[str]) -> None:
    if len(cells) != len(header):
        message = f"has {len(cells)} cells where the first line has {len(header)}"
        contact_file.bad.append({"line": line, "field": "", "message": message})
        return
    values = {name: cell.strip() for name, cell in zip(header, cells, strict=True) if cell.strip()}
    fields: dict[str, Any] = {name: cell for name, cell in values.items() if name in _FIELDS}
    if "tags" in fields:
        fields["tags"] = [tag.strip() for tag in fields["tags"].replace(";", ",").split(",") if tag.strip()]
    extra = {name: cell for name, cell in values.items() if name not in _FIELDS}
    if extra:
        fields["attributes"] = extra
    normalised, problems = normalise(fields)
    if problems:
        contact_file.bad.extend(
            {"line": line, "field": problem.path, "message": problem.message} for problem in problems
        )
    else:
        contact_file.good.append((line, normalised))


def write_contacts(call: Caller, contact_file: ContactFile) -> ImportCounts:
    """Write the valid rows and count the people; rows that the database rejects are added to the invalid ones."""
    created: set[str] = set()
    imported: list[str] = []
    for start in range(0, len(contact_file.good), BATCH_SIZE):
        chunk = contact_file.good[start : start + BATCH_SIZE]
        with acting_as(call.workspace_id):
            results = contact_matching.match_or_create(call.workspace_id, [(None, fields) for _, fields in chunk])
            ids = [result["id"] for result in results if result and not isinstance(result, ContactRejection)]
            created |= contact.find_newly_created(ids)
        imported += ids
        for (line, _), result in zip(chunk, results, strict=True):
            if isinstance(result, ContactRejection):
                path = result.path.removeprefix("contact.")
                contact_file.bad.append({"line": line, "field": path, "message": result.message})
    people = set(imported)
    counts = ImportCounts(len(created), len(people - created), len(imported) - len(people))
    detail = {**vars(counts), "rejected": len({row["line"] for row in contact_file.bad})}
    audit.record(call.workspace_id, call.actor, "contacts.imported", "contact", "csv", detail)
    return counts
