"""Contacts from a CSV file: a preview first, then the good rows in, and the bad ones named by line and field.

The first line names the fields as the API does; a column that is none of them becomes an attribute. An empty cell says
nothing about its field. Rows are matched like a trigger's contact.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from dashboard.access import Caller
from dashboard.answers import success
from dashboard.api import shapes
from dashboard.api.contacts import ContactFields, contacts
from dashboard.bodies import LARGE_BODY_LIMIT, Body
from dashboard.errors import invalid
from models import audit, contact_matching
from models.contact_matching import ContactRefused
from models.database import acting_as
from rules.contacts import normalise
from rules.problems import Problem

# The route joins the other contacts'; whoever registers them takes them from here.
__all__ = ["MOST_ROWS", "SHOWN_PROBLEMS", "SHOWN_ROWS", "ContactFile", "contacts", "read_file", "write"]

#: Rows of a file at most.
MOST_ROWS = 20_000
#: Rows that are written together.
ROWS_AT_ONCE = 500
#: So many rows stand in a preview, and so many problems in an answer.
SHOWN_ROWS, SHOWN_PROBLEMS = 20, 200

_FIELDS = frozenset(one.alias or name for name, one in ContactFields.model_fields.items()) - {"attributes"}


class Import(Body):
    """A CSV file as text. Without `confirm` nothing is written and the answer is a preview."""

    csv: Annotated[str, Field(min_length=1)]
    confirm: bool = False


@dataclass
class ContactFile:
    """What a file holds: good rows with their lines, bad rows, its columns, and those that become attributes."""

    header: list[str] = field(default_factory=list)
    good: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    bad: list[dict[str, Any]] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)

    def rejected(self) -> list[dict[str, Any]]:
        """The bad rows by line: {"line", "field", "message"}."""
        return sorted(self.bad, key=lambda one: one["line"])


@contacts.api(
    "POST",
    "/api/contacts/import",
    permission="write",
    body=Import,
    answer={
        "imported": shapes.COUNT,
        "valid": shapes.COUNT,
        "attributes": shapes.listing(shapes.TEXT),
        "preview": shapes.listing({"type": "object"}),
        "rejected": shapes.listing(shapes.record(line=shapes.COUNT, field=shapes.TEXT, message=shapes.TEXT)),
    },
    limit=LARGE_BODY_LIMIT,
)
def import_contacts(call: Caller, body: Import) -> Any:
    """Import contacts from CSV. Without `confirm` it is a preview."""
    found = read_file(body.csv)
    valid = len(found.good)
    imported = write(call, found) if body.confirm else 0
    return success(
        imported=imported,
        valid=valid,
        attributes=found.attributes,
        preview=[] if body.confirm else [fields for _, fields in found.good[:SHOWN_ROWS]],
        rejected=found.rejected()[:SHOWN_PROBLEMS],
    )


def read_file(text: str) -> ContactFile:
    """The rows of a file, judged; nothing is written. Raises `Refusal` 422 where it is no file of contacts."""
    lines = csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    found = ContactFile()
    try:
        header = found.header = [name.strip() for name in next(lines, [])]
        _check_header(header)
        found.attributes = [name for name in header if name not in _FIELDS]
        for line, cells in _rows(lines):
            _judge(found, line, header, cells)
    except csv.Error as error:
        raise invalid([Problem("csv", f"line {lines.line_num}: {error}")]) from None
    return found


def _rows(lines: Any) -> Iterator[tuple[int, list[str]]]:
    for number, cells in enumerate(lines):
        if number >= MOST_ROWS:
            raise invalid([Problem("csv", f"must have at most {MOST_ROWS:,} rows")])
        if any(cell.strip() for cell in cells):
            yield lines.line_num, cells


def _check_header(header: list[str]) -> None:
    if not any(name in _FIELDS for name in header):
        raise invalid([Problem("csv", f"the first line must name fields such as {', '.join(sorted(_FIELDS)[:4])}")])
    if "" in header or len(set(header)) < len(header):
        raise invalid([Problem("csv", "every column needs a name of its own in the first line")])


def _judge(found: ContactFile, line: int, header: list[str], cells: list[str]) -> None:
    if len(cells) != len(header):
        message = f"has {len(cells)} cells where the first line has {len(header)}"
        found.bad.append({"line": line, "field": "", "message": message})
        return
    given = {name: cell.strip() for name, cell in zip(header, cells, strict=True) if cell.strip()}
    fields: dict[str, Any] = {name: cell for name, cell in given.items() if name in _FIELDS}
    if "tags" in fields:
        fields["tags"] = [tag.strip() for tag in fields["tags"].replace(";", ",").split(",") if tag.strip()]
    extra = {name: cell for name, cell in given.items() if name not in _FIELDS}
    if extra:
        fields["attributes"] = extra
    regular, problems = normalise(fields)
    if problems:
        found.bad.extend({"line": line, "field": one.path, "message": one.message} for one in problems)
    else:
        found.good.append((line, regular))


def write(call: Caller, found: ContactFile) -> int:
    """Write the good rows; those that the database refuses join the bad ones."""
    imported = 0
    for start in range(0, len(found.good), ROWS_AT_ONCE):
        chunk = found.good[start : start + ROWS_AT_ONCE]
        with acting_as(call.workspace_id):
            results = contact_matching.match(call.workspace_id, [(None, fields) for _, fields in chunk])
        for (line, _), result in zip(chunk, results, strict=True):
            if isinstance(result, ContactRefused):
                path = result.path.removeprefix("contact.")
                found.bad.append({"line": line, "field": path, "message": result.message})
            else:
                imported += 1
    audit.record(
        call.workspace_id, call.actor, "contacts.imported", "contact", "csv",
        {"imported": imported, "rejected": len({one["line"] for one in found.bad})},
    )  # fmt: skip
    return imported
