"""Events and signed requests of providers."""

from __future__ import annotations

from peewee import SQL

from models.tables.fields import NOW, BooleanField, BytesField, IdField, JsonField, Table, TextField, TimeField, index


class InboundEvent(Table):
    """A provider's event as it came in. It is committed before the provider gets its 200, and processed afterwards."""

    id = IdField(primary_key=True)
    provider = TextField()
    event_id = TextField()
    workspace_id = IdField(null=True)
    body = JsonField()
    received_at = TimeField(default_sql=NOW)
    processed_at = TimeField(null=True)
    outcome = TextField(null=True)
    sandbox = BooleanField(default_sql="false")

    class Meta:
        table_name = "inbound_events"
        constraints = (SQL("unique (provider, event_id, sandbox)"),)
        indexes = (index("inbound_events_waiting on inbound_events (received_at)", where="processed_at is null"),)


class WebhookToken(Table):
    """A signed request that was accepted: only the same body at the same door may come with its token again."""

    token_hash = BytesField(primary_key=True)
    door = TextField()
    body_hash = BytesField()
    received_at = TimeField(default_sql="now()")

    class Meta:
        table_name = "webhook_tokens"
        indexes = (index("webhook_tokens_received on webhook_tokens (received_at)"),)
