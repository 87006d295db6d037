"""`docs/api.md` says what the code does."""

from __future__ import annotations

from pathlib import Path

from dashboard.api import operations

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"


def test_the_table_of_routes_is_that_of_the_code() -> None:
    written = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and "| `/api/" in line]
    declared = [
        f"| {one.method} | `{one.path}` | {one.permission or 'none'} | {one.summary} |"
        for one in sorted(operations(), key=lambda one: (one.path, one.method))
    ]
    assert written == declared
