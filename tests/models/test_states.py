"""The states that the code declares are exactly those that the database's CHECK constraints allow."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, get_args

import pytest

from models.database import fetch_rows
from models.engine.rows import ExecutionState, MessageRow, StageMove, StepRow, list_columns, parse_claimed_row
from models.tables.people import Role
from models.tables.workspaces import OperationKind
from rules.actions import RunKind
from rules.errors import BY_CLASS, ErrorClass
from rules.stages import MessageStatus, Queue, Stage, Status, StepStatus, WaitingFor

DECLARED: dict[tuple[str, str], Any] = {
    ("executions", "status"): Status,
    ("executions", "stage"): Stage,
    ("executions", "queue"): Queue,
    ("executions", "waiting_for"): WaitingFor,
    ("executions", "run_kind"): RunKind,
    ("automation_runs", "kind"): RunKind,
    ("steps", "status"): StepStatus,
    ("messages", "status"): MessageStatus,
    ("operations", "kind"): OperationKind,
    ("memberships", "role"): Role,
    ("invitations", "role"): Role,
}
CHOICES = re.compile(r"\(?(\w+)\)?(?:::text)? = ANY \(\(?ARRAY\[(.*?)\]")


@pytest.fixture
def constraints(as_service: None) -> dict[tuple[str, str], set[str]]:
    """The values that a CHECK constraint allows, by table and column."""
    rows = fetch_rows(
        "select conrelid::regclass::text as name, pg_get_constraintdef(oid) as definition from pg_constraint "
        "where contype = 'c' and conrelid::regclass::text !~ '_(default|[0-9])' and array_length(conkey, 1) = 1"
    )
    return {
        (row["name"], match[1]): set(re.findall(r"'(\w+)'", match[2]))
        for row in rows
        if (match := CHOICES.search(row["definition"]))
    }


@pytest.mark.parametrize("column", DECLARED, ids=".".join)
def test_a_state_has_the_values_of_its_check_constraint(column, constraints):
    assert constraints[column] == set(get_args(DECLARED[column]))


def test_every_column_of_an_execution_with_choices_is_declared(constraints):
    tables = {"executions", "steps", "messages", "stage_history", "automation_runs"}
    assert {column for column in constraints if column[0] in tables} <= set(DECLARED)


def test_the_error_classes_are_those_of_the_tree():
    assert set(get_args(ErrorClass)) == set(BY_CLASS)


@pytest.mark.parametrize(
    ("row_type", "table"),
    [(ExecutionState, "executions"), (StepRow, "steps"), (MessageRow, "messages"), (StageMove, "stage_history")],
)
def test_a_row_has_the_types_of_its_table(as_service, row_type, table):
    rows = fetch_rows(
        "select attname, format_type(atttypid, null) as type, attnotnull from pg_attribute "
        "where attrelid = %s::regclass and attnum > 0 and not attisdropped", (table,),
    )  # fmt: skip
    catalog = {row["attname"]: row["type"].replace("timestamp with time zone", "timestamptz") for row in rows}
    columns = list_columns(row_type)
    assert columns == {name: catalog[name] for name in columns}


def test_times_of_a_claimed_row_are_parsed_once():
    at = "2026-01-02T03:04:05.678901+00:00"
    row = parse_claimed_row(
        {"steps": [{"step_id": "a", "finished_at": at, "started_at": None}], "messages": None, "suppressed": None,
         "pauses": [{"kind": "provider", "name": "mailgun", "reason": "operator", "retry_at": None}]}
    )  # fmt: skip
    assert row["steps"][0]["finished_at"] == datetime.fromisoformat(at)
    assert row["steps"][0]["started_at"] is None
    assert (row["messages"], row["suppressed"]) == ([], [])
