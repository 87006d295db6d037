"""Reads CSV as spreadsheets write it: UTF-8, UTF-16 or Windows-1252, any usual separator and line end."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

#: The separators that are found, and the first of those that are equally likely.
_SEPARATORS = (",", ";", "\t", "|")
#: The line with which Excel files may name their separator.
_SEPARATOR_LINE = re.compile(r'"?sep=([^\w"\s]|\t)"?[,;\t]*\n', re.IGNORECASE)
#: How workbooks begin: ZIP archives since 2007, compound files before.
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
#: Bytes that tell whether a text without a byte order mark is UTF-16: the high byte of what is ASCII is zero. In other
#: scripts that is every separator and line end.
_SAMPLE_BYTES = 1024
_MIN_ZEROS = 0.05
#: No cell is refused for its length alone: its row is, by the limit of its field.
csv.field_size_limit(2**31 - 1)

#: What the error says where the text ends within a quoted cell.
_UNFINISHED = "unexpected end of data"
_BAD_QUOTES = "has a quotation mark within a quoted cell, which must be doubled, or one that is not closed"

_WINDOWS = "cp1252"
_WINDOWS_WARNING = "The file is not Unicode and was read as Windows-1252. Check accented letters and symbols."


class DecodedText(NamedTuple):
    """The text of a file, and what to check in it."""

    text: str
    warning: str | None


def decode(raw: bytes) -> DecodedText:
    """Return the text of a file. Raises `ValueError` where it is not text."""
    if raw.startswith(_WORKBOOKS):
        raise ValueError("The file is a workbook. Save it as “CSV UTF-8” in your spreadsheet, then choose that file.")
    encoding = _find_encoding(raw)
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        raise ValueError("The file is not text. Save it as “CSV UTF-8” in your spreadsheet, then choose it.") from None
    return DecodedText(text, _WINDOWS_WARNING if encoding == _WINDOWS else None)


def _find_encoding(raw: bytes) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    sample = raw[:_SAMPLE_BYTES]
    high, low = sample[1::2].count(0), sample[::2].count(0)
    if max(high, low) > _MIN_ZEROS * len(sample) / 2 and min(high, low) * 4 < max(high, low):
        return "utf-16-le" if high > low else "utf-16-be"
    try:
        raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return _WINDOWS
    return "utf-8-sig"


class CsvRow(NamedTuple):
    """A row: the line of the file at which it ends, from 1, and its cells, or why they cannot be read."""

    line: int
    cells: list[str]
    fault: str | None = None


class CsvLines:
    """The lines of a CSV text: its header, then the cells of each row by line."""

    def __init__(self, text: str, count_known: Callable[[list[str]], int]) -> None:
        """`count_known` returns how many names of a header are known ones: with the right separator they are most.

        Raises `csv.Error`.
        """
        text = text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
        declared = _SEPARATOR_LINE.match(text)
        self._skipped_lines = 1 if declared else 0
        text = text[declared.end() :] if declared else text
        separator = declared[1] if declared else _find_separator(text, count_known)
        self._reader = _read(text, separator)
        try:
            self.header = _read_header(self._reader)
        except csv.Error:
            raise csv.Error(f"line {self.line}: {_BAD_QUOTES}") from None

    @property
    def line(self) -> int:
        """The line of the file at which the last row ends, from 1."""
        read: int = self._reader.line_num
        return read + self._skipped_lines

    def __iter__(self) -> Iterator[CsvRow]:
        """Iterate over the rows, as long as the header where they differ by empty cells of columns without a name.

        Raises `csv.Error` for a quotation mark that is not closed: the rest of the file is then one cell.
        """
        width = len(self.header)
        named_width = len(_trim(self.header))
        while True:
            first_line = self.line + 1
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                # After any other error the reader goes on with the next line.
                if _UNFINISHED in str(error):
                    raise csv.Error(f"line {first_line}: a quotation mark opens a cell and is not closed") from None
                yield CsvRow(self.line, [], _BAD_QUOTES)
                continue
            if len(cells) > width:
                cells[width:] = _trim(cells[width:])
            elif len(cells) >= named_width:
                cells += [""] * (width - len(cells))
            yield CsvRow(self.line, cells)


def _find_separator(text: str, count_known: Callable[[list[str]], int]) -> str:
    def rate(separator: str) -> tuple[int, int]:
        try:
            header = _read_header(_read(text, separator))
        except csv.Error:
            return -1, 0
        return count_known(header), len(_trim(header))

    return max(_SEPARATORS, key=rate)


def _read(text: str, separator: str) -> Any:
    return csv.reader(io.StringIO(text), delimiter=separator, strict=True)


def _read_header(rows: Iterator[list[str]]) -> list[str]:
    return [name.strip() for name in next((cells for cells in rows if any(map(str.strip, cells))), [])]


def _trim(cells: list[str]) -> list[str]:
    """Return the cells without the empty ones at the end."""
    return cells[: max((number for number, cell in enumerate(cells, 1) if cell.strip()), default=0)]
