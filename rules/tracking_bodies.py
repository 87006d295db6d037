"""Reads the bytes of reported executions: bounded before they are parsed, and cleaned of what cannot be stored.

`rules.tracking` validates each execution.
"""

from __future__ import annotations

from typing import Any

from rules import bodies
from rules.body_json import BodyError, invalid_body, parse_json
from rules.json_text import clean_json, has_more_values, has_unstorable, load_json
from rules.problems import Problem
from rules.tracking import ExecutionReports, TrackedExecution, parse_tracked_execution


def parse_report(raw: bytes, max_values: int) -> Any:
    """Return the JSON value of a report, cleaned of what cannot be stored. Raises `BodyError` 413 and 400."""
    if has_more_values(raw, max_values):
        raise BodyError(413, "The body has too many values.")
    if has_unstorable(raw):
        return clean_json(parse_json(raw))
    try:
        return load_json(raw.decode())
    except ValueError:
        # Slower, and says where the fault is.
        return parse_json(raw)


def read_batch(raw: bytes, max_values: int) -> list[Any]:
    """Return the entries of a batch's body, not validated. Raises `BodyError` where the body is no batch."""
    reports, problems = bodies.check(ExecutionReports, parse_report(raw, max_values))
    if reports is None:
        raise invalid_body(problems)
    return reports.executions


def parse_entry(index: int, entry: object, default_id: str) -> TrackedExecution | list[Problem]:
    """Return the execution in an entry of a batch, or all of its problems."""
    return parse_tracked_execution(entry, default_id, f"executions[{index}]")
