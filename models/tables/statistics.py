"""Runs, and the tallies behind the monitor."""

from __future__ import annotations

import peewee
from peewee import Check

from models.tables.automations import Automation
from models.tables.executions import Message
from models.tables.fields import (
    NOW,
    BigIntegerField,
    BooleanField,
    EnumField,
    IdField,
    IntegerField,
    SmallIntegerField,
    Table,
    TextField,
    TimeField,
    index,
    reference,
)
from models.tables.workspaces import Workspace
from rules.actions import RunKind
from rules.tallies import ResponseKind, Span


class AutomationRun(Table):
    """A run: what an automation did for a contact, as its page counts it."""

    id = IdField()
    workspace_id = IdField()
    automation_id = IdField()
    contact_id = IdField()
    execution_id = IdField()
    kind = EnumField(RunKind)
    at = TimeField()

    class Meta:
        table_name = "automation_runs"
        primary_key = False
        table_settings = "partition by range (at)"
        indexes = (
            index(
                "automation_runs_newest on automation_runs (workspace_id, automation_id, at desc, id desc)",
                include="kind",
            ),
        )


class RunWindow(Table):
    """When a contact's last run of an automation was counted: once per hour."""

    automation_id = IdField()
    contact_id = IdField()
    workspace_id = IdField()
    counted_at = TimeField()

    class Meta:
        table_name = "run_windows"
        primary_key = peewee.CompositeKey("automation_id", "contact_id")


class StageTally(Table):
    """How often a move between two stages happened in an interval of time, for the monitor."""

    workspace_id = reference(Workspace)
    automation_id = reference(Automation)
    at = TimeField()
    test = BooleanField()
    from_stage = TextField()
    stage = TextField()
    rule = TextField()
    words = TextField(null=True)
    moves = IntegerField()
    from_ms = BigIntegerField()
    first_sent = IntegerField()

    class Meta:
        table_name = "stage_tallies"
        primary_key = peewee.CompositeKey("automation_id", "at", "test", "from_stage", "stage", "rule")
        indexes = (index("stage_tallies_workspace on stage_tallies (workspace_id)"),)


class TallyProgress(Table):
    """Up to when the stage history is tallied; one row."""

    #: The only value, so that there is one row.
    single = BooleanField(column_name="one", primary_key=True, default_sql="true")
    until = TimeField()

    class Meta:
        table_name = "tallied"
        constraints = (Check("one", "tallied_one_check"),)


class LatenessSample(Table):
    """How late a workspace's executions were at a minute: the longest delay, and how many were late. No row means that
    none was."""

    workspace_id = reference(Workspace)
    at = TimeField()
    oldest_seconds = IntegerField()
    late = IntegerField()

    class Meta:
        table_name = "lateness_samples"
        primary_key = peewee.CompositeKey("workspace_id", "at")
        indexes = (index("lateness_samples_at on lateness_samples (at)"),)


class AnalyticsChange(Table):
    """A change of the counts of Analytics that is not added to `analytics_tallies` yet. Triggers of the counted tables
    append it; `at` is a quarter of an hour."""

    workspace_id = IdField()
    at = TimeField()
    subject = TextField()
    dimension = TextField()
    automation_id = IdField()
    tracked = BooleanField()
    value = TextField()
    status = TextField()
    bucket = SmallIntegerField()
    count = IntegerField()

    class Meta:
        table_name = "analytics_changes"
        primary_key = False


class AnalyticsTally(Table):
    """How many executions, steps or messages of a time are in a status, by automation and by the value of a dimension.

    `bucket` is that of their time (`rules.tallies`), -1 without one; `tracked` tells executions in visitors' browsers.
    """

    workspace_id = reference(Workspace)
    subject = TextField()
    dimension = TextField()
    span = EnumField(Span)
    automation_id = IdField()
    at = TimeField()
    tracked = BooleanField()
    value = TextField()
    status = TextField()
    bucket = SmallIntegerField()
    count = BigIntegerField()

    class Meta:
        table_name = "analytics_tallies"
        primary_key = peewee.CompositeKey(
            "workspace_id", "subject", "dimension", "span", "automation_id", "at", "tracked", "value", "status",
            "bucket",
        )  # fmt: skip
        indexes = (
            index("analytics_tallies_at on analytics_tallies (at)"),
            index(
                "analytics_tallies_totals on analytics_tallies (workspace_id, dimension, span, value, at)",
                where="automation_id = '00000000-0000-0000-0000-000000000000'",
            ),
        )


class MessageResponse(Table):
    """What a message led to, once for each kind."""

    message_id = reference(Message)
    kind = EnumField(ResponseKind)
    workspace_id = IdField()
    at = TimeField(default_sql=NOW)

    class Meta:
        table_name = "message_responses"
        primary_key = peewee.CompositeKey("message_id", "kind")
