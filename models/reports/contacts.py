"""Contacts for display: a page of the list, and the conversation with one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypedDict

import peewee
from peewee import fn

from models.contact import ContactDetailRow, select_details
from models.database import acting_as
from models.execution_filters import build_lowest_id
from models.expressions import acting_workspace, is_any
from models.ids import is_id
from models.queries import count, fetch
from models.search import clean_query, match_words
from models.tables import Contact, Execution
from rules.channels import CONTACT_CHANNELS
from rules.stages import MessageStatus

# By hand: each direction is limited by its own index before the two are merged.
_FETCH_CONVERSATION = """
    (select 'in' as direction, channel, kind, null as subject, text, text_length, at, null as status,
        edited_at is not null as edited, deleted_at is not null as deleted, null::uuid as execution_id,
        null as automation_name, false as sandbox
    from received_messages where workspace_id = %(workspace)s and contact_id = %(contact)s
    order by at desc limit %(limit)s)
    union all
    (select 'out', m.channel, 'message', m.subject, m.body, m.body_length, m.sent_at, m.status, false, false,
        m.execution_id, a.name, m.sandbox
    from messages m left join automations a on a.id = m.automation_id
    where m.workspace_id = %(workspace)s and m.contact_id = %(contact)s and m.sent_at is not null and not m.test
        and m.channel = any(%(channels)s)
    order by m.sent_at desc limit %(limit)s)
    order by at desc limit %(limit)s
"""


@dataclass(frozen=True)
class ContactFilters:
    """Optional filters, combined with AND. `q` is an id, an external id, an e-mail address or a phone number, or
    the beginnings of words in names and addresses; `suppressed` is a channel, or "any"; `since` is the earliest
    creation time."""

    q: str | None = None
    tag: str | None = None
    suppressed: str | None = None
    since: datetime | None = None


class ConversationRow(TypedDict):
    """A message of a conversation, in either direction. Only a sent one has a subject, a status, the execution that
    sent it with its automation's name, and may have gone to the sandbox; only a received one is edited or deleted."""

    direction: Literal["in", "out"]
    channel: str
    kind: str
    subject: str | None
    text: str | None
    #: The characters of a text that retention removed.
    text_length: int | None
    at: datetime
    edited: bool
    deleted: bool
    status: MessageStatus | None
    execution_id: str | None
    automation_name: str | None
    sandbox: bool


def fetch_page(
    workspace_id: str, filters: ContactFilters, *, limit: int, before: str | None = None
) -> list[ContactDetailRow]:
    """Return at most `limit` contacts, newest first, older than the one with id `before`."""
    ids = peewee.Select(columns=[_find_ids(filters, limit, before)])
    query = select_details().where(Contact.workspace_id == acting_workspace(), Contact.id == fn.any(fn.array(ids)))
    with acting_as(workspace_id):
        return fetch(ContactDetailRow, query.order_by(Contact.id.desc()))


def _find_ids(filters: ContactFilters, limit: int, before: str | None) -> peewee.Function:
    """Build the ids of a page, from the function that may use the indexes of words and tags."""
    q = clean_query(filters.q) or None
    return fn.find_contacts(
        q,
        q if q and is_id(q) else None,
        match_words(q),
        filters.tag,
        filters.suppressed,
        filters.since and build_lowest_id(filters.since),
        before,
        limit,
    )


def list_by_ids(workspace_id: str, contact_ids: Sequence[str]) -> list[ContactDetailRow]:
    """Return the existing ones of these contacts, newest first."""
    if not contact_ids:
        return []
    query = select_details().where(
        Contact.workspace_id == acting_workspace(), is_any(Contact.id, contact_ids), Contact.deleted_at.is_null()
    )
    with acting_as(workspace_id):
        return fetch(ContactDetailRow, query.order_by(Contact.id.desc()))


def fetch_conversation(workspace_id: str, contact_id: str, limit: int) -> list[ConversationRow]:
    """Return the newest messages in both directions with one contact, oldest first, without tests."""
    parameters = {"workspace": workspace_id, "contact": contact_id, "limit": limit, "channels": list(CONTACT_CHANNELS)}
    with acting_as(workspace_id):
        return fetch(ConversationRow, _FETCH_CONVERSATION, parameters)[::-1]


def count_in_flight(workspace_id: str, contact_id: str) -> int:
    """Count the contact's unfinished executions."""
    query = Execution.select().where(
        Execution.workspace_id == workspace_id, Execution.contact_id == contact_id, Execution.finished_at.is_null()
    )
    with acting_as(workspace_id):
        return count(query)
