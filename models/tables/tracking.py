"""Executions of playbooks: the intake before they are recorded, the records, and their actions."""

from __future__ import annotations

import peewee

from models.tables.fields import (
    NOW,
    EnumField,
    IdField,
    IntegerField,
    JsonField,
    JsonTextField,
    Table,
    TextField,
    TimeField,
    index,
)
from rules.tracking import DeviceType, ExecutionResult

#: Of rows that other people's programs insert; ours bring their own ids and workspaces.
NEW_ID = "new_id()"
ACTING_WORKSPACE = "acting_workspace()"


class TrackingIntake(Table):
    """An accepted execution that is not yet recorded; `failed_at` and `error` are of one that cannot be."""

    id = IdField(primary_key=True)
    workspace_id = IdField()
    site_key_id = IdField(null=True)
    execution_id = TextField()
    body = JsonTextField()
    received_at = TimeField(default_sql=NOW)
    failed_at = TimeField(null=True)
    error = TextField(null=True)

    class Meta:
        table_name = "tracking_intake"


class TrackedExecutionId(Table):
    """An execution id that a producer chose, with the id of the first execution that has it."""

    workspace_id = IdField()
    execution_id = TextField()
    id = IdField()

    class Meta:
        table_name = "tracked_execution_ids"
        primary_key = peewee.CompositeKey("workspace_id", "execution_id")
        indexes = (index("tracked_execution_ids_oldest on tracked_execution_ids (id)"),)


class WorkflowExecution(Table):
    """An execution of a playbook in a visitor's browser; `workflow_id` is the automation."""

    id = IdField(primary_key=True, default_sql=NEW_ID)
    workspace_id = IdField(default_sql=ACTING_WORKSPACE)
    workflow_id = IdField()
    site_key_id = IdField(null=True)
    execution_id = TextField(null=True)
    user_id = TextField(null=True)
    status = EnumField(ExecutionResult)
    execution_time_ms = IntegerField(null=True)
    page_url = TextField(null=True)
    page_path = TextField(null=True)
    session_id = TextField(null=True)
    device_type = EnumField(DeviceType, null=True)
    trigger_name = TextField(null=True)
    action_count = IntegerField(default_sql="0")
    failed_actions = IntegerField(default_sql="0")
    executed_at = TimeField(default_sql=NOW)
    received_at = TimeField(default_sql=NOW)

    class Meta:
        table_name = "workflow_executions"
        table_settings = "partition by range (id)"
        indexes = (
            index("workflow_executions_newest on workflow_executions (workspace_id, id desc)"),
            index("workflow_executions_of_workflow on workflow_executions (workflow_id, id desc)"),
            index(
                "workflow_executions_failed on workflow_executions (workspace_id, id desc) where status <> 'success'"
            ),
            index("workflow_executions_by_device on workflow_executions (workspace_id, device_type, id desc)"),
            index('workflow_executions_by_page on workflow_executions (workspace_id, page_path collate "C", id desc)'),
            index(
                "workflow_executions_by_session on workflow_executions (workspace_id, session_id) "
                "where session_id is not null"
            ),
        )


class AnalyticsEvent(Table):
    """An action of a tracked execution. Its id is the execution's with `position` in the last byte, so that one range
    of the primary key holds all of an execution's actions."""

    id = IdField(primary_key=True, default_sql=NEW_ID)
    workspace_id = IdField(default_sql=ACTING_WORKSPACE)
    workflow_id = IdField()
    workflow_execution_id = IdField(null=True)
    event_type = TextField()
    name = TextField(null=True)
    element_selector = TextField(null=True)
    page_url = TextField(null=True)
    execution_time_ms = IntegerField(null=True)
    event_data = JsonField(null=True)
    error = TextField(null=True)
    position = IntegerField(default_sql="0")
    occurred_at = TimeField(default_sql=NOW)

    class Meta:
        table_name = "analytics_events"
        table_settings = "partition by range (id)"
