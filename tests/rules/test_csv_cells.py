"""CSV cells: what a spreadsheet would run as a formula becomes text; numbers and other texts stay as they are."""

from __future__ import annotations

import pytest

from rules.csv_cells import escape_cell, format_row


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3+cmd", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n@x", "\uff1d1+1"]
)
def test_a_formula_becomes_text(text: str) -> None:
    assert escape_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "Ada", "a=b", "+1 (555) 010-0", "-5", "+15550100", "ada@example.com"])
def test_other_cells_stay(text: str) -> None:
    assert escape_cell(text) == text


def test_a_row_quotes_what_needs_quotes() -> None:
    assert format_row(("a,b", 'say "hi"', None, 3)) == '"a,b","say ""hi""",,3\r\n'
