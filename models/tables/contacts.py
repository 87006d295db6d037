"""Contacts: their channels, what they wrote, and where they must not be messaged."""

from __future__ import annotations

from typing import Literal

import peewee
from peewee import SQL, Check

from models.tables.fields import (
    NOW,
    BooleanField,
    BytesField,
    EnumField,
    IdField,
    IntegerField,
    JsonField,
    SearchField,
    Table,
    TextField,
    TextListField,
    TimeField,
    index,
    reference,
    unique_index,
)
from models.tables.workspaces import Workspace
from rules.channels import CONVERSATION_CHANNELS

ReceivedKind = Literal["message", "story_reply", "story_mention", "comment", "postback", "reaction"]
SuppressionReason = Literal["bounced", "complained", "unsubscribed", "stopped", "blocked", "operator"]


OptOutResolution = Literal["suppress", "dismiss"]
HelpReplyStatus = Literal["pending", "sending", "sent", "failed"]
_HAS_IDENTIFIER = "deleted_at is null and {} is not null"


def _identifier_index(name: str) -> SQL:
    """Return the unique index of an identifier, which serves only look-ups by it (migration 0061)."""
    return unique_index(f"contacts_by_{name} on contacts ({name}, workspace_id)", where=_HAS_IDENTIFIER.format(name))


class Contact(Table):
    """A person that automations may message. An address belongs to one contact of a workspace; deletion is soft."""

    id = IdField(primary_key=True)
    workspace_id = reference(Workspace)
    external_id = TextField(null=True)
    first_name = TextField(null=True)
    last_name = TextField(null=True)
    username = TextField(null=True)
    email = TextField(null=True)
    phone = TextField(null=True)
    facebook_id = TextField(null=True)
    instagram_id = TextField(null=True)
    timezone = TextField(null=True)
    tags = TextListField(default_sql="'{}'")
    attributes = JsonField(default_sql="'{}'")
    last_event_at = TimeField(null=True)
    created_at = TimeField(default_sql=NOW)
    updated_at = TimeField(default_sql=NOW)
    deleted_at = TimeField(null=True)
    #: Invented for tests: in no list, count or search.
    sample = BooleanField(default_sql="false")
    #: When its names and addresses were erased; it is deleted, too.
    erased_at = TimeField(null=True)
    #: The contact that it was merged into; it is deleted, too.
    merged_into = IdField(null=True)
    search = SearchField(
        "search_words(coalesce(first_name, '') || ' ' || coalesce(last_name, '') || ' ' || coalesce(username, '') "
        "|| ' ' || coalesce(email, '') || ' ' || coalesce(phone, '') || ' ' || coalesce(external_id, '') || ' ' "
        "|| coalesce(facebook_id, '') || ' ' || coalesce(instagram_id, ''))"
    )

    class Meta:
        table_name = "contacts"
        indexes = (
            index("contacts_listed on contacts (workspace_id, id desc)", where="deleted_at is null and not sample"),
            index("contacts_samples on contacts (workspace_id, updated_at)", where="sample"),
            index("contacts_merged on contacts (merged_into)", where="merged_into is not null"),
            index("contacts_search on contacts using gin (search)"),
            index("contacts_tags on contacts using gin (tags)", where="deleted_at is null"),
            _identifier_index("email"),
            _identifier_index("external_id"),
            _identifier_index("facebook_id"),
            _identifier_index("instagram_id"),
            _identifier_index("phone"),
            # For the opt-out of a person whose contact was deleted.
            index(
                "contacts_deleted_by_phone on contacts (phone, workspace_id)",
                where="deleted_at is not null and phone is not null",
            ),
        )


class Account(Table):
    """A workspace's account on Facebook or Instagram. `access_token` is encrypted."""

    id = IdField(primary_key=True)
    workspace_id = reference(Workspace)
    channel = EnumField(CONVERSATION_CHANNELS)
    external_id = TextField()
    name = TextField(default_sql="''")
    access_token = TextField(null=True)
    created_at = TimeField(default_sql=NOW)
    #: The name and the other id that the account's own comments bear.
    username = TextField(null=True)
    scoped_id = TextField(null=True)

    class Meta:
        table_name = "accounts"
        constraints = (SQL("unique (channel, external_id)"),)
        indexes = (index("accounts_workspace on accounts (workspace_id, channel, id)"),)


class Conversation(Table):
    """When a contact last wrote on a channel, and to which account: the start of Meta's messaging window."""

    contact_id = reference(Contact)
    channel = TextField()
    workspace_id = reference(Workspace)
    account_id = reference(Account, on_delete="set null", null=True)
    last_received_at = TimeField()

    class Meta:
        table_name = "conversations"
        primary_key = peewee.CompositeKey("contact_id", "channel", "workspace_id")
        indexes = (
            index("conversations_account on conversations (account_id)"),
            index("conversations_workspace on conversations (workspace_id)"),
        )


class ReceivedMessage(Table):
    """A message or reaction from a contact, once per id of the provider."""

    id = IdField(primary_key=True)
    workspace_id = reference(Workspace)
    contact_id = reference(Contact)
    channel = TextField()
    provider_message_id = TextField()
    kind = EnumField(ReceivedKind)
    text = TextField(null=True)
    at = TimeField()
    edited_at = TimeField(null=True)
    deleted_at = TimeField(null=True)
    created_at = TimeField(default_sql=NOW)
    #: Of a text that retention removed: its characters, and its SHA-256.
    text_length = IntegerField(null=True)
    text_hash = BytesField(null=True)

    class Meta:
        table_name = "received_messages"
        constraints = (SQL("unique (workspace_id, channel, provider_message_id)"),)
        indexes = (
            index("received_messages_at on received_messages (at)"),
            index("received_messages_contact on received_messages (contact_id, at desc)"),
            index("received_messages_with_text on received_messages (workspace_id, at)", where="text is not null"),
        )


class ContactTask(Table):
    """A task for the workspace's people, created by a step."""

    id = IdField(primary_key=True)
    workspace_id = reference(Workspace)
    contact_id = reference(Contact, null=True)
    execution_id = IdField()
    step_id = TextField()
    title = TextField()
    assignee = TextField(null=True)
    due_at = TimeField(null=True)
    done_at = TimeField(null=True)
    created_at = TimeField(default_sql=NOW)

    class Meta:
        table_name = "contact_tasks"
        indexes = (
            index("contact_tasks_contact on contact_tasks (contact_id)"),
            index("contact_tasks_workspace on contact_tasks (workspace_id, id desc)"),
        )


class Suppression(Table):
    """A contact must not be messaged on a channel."""

    workspace_id = reference(Workspace)
    contact_id = reference(Contact)
    channel = TextField()
    address = TextField(null=True)
    reason = EnumField(SuppressionReason)
    created_at = TimeField(default_sql=NOW)

    class Meta:
        table_name = "suppressions"
        primary_key = peewee.CompositeKey("workspace_id", "contact_id", "channel")


class SuppressedAddress(Table):
    """An address that must not be messaged, for one reason; of an erased one only the keyed hash is kept."""

    id = IdField(primary_key=True)
    workspace_id = reference(Workspace)
    channel = TextField()
    address = TextField(null=True)
    address_hash = BytesField(null=True)
    reason = EnumField(SuppressionReason)
    created_at = TimeField(default_sql=NOW)

    class Meta:
        table_name = "suppressed_addresses"
        constraints = (
            Check("((address IS NOT NULL) OR (address_hash IS NOT NULL))", "suppressed_addresses_identified"),
        )
        indexes = (
            unique_index(
                "suppressed_addresses_by_address on suppressed_addresses (workspace_id, channel, address, reason)"
            ),
            unique_index("suppressed_addresses_by_hash on suppressed_addresses (workspace_id, address_hash, reason)"),
            index("suppressed_addresses_newest on suppressed_addresses (workspace_id, id desc)"),
            index("suppressed_addresses_search on suppressed_addresses (workspace_id, address text_pattern_ops)"),
        )


class SuppressedTopic(Table):
    """A topic of e-mail that an address does not get, for one reason; the address stands in `EmailRecipient`."""

    id = IdField(primary_key=True)
    workspace_id = reference(Workspace)
    address_hash = BytesField()
    topic = TextField()
    reason = EnumField(SuppressionReason)
    created_at = TimeField(default_sql=NOW)

    class Meta:
        table_name = "suppressed_topics"
        indexes = (
            unique_index("suppressed_topics_by_hash on suppressed_topics (workspace_id, address_hash, topic, reason)"),
            index("suppressed_topics_newest on suppressed_topics (workspace_id, id desc)"),
        )


class PossibleOptOut(Table):
    """A received message that may be an opt-out, until an operator suppresses the contact or dismisses it."""

    id = IdField(primary_key=True)
    workspace_id = reference(Workspace)
    contact_id = reference(Contact)
    channel = TextField()
    received_message_id = reference(ReceivedMessage, on_delete="set null", null=True)
    created_at = TimeField(default_sql=NOW)
    resolved_as = EnumField(OptOutResolution, null=True)
    resolved_at = TimeField(null=True)
    resolved_by = TextField(null=True)

    class Meta:
        table_name = "possible_opt_outs"
        constraints = (Check("((resolved_as IS NULL) = (resolved_at IS NULL))", "possible_opt_outs_resolved"),)
        indexes = (
            unique_index("possible_opt_outs_message on possible_opt_outs (received_message_id)"),
            index("possible_opt_outs_newest on possible_opt_outs (workspace_id, id desc)"),
            index("possible_opt_outs_open on possible_opt_outs (workspace_id, id desc)", where="resolved_at is null"),
            index("possible_opt_outs_contact on possible_opt_outs (contact_id)"),
        )


class HelpReply(Table):
    """Our answer to HELP, sent at most once. The address is removed once it is sent or has failed."""

    id = IdField(primary_key=True)
    workspace_id = reference(Workspace)
    to_address = TextField(null=True)
    address_hash = BytesField(null=True)
    sender = TextField(null=True)
    body = TextField()
    sandbox = BooleanField(default_sql="false")
    status = EnumField(HelpReplyStatus, default_sql="'pending'")
    error = TextField(null=True)
    created_at = TimeField(default_sql=NOW)

    class Meta:
        table_name = "help_replies"
        indexes = (
            index("help_replies_pending on help_replies (created_at)", where="status = 'pending'"),
            index("help_replies_recipient on help_replies (workspace_id, address_hash, created_at)"),
        )


class EmailRecipient(Table):
    """The address behind the hash of links in e-mail, until it is erased, and the topics it allowed or refused."""

    workspace_id = reference(Workspace)
    address_hash = BytesField()
    address = TextField(null=True)
    topics = JsonField(default_sql="'{}'")
    created_at = TimeField(default_sql=NOW)

    class Meta:
        table_name = "email_recipients"
        primary_key = peewee.CompositeKey("workspace_id", "address_hash")


class AddressKey(Table):
    """The key of a workspace's address hashes, encrypted. It is never replaced."""

    workspace_id = reference(Workspace, primary_key=True)
    value = TextField()
    created_at = TimeField(default_sql=NOW)

    class Meta:
        table_name = "address_keys"
