"""`docs/api.md` says what the code does."""

from __future__ import annotations

from pathlib import Path

from dashboard.api import list_operations

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"


def test_the_documented_routes_equal_the_declared_ones() -> None:
    written = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and "| `/api/" in line]
    declared = [
        f"| {operation.method} | `{operation.path}` | {operation.permission or 'none'} | {operation.summary} |"
        for operation in sorted(list_operations(), key=lambda operation: (operation.path, operation.method))
    ]
    assert written == declared
