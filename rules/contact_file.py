"""Reads a CSV file of contacts: validated rows, and the others with their problems by line and field.

`rules.csv_text` reads its cells, `rules.contact_columns` maps its columns. A problem of the first line is reported
once, and then no row is read. An empty cell leaves its field unchanged.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rules.body_json import invalid_body
from rules.contact_columns import ATTRIBUTE, IGNORE, Column, count_known, list_header_problems, map_columns
from rules.contacts import count_people, normalise
from rules.csv_cells import format_row, unescape_cell
from rules.csv_text import CsvLines, CsvRow
from rules.json_text import dump_json, load_json
from rules.problems import Problem

#: Maximum rows of a file.
MAX_ROWS = 50_000
#: Rows of a batch, which the database takes in one transaction.
BATCH_SIZE = 500
#: A formula with which spreadsheets keep the zeros at the start of a text: ="00123".
_TEXT_FORMULA = re.compile(r'="((?:[^"]|"")*)"')
#: A number of more than eleven digits as spreadsheets write it: 1.78414E+16.
_SHORTENED = re.compile(r"[+]?[0-9](?:[.,][0-9]+)?[eE][+][0-9]+")
#: The fields whose texts may be all digits.
_DIGITS = ("externalId", "phone", "facebookId", "instagramId")
_LOST_DIGITS = (
    "has lost digits: a spreadsheet wrote it as the number {}. Format the column as text there, enter the value again,"
    " and export the file once more"
)


class ContactRow(NamedTuple):
    """A valid row: its line, its fields by column of the table, and its cells as they were written."""

    line: int
    fields: dict[str, Any]
    cells: list[str]


class RejectedRow(NamedTuple):
    """A problem of an invalid row: its line, the field at fault or "", the problem, and the row's cells."""

    line: int
    field: str
    message: str
    cells: list[str]
    #: {"contactId", "into"}: two contacts that the row names, and that may be merged.
    merge: dict[str, str] | None = None

    def describe(self) -> dict[str, Any]:
        """Return the problem without the cells, as responses have it."""
        problem = {"line": self.line, "field": self.field, "message": self.message}
        return {**problem, "merge": self.merge} if self.merge else problem


@dataclass
class ContactFile:
    """A parsed file: its columns, the problems of its first line, its valid rows, and the invalid ones."""

    columns: list[Column] = field(default_factory=list)
    header_problems: list[str] = field(default_factory=list)
    #: The rows that are not empty.
    rows: int = 0
    #: Valid rows, and how many of them have an address or an id of an earlier row, and so belong to one person.
    valid: int = 0
    repeated: int = 0
    #: The valid rows as JSON, `BATCH_SIZE` in each text: a web process reads one batch at a time.
    batches: list[str] = field(default_factory=list)
    #: The problems of invalid rows: {"line", "field", "message", "merge"}, the last where the row names two contacts.
    bad: list[dict[str, Any]] = field(default_factory=list)
    #: The cells of the invalid rows, by line.
    cells: dict[int, list[str]] = field(default_factory=dict)

    @property
    def header(self) -> list[str]:
        """The names of the columns as they are in the first line."""
        return [column.name for column in self.columns]

    @property
    def attributes(self) -> list[str]:
        """The attributes that the rows have."""
        return [column.attribute for column in self.columns if column.attribute]

    def iter_batches(self) -> Iterator[list[ContactRow]]:
        """Iterate over the valid rows, batch by batch."""
        for batch in self.batches:
            yield [ContactRow(*row) for row in load_json(batch)]

    def list_first(self, count: int) -> list[ContactRow]:
        """Return the first valid rows, at most `count` and at most one batch."""
        return next(self.iter_batches(), [])[:count]

    def reject(self, row: ContactRow, path: str, message: str) -> None:
        """Add the problem of an invalid row."""
        self.add_rejected([RejectedRow(row.line, path, message, row.cells)])

    def add_rejected(self, rows: Iterable[RejectedRow]) -> None:
        """Add problems of rows, also of valid ones that the database rejects."""
        for row in rows:
            self.cells[row.line] = row.cells
            self.bad.append(row.describe())

    def count_rejected(self) -> int:
        """Count the invalid rows; one may have several problems."""
        return len({row["line"] for row in self.bad})

    def list_rejected(self) -> list[dict[str, Any]]:
        """Return the problems of invalid rows, by line."""
        return sorted(self.bad, key=lambda row: row["line"])

    def list_rejected_rows(self) -> list[RejectedRow]:
        """Return the problems of invalid rows with the cells of each, by line."""
        return [RejectedRow(**row, cells=self.cells[row["line"]]) for row in self.list_rejected()]


def format_rejected(header: Sequence[str], rows: Iterable[RejectedRow]) -> Iterator[str]:
    """Format the problems of a file as CSV, line by line, each with the cells of its row: a file to correct."""
    yield format_row(("line", "field", "reason", *header))
    for row in rows:
        yield format_row((row.line, row.field, row.message, *row.cells))


def parse_contact_file(text: str, choices: Mapping[str, str]) -> ContactFile:
    """Return the rows of a file. `choices` has what columns become, by their names; see `map_columns`.

    Raises `BodyError` 422 where the text is not CSV, or too long.
    """
    contact_file = ContactFile()
    try:
        lines = CsvLines(text, count_known)
        contact_file.columns = map_columns(lines.header, choices)
        contact_file.header_problems = list_header_problems(contact_file.columns)
        if not contact_file.header_problems:
            _read_rows(contact_file, lines)
    except csv.Error as error:
        raise invalid_body([Problem("csv", str(error))]) from None
    return contact_file


def _read_rows(contact_file: ContactFile, lines: CsvLines) -> None:
    good: list[ContactRow] = []
    without_name = {number for number, name in enumerate(contact_file.header) if not name}
    unnamed: set[int] = set()
    for line, cells, fault in _bound(lines):
        contact_file.rows += 1
        if fault:
            contact_file.reject(ContactRow(line, {}, cells), "", fault)
            continue
        _validate_row(contact_file, good, ContactRow(line, {}, cells))
        unnamed |= {number for number, cell in enumerate(cells) if number in without_name and cell.strip()}
    contact_file.header_problems = [
        f"column {number + 1} has values but no name in the first line" for number in sorted(unnamed)
    ]
    contact_file.valid = len(good)
    contact_file.repeated = len(good) - count_people(row.fields for row in good)
    rows = [tuple(row) for row in good]
    contact_file.batches = [dump_json(rows[start : start + BATCH_SIZE]) for start in range(0, len(rows), BATCH_SIZE)]


def _bound(lines: CsvLines) -> Iterator[CsvRow]:
    """Iterate over the rows that are not empty."""
    rows = (row for row in lines if row.fault or any(cell.strip() for cell in row.cells))
    for number, row in enumerate(rows):
        if number >= MAX_ROWS:
            raise invalid_body([Problem("csv", f"must have at most {MAX_ROWS:,} rows")])
        yield row


def _validate_row(contact_file: ContactFile, good: list[ContactRow], row: ContactRow) -> None:
    if len(row.cells) != len(contact_file.columns):
        message = f"has {len(row.cells)} cells where the first line has {len(contact_file.columns)}"
        contact_file.reject(row, "", message)
        return
    texts = _read_fields(contact_file.columns, row.cells)
    shortened = [name for name in _DIGITS if _SHORTENED.fullmatch(texts.get(name, ""))]
    fields, problems = normalise({name: text for name, text in texts.items() if name not in shortened})
    problems += [Problem(name, _LOST_DIGITS.format(texts[name])) for name in shortened]
    if not texts:
        problems = [Problem("", "has no value in a column that is imported")]
    for problem in problems:
        contact_file.reject(row, problem.path, problem.message)
    if not problems:
        good.append(row._replace(fields=fields))


def _read_fields(columns: list[Column], cells: list[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    attributes: dict[str, str] = {}
    for column, text in zip(columns, map(_read_cell, cells), strict=True):
        if text and column.target == ATTRIBUTE:
            attributes[column.attribute] = text
        elif text and column.target != IGNORE:
            fields[column.target] = _split_tags(text) if column.target == "tags" else text
    return {**fields, "attributes": attributes} if attributes else fields


def _read_cell(cell: str) -> str:
    """Return the text of a cell, without the marks that keep a spreadsheet from changing it."""
    text = cell.strip()
    quoted = _TEXT_FORMULA.fullmatch(text)
    return quoted[1].replace('""', '"').strip() if quoted else unescape_cell(text)


def _split_tags(text: str) -> list[str]:
    return [tag.strip() for tag in text.replace(";", ",").split(",") if tag.strip()]
