"""Recipients of e-mail by the hash that their links carry: what they chose, and the list of topics.

The links outlive contacts, so nothing here asks for one. An address is kept until it is erased; without it, everything
works by its hash.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

import peewee
from peewee import fn

from models import suppressed_topic, suppression
from models.address_key import load_key
from models.database import acting_as
from models.queries import execute, fetch_first, fetch_values
from models.tables import Automation, EmailRecipient, WorkflowVersion, Workspace
from rules.consent import UNSUBSCRIBED, may_email
from rules.unsubscribe_links import MAX_TOPIC_LENGTH, Recipient, parse_token

#: Why a suppression is lifted from the page.
UNDONE = "Undone by the recipient"
#: Maximum topics on the page of a recipient.
MAX_TOPICS = 100


@dataclass(frozen=True)
class Consent:
    """Why an address gets no e-mail, and the topics that its owner allowed or refused."""

    reasons: list[str]
    topics: dict[str, bool]

    def allows(self, *, transactional: bool = False, topic: str | None = None) -> bool:
        """Whether e-mail of this kind may be sent."""
        return may_email(self.reasons, self.topics, transactional=transactional, topic=topic)


@dataclass(frozen=True)
class Preferences:
    """What a recipient's page shows; `address` is None once it is erased, and `topics` are those that may be chosen."""

    address: str | None
    consent: Consent
    topics: list[str]


class _RecipientRow(TypedDict):
    address: str | None
    topics: dict[str, bool]


# By hand: `suppressed_channels` returns rows, and hashes of erased addresses are looked up beside it.
_LIST_REASONS = """
    select s.reason from suppressed_channels(%(workspace)s, %(contact)s) s where s.channel = 'email'
    union select a.reason from suppressed_addresses a
    where a.workspace_id = %(workspace)s and a.channel = 'email'
        and (a.address_hash = %(hash)s or a.address = %(address)s)
"""


def find(token: str) -> Recipient | None:
    """Return whom a link belongs to, or None if no workspace made it."""
    parsed = parse_token(token)
    if parsed is None:
        return None
    workspace_id = parsed.recipient.workspace_id
    with acting_as(workspace_id):
        # A key is created where there is none, and must not be for a workspace that somebody made up.
        if not fetch_values(Workspace.select(Workspace.id).where(Workspace.id == workspace_id)):
            return None
        key = load_key(workspace_id)
    return parsed.recipient if key and parsed.is_signed_with(key) else None


def load(recipient: Recipient) -> Preferences:
    """Return what the recipient's page shows."""
    with acting_as(recipient.workspace_id):
        row = _fetch(recipient)
        consent = load_consent(recipient, row["address"])
        named = {recipient.topic} if recipient.topic else set[str]()
        topics = sorted({*_list_topics(recipient.workspace_id), *consent.topics, *named})[:MAX_TOPICS]
    return Preferences(row["address"], consent, topics)


def load_consent(recipient: Recipient, address: str | None, contact_id: str | None = None) -> Consent:
    """Return what an address chose, and the contact that has it, inside the caller's transaction."""
    parameters = {
        "workspace": recipient.workspace_id, "contact": contact_id, "hash": recipient.address_hash, "address": address,
    }  # fmt: skip
    return Consent(fetch_values(_LIST_REASONS, parameters), _fetch(recipient)["topics"])


def unsubscribe(recipient: Recipient) -> None:
    """Suppress the address for all e-mail that is not transactional; the topics that it had allowed are refused."""
    with acting_as(recipient.workspace_id):
        row = _fetch(recipient)
        suppression.add_hashed(recipient.workspace_id, "email", recipient.address_hash, row["address"], UNSUBSCRIBED)
        _store_topics(recipient, {})


def resubscribe(recipient: Recipient) -> None:
    """Lift what unsubscribing made, and record that the recipient did. A bounce or a complaint stays."""
    with acting_as(recipient.workspace_id):
        row = _fetch(recipient)
        identity = recipient.address_hash, row["address"]
        if suppression.lift_reason(recipient.workspace_id, "email", identity, UNSUBSCRIBED):
            suppression.record_lift_by_recipient(recipient.workspace_id, None, "email", [UNSUBSCRIBED], UNDONE)


def choose_topics(recipient: Recipient, topics: dict[str, bool]) -> None:
    """Allow and refuse topics; those that are not named stay as they are."""
    with acting_as(recipient.workspace_id):
        _store_topics(recipient, {**_fetch(recipient)["topics"], **topics})


def _fetch(recipient: Recipient) -> _RecipientRow:
    row = EmailRecipient
    query = row.select(row.address, row.topics).where(
        row.workspace_id == recipient.workspace_id, row.address_hash == recipient.address_hash
    )
    stored = fetch_first(_RecipientRow, query) or {"address": None, "topics": {}}
    refused = suppressed_topic.list_topics(recipient.workspace_id, recipient.address_hash)
    allowed = {topic: True for topic, is_allowed in stored["topics"].items() if is_allowed}
    return {"address": stored["address"], "topics": {**allowed, **dict.fromkeys(refused, False)}}


def _store_topics(recipient: Recipient, topics: dict[str, bool]) -> None:
    key = {
        EmailRecipient.workspace_id: recipient.workspace_id,
        EmailRecipient.address_hash: recipient.address_hash,
    }
    execute(
        EmailRecipient.insert({**key, EmailRecipient.topics: topics}).on_conflict(
            conflict_target=tuple(key), update={EmailRecipient.topics: topics}
        )
    )
    suppressed_topic.record_choices(recipient.workspace_id, recipient.address_hash, topics)


def _list_topics(workspace_id: str) -> list[str]:
    """List the topics of the workspace's active automations."""
    topic: Any = fn.jsonb_extract_path_text(WorkflowVersion.definition, "topic")
    query = (
        WorkflowVersion.select(topic)
        .join(Automation, on=Automation.version_id == WorkflowVersion.id)
        .where(Automation.workspace_id == workspace_id, Automation.enabled, Automation.deleted_at.is_null())
        .where(peewee.Expression(topic, "is not", peewee.SQL("null")), fn.length(topic) <= MAX_TOPIC_LENGTH)
        .distinct()
    )
    return fetch_values(query)
