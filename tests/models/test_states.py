"""The types that the code declares are those of the tables, which `test_tables.py` compares with the database."""

from __future__ import annotations

from datetime import datetime
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from models.engine.rows import TABLES, parse_claimed_row
from models.tables.fields import EnumField
from rules.errors import BY_CLASS, ErrorClass

PYTHON_TYPES: dict[str, set[type]] = {
    "uuid": {str},
    "text": {str},
    "integer": {int},
    "bigint": {int},
    "boolean": {bool},
    "timestamptz": {datetime},
    "jsonb": {dict, list},
}


def test_the_literal_has_the_error_classes_of_the_tree():
    assert set(get_args(ErrorClass)) == set(BY_CLASS)


def list_problems(hint: Any, field: Any) -> list[str]:
    """How the annotation of a row differs from the column."""
    options = get_args(hint) if NoneType in get_args(hint) else (hint,)
    values = {value for option in options if get_origin(option) is Literal for value in get_args(option)}
    types = {str if get_origin(option) is Literal else get_origin(option) or option for option in options} - {NoneType}
    problems = [] if types <= PYTHON_TYPES[field.field_type] else [f"{field.column_name} is {field.field_type}"]
    problems += [] if (NoneType in options) == field.null else [f"{field.column_name}: null is {field.null}"]
    if isinstance(field, EnumField) and values != set(field.values):
        problems.append(f"{field.column_name} has the values {field.values}")
    return problems


@pytest.mark.parametrize("row_type", TABLES)
def test_a_row_has_the_types_of_its_columns(row_type):
    columns = TABLES[row_type]._meta.columns
    hints = get_type_hints(row_type)
    assert [problem for name, hint in hints.items() for problem in list_problems(hint, columns[name])] == []


def test_times_of_a_claimed_row_are_parsed_once():
    at = "2026-01-02T03:04:05.678901+00:00"
    row = parse_claimed_row(
        {"steps": [{"step_id": "a", "finished_at": at, "started_at": None}], "messages": None, "suppressed": None,
         "pauses": [{"kind": "provider", "name": "mailgun", "reason": "operator", "retry_at": None}],
         "breakers": [{"provider": "mailgun", "opened_at": at, "probe_at": at, "probed_by": None}]}
    )  # fmt: skip
    assert row["steps"][0]["finished_at"] == datetime.fromisoformat(at)
    assert row["steps"][0]["started_at"] is None
    assert row["breakers"][0]["opened_at"] == datetime.fromisoformat(at)
    assert (row["messages"], row["suppressed"]) == ([], [])
