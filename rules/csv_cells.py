"""Writes CSV that a spreadsheet may open: a cell that it would run as a formula is marked as text.

Spreadsheets run what begins with =, +, -, @, a tab or a carriage return, some also with the full-width signs. An
apostrophe in front makes it text. A phone or other number stays as it is: it holds no function, and an import must read
it back.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

_FORMULA = re.compile(r"\s*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?[0-9 ().\-]*")


def escape_cell(text: str) -> str:
    """Return the text as a cell that no spreadsheet runs."""
    if not _FORMULA.match(text) or _NUMBER.fullmatch(text):
        return text
    return f"'{text}"


def unescape_cell(text: str) -> str:
    """Return the text of a cell that `escape_cell` has marked, without the mark; any other cell as it is."""
    return text[1:] if text.startswith("'") and escape_cell(text[1:]) == text else text


def format_row(cells: Iterable[object]) -> str:
    """Return one line of CSV with its line break; None is an empty cell."""
    line = io.StringIO()
    csv.writer(line).writerow(["" if cell is None else escape_cell(str(cell)) for cell in cells])
    return line.getvalue()
