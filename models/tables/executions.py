"""Triggers and executions with their steps, messages and stage history."""

from __future__ import annotations

from typing import Literal

import peewee
from peewee import Check

from models.tables.automations import Automation
from models.tables.fields import (
    NOW,
    BigIntegerField,
    BooleanField,
    BytesField,
    EnumField,
    IdField,
    IntegerField,
    JsonField,
    Table,
    TextField,
    TimeField,
    index,
    reference,
)
from models.tables.workspaces import Workspace
from rules.actions import RunKind
from rules.channels import CONVERSATION_CHANNELS
from rules.stages import MessageStatus, Queue, Stage, Status, StepStatus, WaitingFor

TriggerSource = Literal["api", "redis", "command", "test", "hook", "schedule", "webhook"]


class Trigger(Table):
    """An accepted trigger job with the response it got; `payload` is the producer's."""

    id = IdField(primary_key=True)
    workspace_id = reference(Workspace)
    type = TextField()
    source = EnumField(TriggerSource)
    contact_id = IdField(null=True)
    payload = JsonField(default_sql="'{}'")
    test = BooleanField(default_sql="false")
    idempotency_key = TextField(null=True)
    answer = JsonField()
    created_at = TimeField(default_sql=NOW)
    #: Automatic messages that a contact's event has answered in a row; null for any other trigger.
    loop_depth = IntegerField(null=True)

    class Meta:
        table_name = "triggers"
        indexes = (
            index("triggers_created on triggers (created_at)"),
            index("triggers_workspace on triggers (workspace_id, id desc)"),
        )


class IdempotencyKey(Table):
    """An idempotency key of a producer, the hash of the body it came with, and the trigger it created."""

    workspace_id = reference(Workspace)
    key = TextField()
    body_hash = BytesField()
    trigger_id = IdField()
    created_at = TimeField(default_sql=NOW)

    class Meta:
        table_name = "idempotency_keys"
        primary_key = peewee.CompositeKey("workspace_id", "key")
        indexes = (index("idempotency_keys_created on idempotency_keys (created_at)"),)


class Execution(Table):
    """One automation at work for one trigger.

    The unfinished ones always have a time, an event, a person or a pause that moves them on: `nothing_is_stuck`.
    """

    id = IdField(primary_key=True)
    workspace_id = IdField()
    automation_id = reference(Automation, on_delete=None)
    version_id = IdField()
    version = IntegerField()
    trigger_id = IdField()
    contact_id = IdField(null=True)
    test = BooleanField(default_sql="false")
    status = EnumField(Status, default_sql="'pending'")
    stage = EnumField(Stage, default_sql="'queued'")
    stage_since = TimeField()
    queue = EnumField(Queue)
    notified_at = TimeField(column_name="rung_at")
    due_at = TimeField(null=True)
    waiting_for = EnumField(WaitingFor, null=True)
    wait_event = TextField(null=True)
    event_at = TimeField(null=True)
    lease_owner = TextField(null=True)
    lease_until = TimeField(null=True)
    fence = IntegerField(default_sql="0")
    deliveries = IntegerField(default_sql="0")
    attempt = IntegerField(default_sql="1")
    resume_stage = TextField(null=True)
    failed_step = TextField(null=True)
    error_class = TextField(null=True)
    error_message = TextField(null=True)
    error_code = TextField(null=True)
    next_retry_at = TimeField(null=True)
    misconfigured_since = TimeField(null=True)
    rate_limited_since = TimeField(null=True)
    skipped_rule = TextField(null=True)
    skipped_detail = JsonField(null=True)
    created_at = TimeField()
    started_at = TimeField(null=True)
    finished_at = TimeField(null=True)
    execution_time_ms = BigIntegerField(null=True)
    round = IntegerField(default_sql="0")
    follow_up_count = IntegerField(default_sql="0")
    follow_up_ended_because = JsonField(null=True)
    follow_ups_stopped = JsonField(null=True)
    run_kind = EnumField(RunKind, null=True)
    run_due_at = TimeField(null=True)
    #: Of the current error, or the one that the execution waits for.
    provider = TextField(null=True)

    class Meta:
        table_name = "executions"
        table_settings = "partition by range (id)"
        constraints = (
            Check("status <> 'failed' or error_class is not null", "failed_says_why"),
            Check(
                "(status in ('succeeded', 'failed', 'skipped', 'cancelled')) = (finished_at is not null)",
                "finished_is_dated",
            ),
            Check("(status = 'running') = (lease_until is not null)", "lease_goes_with_running"),
            Check(
                "status not in ('pending', 'waiting') or due_at is not null "
                "or waiting_for in ('event', 'review', 'pause')",
                "nothing_is_stuck",
            ),
            Check("status not in ('skipped', 'cancelled') or skipped_rule is not null", "skipped_says_why"),
        )
        indexes = (
            index(
                "executions_at_rest on executions (workspace_id, status, id desc)",
                include="test, error_class, skipped_rule, due_at, created_at, finished_at",
                where="status in ('waiting', 'failed', 'skipped', 'cancelled')",
            ),
            index("executions_automation on executions (automation_id, id desc)"),
            index(
                "executions_awaiting_event on executions (contact_id, wait_event)",
                where="status = 'waiting' and wait_event is not null",
            ),
            index(
                "executions_awaiting_provider on executions (workspace_id, provider, id)",
                where="status = 'waiting' and waiting_for = 'provider'",
            ),
            index("executions_contact on executions (contact_id, id desc)"),
            index(
                "executions_errors on executions (workspace_id, error_class, id desc)",
                include="status, test",
                where="error_class is not null",
            ),
            index(
                "executions_failures on executions (workspace_id, error_class, provider, error_code, id desc)",
                include="status, stage, waiting_for, test, automation_id, stage_since, due_at, attempt",
                where="status = 'failed' or status = 'waiting' "
                "and (stage = 'failed' or waiting_for in ('configuration', 'rate_limit'))",
            ),
            index("executions_finished on executions (finished_at)", where="finished_at is not null"),
            index(
                "executions_held on executions (id)",
                where="status = 'waiting' and waiting_for in ('pause', 'configuration')",
            ),
            index("executions_leases on executions (lease_until)", where="status = 'running'"),
            index("executions_newest on executions (workspace_id, id desc)"),
            index(
                "executions_retried on executions (workspace_id, id desc)",
                include="status, attempt, test, created_at",
                where="attempt > 1",
            ),
            index("executions_run_due on executions (run_due_at)", where="run_due_at is not null"),
            index("executions_tests on executions (workspace_id, id desc)", where="test"),
            index(
                "executions_to_review on executions (workspace_id, id desc)",
                where="status = 'waiting' and waiting_for = 'review'",
            ),
            index(
                "executions_turns on executions (queue, workspace_id, due_at, id)",
                where="case when status in ('pending', 'waiting') then rung_at >= due_at else false end",
            ),
            index(
                "idx_automation_execution_logs_pending on executions (due_at)",
                where="status in ('pending', 'waiting') and due_at is not null",
            ),
            index(
                "idx_automation_states_rule on executions (automation_id, finished_at)",
                where="status in ('pending', 'running', 'waiting', 'failed')",
            ),
        )


class Step(Table):
    """A step of an execution in one round of follow-ups."""

    execution_id = IdField()
    step_id = TextField()
    round = IntegerField(default_sql="0")
    workspace_id = IdField()
    action = TextField()
    status = EnumField(StepStatus)
    attempts = IntegerField(default_sql="0")
    started_at = TimeField(null=True)
    finished_at = TimeField(null=True)
    execution_time_ms = BigIntegerField(null=True)
    output = JsonField(null=True)
    error = JsonField(null=True)
    failures = JsonField(default_sql="'[]'")

    class Meta:
        table_name = "steps"
        table_settings = "partition by range (execution_id)"
        primary_key = peewee.CompositeKey("execution_id", "step_id", "round")
        indexes = (index("steps_failed on steps (workspace_id, started_at)", where="failures <> '[]'"),)


class Message(Table):
    """A message of an execution. `key` is the idempotency key of its send: one row for each intended message."""

    id = IdField(primary_key=True)
    workspace_id = IdField()
    execution_id = IdField()
    automation_id = IdField()
    contact_id = IdField(null=True)
    step_id = TextField()
    round = IntegerField(default_sql="0")
    key = TextField(unique=True)
    channel = TextField()
    provider = TextField()
    sandbox = BooleanField()
    test = BooleanField()
    to_address = TextField()
    sender = TextField(null=True)
    subject = TextField(null=True)
    body = TextField()
    format = TextField(default_sql="'text'")
    status = EnumField(MessageStatus)
    provider_message_id = TextField(null=True)
    generation_ms = BigIntegerField(null=True)
    look_ups = IntegerField(default_sql="0")
    look_up_at = TimeField(null=True)
    resends = IntegerField(default_sql="0")
    error_class = TextField(null=True)
    error_message = TextField(null=True)
    send_at = TimeField(null=True)
    sending_at = TimeField(null=True)
    sent_at = TimeField(null=True)
    created_at = TimeField()
    updated_at = TimeField()
    detail = JsonField(null=True)
    look_up_log = JsonField(default_sql="'[]'")
    look_up_requested_at = TimeField(null=True)
    #: Of a text that retention removed: its characters, and its SHA-256.
    body_length = IntegerField(null=True)
    body_hash = BytesField(null=True)

    class Meta:
        table_name = "messages"
        indexes = (
            index("messages_contact on messages (contact_id, sent_at)", where="sent_at is not null"),
            index("messages_execution on messages (execution_id)"),
            index("messages_look_up on messages (look_up_at)", where="look_up_at is not null"),
            index(
                "messages_look_up_requested on messages (look_up_requested_at)",
                where="look_up_requested_at is not null",
            ),
            index(
                "messages_provider_id on messages (provider, provider_message_id)",
                where="provider_message_id is not null",
            ),
            index("messages_unknown on messages (workspace_id, id desc)", where="status = 'outcome_unknown'"),
        )


class MessageLink(Table):
    """A link of a message whose clicks are counted: `/l/{token}` leads to `url`. `clicked_at` is the first click.

    The first click on any link of a message is also a row of `message_responses`, which Analytics counts.
    """

    token = TextField(primary_key=True)
    workspace_id = IdField()
    message_id = reference(Message)
    position = IntegerField()
    url = TextField()
    clicked_at = TimeField(null=True)

    class Meta:
        table_name = "message_links"
        indexes = (index("message_links_message on message_links (message_id)"),)


class StageHistory(Table):
    """A move between stages: the stage that was entered, and how long the previous one lasted."""

    execution_id = IdField()
    workspace_id = IdField()
    automation_id = IdField()
    test = BooleanField()
    from_stage = TextField()
    from_ms = BigIntegerField()
    stage = TextField()
    entered_at = TimeField()

    class Meta:
        table_name = "stage_history"
        primary_key = False
        table_settings = "partition by range (entered_at)"
        indexes = (
            index("idx_automation_states_updated on stage_history (automation_id, entered_at)"),
            index("stage_history_execution on stage_history (execution_id, entered_at)"),
            index(
                "stage_history_sent on stage_history (workspace_id, entered_at)",
                include="execution_id, test, automation_id",
                where="stage = 'sent'",
            ),
        )


class PrivateReply(Table):
    """A comment that was answered privately: Meta allows one reply for each comment."""

    workspace_id = reference(Workspace)
    channel = EnumField(CONVERSATION_CHANNELS)
    comment_id = TextField()
    message_key = TextField()
    created_at = TimeField(default_sql=NOW)

    class Meta:
        table_name = "private_replies"
        primary_key = peewee.CompositeKey("workspace_id", "channel", "comment_id")
        indexes = (index("private_replies_at on private_replies (created_at)"),)
