"""Reads a CSV file of suppressed addresses: valid entries, and the problems of the other rows by line.

The first line names the columns: `address`, and optionally `channel` (default `email`) and `reason` (default
`operator`). Any other column is ignored, so that an exported file can be imported.
"""

from __future__ import annotations

import csv
import io
from typing import Any

from rules.addresses import normalise_address
from rules.body_json import invalid_body
from rules.channels import CONTACT_CHANNELS
from rules.problems import Problem, format_unknown

#: Maximum rows of a file.
MAX_ROWS = 50_000
#: Why an address is suppressed.
REASONS = ("bounced", "complained", "unsubscribed", "stopped", "blocked", "operator")
#: What stands in place of an erased address.
ERASED = "erased"


def parse_suppression_file(text: str) -> dict[str, Any]:
    """Return `entries` (channel, normalized address, reason) and `rejected` (line, field, message).

    Raises `BodyError` 422 where it is not a CSV file with a column `address`.
    """
    lines = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    entries: list[tuple[str, str, str]] = []
    rejected: list[dict[str, Any]] = []
    try:
        if "address" not in (lines.fieldnames or ()):
            raise invalid_body([Problem("csv", "the first line must name the column address")])
        for number, row in enumerate(lines):
            if number >= MAX_ROWS:
                raise invalid_body([Problem("csv", f"must have at most {MAX_ROWS:,} rows")])
            field, result = _read_row(row)
            if isinstance(result, str):
                rejected.append({"line": lines.line_num, "field": field, "message": result})
            else:
                entries.append(result)
    except csv.Error as error:
        raise invalid_body([Problem("csv", f"line {lines.line_num}: {error}")]) from None
    return {"entries": list(dict.fromkeys(entries)), "rejected": rejected}


def _read_row(row: dict[str, str | None]) -> tuple[str, str | tuple[str, str, str]]:
    """Return an entry, or the field and what is wrong with it."""
    channel, reason = (row.get("channel") or "email").strip(), (row.get("reason") or "operator").strip()
    address = (row.get("address") or "").strip()
    if channel not in CONTACT_CHANNELS:
        return "channel", format_unknown("value", channel, CONTACT_CHANNELS)
    if reason not in REASONS:
        return "reason", format_unknown("value", reason, REASONS)
    if address == ERASED:
        return "address", "is erased and cannot be imported"
    try:
        return "", (channel, normalise_address(channel, address), reason)
    except ValueError as error:
        return "address", str(error)
