"""Reads a CSV file of contacts: validated rows, and the others with their problems by line and field.

The first line has the API's field names; any other column becomes an attribute. An empty cell leaves its field
unchanged.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rules.body_json import invalid_body
from rules.contact_fields import ContactFields
from rules.contacts import count_people, normalise
from rules.csv_cells import format_row
from rules.json_text import dump_json, load_json
from rules.problems import Problem

#: Maximum rows of a file.
MAX_ROWS = 20_000
#: Rows of a batch, which the database takes in one transaction.
BATCH_SIZE = 500

_FIELDS = frozenset(field_info.alias or name for name, field_info in ContactFields.model_fields.items()) - {
    "attributes"
}


class ContactRow(NamedTuple):
    """A valid row: its line, its fields by column of the table, and its cells as they were written."""

    line: int
    fields: dict[str, Any]
    cells: list[str]


@dataclass
class ContactFile:
    """A parsed file: its columns, those of them that become attributes, its valid rows, and the invalid ones."""

    header: list[str] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)
    #: Valid rows, and how many of them have an address or an id of an earlier row, and so belong to one person.
    valid: int = 0
    repeated: int = 0
    #: The valid rows as JSON, `BATCH_SIZE` in each text: a web process reads one batch at a time.
    batches: list[str] = field(default_factory=list)
    #: The problems of invalid rows: {"line", "field", "message"}.
    bad: list[dict[str, Any]] = field(default_factory=list)
    #: The cells of the invalid rows, by line.
    cells: dict[int, list[str]] = field(default_factory=dict)

    def iter_batches(self) -> Iterator[list[ContactRow]]:
        """Iterate over the valid rows, batch by batch."""
        for batch in self.batches:
            yield [ContactRow(*row) for row in load_json(batch)]

    def list_first(self, count: int) -> list[ContactRow]:
        """Return the first valid rows, at most `count` and at most one batch."""
        return next(self.iter_batches(), [])[:count]

    def reject(self, row: ContactRow, path: str, message: str) -> None:
        """Add the problem of a row that was valid, and that the database rejects."""
        self.cells[row.line] = row.cells
        self.bad.append({"line": row.line, "field": path, "message": message})

    def format_rejected(self) -> str:
        """Format the problems as CSV, each with the cells of its row: a file to correct."""
        rows = [(row["line"], row["field"], row["message"], *self.cells[row["line"]]) for row in self.list_rejected()]
        return "".join(format_row(row) for row in [("line", "field", "reason", *self.header), *rows])

    def list_rejected(self) -> list[dict[str, Any]]:
        """Return the problems of invalid rows, by line."""
        return sorted(self.bad, key=lambda row: row["line"])


def parse_contact_file(text: str) -> ContactFile:
    """Return the rows of a file. Raises `BodyError` 422 where it is not a CSV file of contacts."""
    lines = csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    contact_file = ContactFile()
    good: list[ContactRow] = []
    try:
        header = contact_file.header = [name.strip() for name in next(lines, [])]
        _check_header(header)
        contact_file.attributes = [name for name in header if name not in _FIELDS]
        for line, cells in _iter_rows(lines):
            _validate_row(contact_file, good, line, cells)
    except csv.Error as error:
        raise invalid_body([Problem("csv", f"line {lines.line_num}: {error}")]) from None
    contact_file.valid = len(good)
    contact_file.repeated = len(good) - count_people(row.fields for row in good)
    rows = [tuple(row) for row in good]
    contact_file.batches = [dump_json(rows[start : start + BATCH_SIZE]) for start in range(0, len(rows), BATCH_SIZE)]
    return contact_file


def _iter_rows(lines: Any) -> Iterator[tuple[int, list[str]]]:
    for number, cells in enumerate(lines):
        if number >= MAX_ROWS:
            raise invalid_body([Problem("csv", f"must have at most {MAX_ROWS:,} rows")])
        if any(cell.strip() for cell in cells):
            yield lines.line_num, cells


def _check_header(header: list[str]) -> None:
    if not any(name in _FIELDS for name in header):
        raise invalid_body(
            [Problem("csv", f"the first line must have field names such as {', '.join(sorted(_FIELDS)[:4])}")]
        )
    if "" in header or len(set(header)) < len(header):
        raise invalid_body([Problem("csv", "every column needs a unique name in the first line")])


def _validate_row(contact_file: ContactFile, good: list[ContactRow], line: int, cells: list[str]) -> None:
    header = contact_file.header
    if len(cells) != len(header):
        message = f"has {len(cells)} cells where the first line has {len(header)}"
        contact_file.reject(ContactRow(line, {}, cells), "", message)
        return
    fields, problems = normalise(_read_fields(header, cells))
    for problem in problems:
        contact_file.reject(ContactRow(line, {}, cells), problem.path, problem.message)
    if not problems:
        good.append(ContactRow(line, fields, cells))


def _read_fields(header: list[str], cells: list[str]) -> dict[str, Any]:
    values = {name: cell.strip() for name, cell in zip(header, cells, strict=True) if cell.strip()}
    fields: dict[str, Any] = {name: cell for name, cell in values.items() if name in _FIELDS}
    if "tags" in fields:
        fields["tags"] = [tag.strip() for tag in fields["tags"].replace(";", ",").split(",") if tag.strip()]
    attributes = {name: cell for name, cell in values.items() if name not in _FIELDS}
    return {**fields, "attributes": attributes} if attributes else fields
