"""Test runs: three automations that are created, executed and deleted again to show that a workspace works."""

from __future__ import annotations

from typing import Literal

from models.tables.fields import (
    NOW,
    BooleanField,
    EnumField,
    IdField,
    JsonField,
    Table,
    TextField,
    TimeField,
    index,
    reference,
    unique_index,
)
from models.tables.workspaces import Workspace

TestRunStatus = Literal["running", "passed", "failed"]


class TestRun(Table):
    """A test run with its steps. `seen_at` is when the process that executes it last wrote."""

    __test__ = False

    id = IdField(primary_key=True)
    workspace_id = reference(Workspace)
    status = EnumField(TestRunStatus, default_sql="'running'")
    steps = JsonField(default_sql="'[]'")
    cleaned_up = BooleanField(default_sql="false")
    cancel_requested = BooleanField(default_sql="false")
    started_by = TextField()
    started_at = TimeField(default_sql=NOW)
    seen_at = TimeField(default_sql=NOW)
    finished_at = TimeField(null=True)

    class Meta:
        table_name = "test_runs"
        indexes = (
            index("test_runs_newest on test_runs (workspace_id, id desc)"),
            unique_index("test_runs_running on test_runs (workspace_id)", where="status = 'running'"),
        )
