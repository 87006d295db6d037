"""Reads a CSV file of suppressed addresses: valid entries, and the problems of the other rows by line.

The first line names the columns: `address`, and optionally `channel` (default `email`), `reason` (default `operator`)
and `topic` (of e-mail). Any other column is ignored, so that an exported file can be imported.
"""

from __future__ import annotations

import csv
import io
from typing import Any

from rules.addresses import normalise_address
from rules.body_json import invalid_body
from rules.channels import CONTACT_CHANNELS
from rules.problems import Problem, format_unknown
from rules.unsubscribe_links import MAX_TOPIC_LENGTH

#: Maximum rows of a file.
MAX_ROWS = 50_000
#: Why an address is suppressed.
REASONS = ("bounced", "complained", "unsubscribed", "stopped", "blocked", "operator")
#: What stands in place of an erased address.
ERASED = "erased"
_Entry = tuple[str, str, str, str | None]


def find_topic_problem(channel: str, topic: str | None) -> str | None:
    """Return why a topic cannot be suppressed on a channel; None for one that can be, and for no topic."""
    if topic is None:
        return None
    if channel != "email":
        return "belongs to e-mail only"
    return f"must have at most {MAX_TOPIC_LENGTH} characters" if len(topic) > MAX_TOPIC_LENGTH else None


def parse_suppression_file(text: str) -> dict[str, Any]:
    """Return `entries` (channel, normalized address, reason, topic) and `rejected` (line, field, message).

    Raises `BodyError` 422 where it is not a CSV file with a column `address`.
    """
    lines = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    entries: list[_Entry] = []
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


def _read_row(row: dict[str, str | None]) -> tuple[str, str | _Entry]:
    """Return an entry, or the field and what is wrong with it."""
    channel, reason = (row.get("channel") or "email").strip(), (row.get("reason") or "operator").strip()
    address, topic = (row.get("address") or "").strip(), (row.get("topic") or "").strip() or None
    if channel not in CONTACT_CHANNELS:
        return "channel", format_unknown("value", channel, CONTACT_CHANNELS)
    if reason not in REASONS:
        return "reason", format_unknown("value", reason, REASONS)
    problem = find_topic_problem(channel, topic)
    if problem:
        return "topic", problem
    if address == ERASED:
        return "address", "is erased and cannot be imported"
    try:
        return "", (channel, normalise_address(channel, address), reason, topic)
    except ValueError as error:
        return "address", str(error)
