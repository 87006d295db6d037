"""Workspaces, and what is set and recorded for each."""

from __future__ import annotations

from typing import Literal

from peewee import SQL, Check, CompositeKey

from models.tables.fields import (
    NOW,
    BooleanField,
    BytesField,
    EnumField,
    FloatField,
    IdField,
    IntegerField,
    JsonField,
    Table,
    TextField,
    TextListField,
    TimeField,
    index,
    reference,
)
from rules.channels import TEXT_PROVIDERS
from rules.reconciliation import WhenUnknown

ActorKind = Literal["user", "api_key", "command", "system"]
#: Also a contact, who acts by a word or on a page of its own.
AuditActorKind = Literal[ActorKind, "contact"]
OperationKind = Literal["retry", "cancel", "discard", "sent", "resend", "look_up", "import"]
#: The version that a retried execution continues on.
RetryVersion = Literal["original", "current"]
OperationStatus = Literal["running", "finished"]
PauseKind = Literal["provider", "queue"]
PauseReason = Literal["operator", "configuration", "restore"]


class Workspace(Table):
    """A tenant: everything below it belongs to exactly one workspace. The three switches and the preferences after them
    are its owners'."""

    id = IdField(primary_key=True)
    slug = TextField(unique=True)
    name = TextField()
    timezone = TextField(default_sql="'UTC'")
    demo = BooleanField(default_sql="false")
    created_at = TimeField(default_sql=NOW)
    run_tracking = BooleanField(default_sql="true")
    stats_in_api = BooleanField(default_sql="true")
    execution_tracking = BooleanField(default_sql="true")
    sender_name = TextField(null=True)
    sender_address = TextField(null=True)
    postal_address = TextField(null=True)
    help_text = TextField(null=True)
    when_unknown = EnumField(WhenUnknown, null=True)
    keep_days = IntegerField(null=True)
    keep_text_days = IntegerField(null=True)
    #: Up to which end of an execution the texts are removed.
    texts_removed_until = TimeField(null=True)
    import_columns = JsonField(default_sql="'{}'")
    webhook_secret_version = IntegerField(default_sql="0")
    webhook_secret_rotated_at = TimeField(null=True)

    class Meta:
        table_name = "workspaces"
        constraints = (
            Check("((keep_days >= 7) AND (keep_days <= 90))", "workspaces_keep_days_check"),
            Check("((keep_text_days >= 7) AND (keep_text_days <= 90))", "workspaces_keep_text_days_check"),
        )


class ModelSettings(Table):
    """A workspace's own choice of the AI model; the environment decides a null column. `api_key` is encrypted."""

    workspace_id = reference(Workspace, primary_key=True)
    provider = EnumField(TEXT_PROVIDERS, null=True)
    model = TextField(null=True)
    max_tokens = IntegerField(null=True)
    temperature = FloatField(null=True)
    base_url = TextField(null=True)
    api_key = TextField(null=True)
    updated_at = TimeField(default_sql=NOW)

    class Meta:
        table_name = "model_settings"


class ChannelCredential(Table):
    """A provider's setting that the workspace has entered. `value` is encrypted; `hint` is its visible end."""

    workspace_id = reference(Workspace)
    name = TextField()
    value = TextField()
    hint = TextField(default_sql="''")
    updated_at = TimeField(default_sql=NOW)

    class Meta:
        table_name = "channel_credentials"
        primary_key = CompositeKey("workspace_id", "name")


class ApiKey(Table):
    """A secret for programs, stored as its SHA-256 with a readable prefix."""

    id = IdField(primary_key=True)
    workspace_id = reference(Workspace)
    name = TextField()
    prefix = TextField()
    secret_hash = BytesField(unique=True)
    scopes = TextListField()
    created_at = TimeField(default_sql=NOW)
    last_used_at = TimeField(null=True)
    revoked_at = TimeField(null=True)
    deployment_owner = BooleanField(default_sql="false")

    class Meta:
        table_name = "api_keys"
        constraints = (
            Check("(scopes <@ ARRAY['trigger', 'track', 'read', 'write', 'admin'])", "api_keys_scopes_check"),
        )
        indexes = (index("api_keys_workspace on api_keys (workspace_id, id)"),)


class SiteKey(Table):
    """A public key of the browser script, valid on the listed origins."""

    id = IdField(primary_key=True)
    workspace_id = reference(Workspace)
    name = TextField()
    key = TextField(unique=True)
    origins = TextListField()
    created_at = TimeField(default_sql=NOW)
    revoked_at = TimeField(null=True)

    class Meta:
        table_name = "site_keys"
        indexes = (index("site_keys_workspace on site_keys (workspace_id, id)"),)


class AuditEntry(Table):
    """A change that a person, a program or the system made: by whom, what, and on which object."""

    id = IdField(primary_key=True)
    workspace_id = reference(Workspace)
    actor_kind = EnumField(AuditActorKind)
    actor_id = IdField(null=True)
    actor_name = TextField()
    action = TextField()
    object_kind = TextField()
    object_id = TextField()
    detail = JsonField(default_sql="'{}'")
    at = TimeField(default_sql=NOW)

    class Meta:
        table_name = "audit"
        indexes = (
            index("audit_workspace on audit (workspace_id, id desc)"),
            index("audit_object on audit (workspace_id, object_kind, object_id, id desc)"),
        )


class Operation(Table):
    """A bulk action of an operator: its filters, how many executions matched, and how many it has moved so far.

    An import of contacts has rows in place of executions, the names of its columns as filters, and counts of people.
    """

    id = IdField(primary_key=True)
    workspace_id = reference(Workspace)
    kind = EnumField(OperationKind)
    filters = JsonField()
    status = EnumField(OperationStatus)
    matched = IntegerField()
    done = IntegerField(default_sql="0")
    conflicts = JsonField(default_sql="'[]'")
    actor_name = TextField()
    created_at = TimeField(default_sql=NOW)
    finished_at = TimeField(null=True)
    version = EnumField(RetryVersion, null=True)
    actor_kind = EnumField(ActorKind, default_sql="'system'")
    actor_id = IdField(null=True)
    conflict_count = IntegerField(default_sql="0")
    progressed_at = TimeField(default_sql=NOW)
    counts = JsonField(default_sql="'{}'")

    class Meta:
        table_name = "operations"
        indexes = (
            index("operations_workspace on operations (workspace_id, id desc)"),
            index("operations_running on operations (progressed_at)", where="status = 'running'"),
        )


class OperationExecution(Table):
    """An execution that a running bulk action has still to move."""

    operation_id = reference(Operation)
    execution_id = IdField()
    workspace_id = reference(Workspace)

    class Meta:
        table_name = "operation_executions"
        primary_key = CompositeKey("operation_id", "execution_id")
        indexes = (index("operation_executions_workspace on operation_executions (workspace_id)"),)


class ContactImportBatch(Table):
    """A part of an import of contacts: its rows until they are written, and the rejected ones of them."""

    operation_id = reference(Operation)
    position = IntegerField()
    workspace_id = reference(Workspace)
    valid_rows = TextField(null=True)
    rejected = TextField(default_sql="'[]'")
    contact_ids = TextListField(default_sql="'{}'")

    class Meta:
        table_name = "contact_import_batches"
        primary_key = CompositeKey("operation_id", "position")
        indexes = (index("contact_import_batches_workspace on contact_import_batches (workspace_id)"),)


class Pause(Table):
    """A pause of one of a workspace's providers or queues. Automations carry their own, `paused_at`."""

    id = IdField(primary_key=True)
    workspace_id = reference(Workspace)
    kind = EnumField(PauseKind)
    name = TextField()
    reason = EnumField(PauseReason)
    message = TextField(default_sql="''")
    credentials_fingerprint = TextField(null=True)
    retry_at = TimeField(null=True)
    created_at = TimeField(default_sql=NOW)
    draining = BooleanField(default_sql="false")
    actor_name = TextField(null=True)

    class Meta:
        table_name = "pauses"
        constraints = (SQL("unique (workspace_id, kind, name)"),)


class LookUpRefusal(Table):
    """A provider that refuses look-ups of a workspace's messages, from the first refusal to the next answer."""

    workspace_id = reference(Workspace)
    provider = TextField()
    message = TextField()
    credentials_fingerprint = TextField()
    refused_at = TimeField(default_sql=NOW)

    class Meta:
        table_name = "look_up_refusals"
        primary_key = CompositeKey("workspace_id", "provider")


class ProviderBreaker(Table):
    """The circuit breaker of a provider in a workspace, from the first time-out to the next answer."""

    workspace_id = reference(Workspace)
    provider = TextField()
    timeouts = IntegerField()
    opened_at = TimeField(null=True)
    probe_at = TimeField(null=True)
    probed_by = IdField(null=True)

    class Meta:
        table_name = "provider_breakers"
        primary_key = CompositeKey("workspace_id", "provider")
        constraints = (
            Check("timeouts > 0", "provider_breakers_timeouts_check"),
            Check("(opened_at is null) = (probe_at is null)", "open_has_a_probe"),
            Check("probed_by is null or opened_at is not null", "only_open_is_probed"),
        )
