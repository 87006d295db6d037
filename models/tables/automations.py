"""Automations, their versions and their schedules."""

from __future__ import annotations

from peewee import SQL

from models.tables.fields import (
    NOW,
    BigIntegerField,
    BooleanField,
    BytesField,
    EnumField,
    IdField,
    IntegerField,
    IntegerListField,
    JsonField,
    Table,
    TextField,
    TimeField,
    index,
    reference,
)
from models.tables.test_runs import TestRun
from models.tables.workspaces import Workspace
from rules.language import AutomationType


class Automation(Table):
    """An automation with its draft, its published version and its counters.

    One of a test run (`test_run_id`) is created deleted, so that no list, count or card has it.
    `archived_*` count executions that retention deleted. `hourly_runs` holds the last hours up to `newest_run_hour`.
    """

    id = IdField(primary_key=True)
    workspace_id = reference(Workspace)
    name = TextField()
    type = EnumField(AutomationType)
    enabled = BooleanField(default_sql="true")
    version = IntegerField(default_sql="0")
    version_id = IdField(null=True)
    trigger_type = TextField(null=True)
    draft = JsonField(null=True)
    hook_token_hash = BytesField(null=True, unique=True)
    executions = BigIntegerField(default_sql="0")
    succeeded = BigIntegerField(default_sql="0")
    failed = BigIntegerField(default_sql="0")
    skipped = BigIntegerField(default_sql="0")
    cancelled = BigIntegerField(default_sql="0")
    last_executed_at = TimeField(null=True)
    archived_executions = BigIntegerField(default_sql="0")
    archived_succeeded = BigIntegerField(default_sql="0")
    archived_failed = BigIntegerField(default_sql="0")
    archived_skipped = BigIntegerField(default_sql="0")
    archived_cancelled = BigIntegerField(default_sql="0")
    total_runs = BigIntegerField(default_sql="0")
    last_run_at = TimeField(null=True)
    paused_at = TimeField(null=True)
    created_at = TimeField(default_sql=NOW)
    updated_at = TimeField(default_sql=NOW)
    deleted_at = TimeField(null=True)
    archived_runs = BigIntegerField(default_sql="0")
    hourly_runs = IntegerListField(default_sql="'{}'")
    newest_run_hour = BigIntegerField(null=True)
    automatic_retries = BooleanField(default_sql="true")
    test_run_id = reference(TestRun, on_delete=None, null=True)
    draft_saved_at = TimeField(null=True)
    draft_saved_by = TextField(null=True)
    #: Whether it leaves a comment or message to a more specific automation; from the published definition.
    exclusive = BooleanField(default_sql="true")
    #: The draft as its author wrote it, also where it cannot be parsed; null if a form saved it.
    draft_source = TextField(null=True)
    #: Counts every change of the draft, its publication included.
    draft_revision = IntegerField(default_sql="0")
    #: The version that the draft changes.
    draft_base_version = IntegerField(null=True)

    class Meta:
        table_name = "automations"
        indexes = (
            index("automations_test_run on automations (test_run_id)", where="test_run_id is not null"),
            index("automations_workspace on automations (workspace_id, id)", where="deleted_at is null"),
            index(
                "idx_automation_workflows_active on automations (workspace_id, trigger_type)",
                where="enabled and deleted_at is null",
            ),
        )


class WorkflowVersion(Table):
    """A published definition; it never changes."""

    id = IdField(primary_key=True)
    workspace_id = reference(Workspace)
    automation_id = reference(Automation)
    version = IntegerField()
    definition = JsonField()
    published_by = TextField()
    published_at = TimeField(default_sql=NOW)
    #: What the version changes, in its author's words.
    note = TextField(null=True)
    #: The definition as its author wrote it; null if it was published as an object.
    source = TextField(null=True)

    class Meta:
        table_name = "workflow_versions"
        constraints = (SQL("unique (automation_id, version)"),)
        indexes = (index("workflow_versions_workspace on workflow_versions (workspace_id)"),)


class AutomationSchedule(Table):
    """When a scheduled automation is next due, and the ticks that it skipped last."""

    automation_id = reference(Automation, primary_key=True)
    workspace_id = reference(Workspace)
    next_at = TimeField()
    #: How many were skipped together because they were too late, the first and the last of them.
    skipped_ticks = IntegerField(null=True)
    skipped_from = TimeField(null=True)
    skipped_until = TimeField(null=True)

    class Meta:
        table_name = "automation_schedules"
        indexes = (
            index("automation_schedules_due on automation_schedules (next_at)"),
            index("automation_schedules_workspace on automation_schedules (workspace_id)"),
        )
