"""Search over everything with a name, an address or an id: contacts, automations, executions and messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict

from models.contact import ContactDetailRow
from models.database import acting_as
from models.execution_filters import ExecutionFilters
from models.expressions import acting_workspace
from models.ids import is_id
from models.queries import fetch
from models.reports import automations, contacts, executions
from models.reports.automations import AutomationRow
from models.reports.contacts import ContactFilters
from models.reports.executions import ExecutionItem
from models.search import clean_query
from models.tables import Message
from rules.channels import PROVIDER_NAMES


class SentMessage(TypedDict):
    """A message that a provider knows by the id that was searched for."""

    id: str
    execution_id: str
    channel: str
    provider: str
    to_address: str


@dataclass(frozen=True)
class Matches:
    """What a search found, newest first. An id is found whole; contacts and automations are also found by words."""

    contacts: list[ContactDetailRow] = field(default_factory=list)
    automations: list[AutomationRow] = field(default_factory=list)
    executions: list[ExecutionItem] = field(default_factory=list)
    messages: list[SentMessage] = field(default_factory=list)


def find(workspace_id: str, text: str, limit: int) -> Matches:
    """Return at most `limit` matches of each kind. An execution is found by its own id and by its contact's."""
    query = clean_query(text)
    if not query:
        return Matches()
    with acting_as(workspace_id):
        return Matches(
            contacts.fetch_page(workspace_id, ContactFilters(query), limit=limit),
            automations.fetch_page(workspace_id, limit=limit, q=query),
            executions.fetch_page(workspace_id, ExecutionFilters(q=query), limit) if is_id(query) else [],
            _find_messages(query, limit),
        )


def _find_messages(query: str, limit: int) -> list[SentMessage]:
    # The providers are named because the index of their ids starts with them.
    columns = (Message.id, Message.execution_id, Message.channel, Message.provider, Message.to_address)
    matches = Message.select(*columns).where(
        Message.workspace_id == acting_workspace(),
        Message.provider.in_(PROVIDER_NAMES),
        Message.provider_message_id == query,
    )
    return fetch(SentMessage, matches.order_by(Message.id.desc()).limit(limit))
