"""Everything that is kept of one contact, for its export: section by section, in batches, with the names of the API.

Ids of the workspace's own work (leases, queues, fences) are left out. Rows are read in the order of their keys, so a
contact with a million messages takes no more memory than one with ten.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import peewee
from peewee import fn

import clock
from models import suppression
from models.address_key import hash_addresses
from models.database import acting_as
from models.expressions import any_of, is_any
from models.queries import fetch_values
from models.tables import (
    AnalyticsEvent,
    AuditEntry,
    AutomationRun,
    Contact,
    ContactTask,
    Conversation,
    EmailRecipient,
    Execution,
    HelpReply,
    Message,
    MessageLink,
    PossibleOptOut,
    ReceivedMessage,
    StageHistory,
    Step,
    SuppressedAddress,
    SuppressedTopic,
    Suppression,
    Table,
    Trigger,
    WorkflowExecution,
)
from models.tables.fields import BytesField, SearchField, TimeField
from rules.channels import ADDRESS_FIELDS
from rules.facts import format_time
from rules.json_text import dump_json

#: Rows that are read at once.
BATCH_SIZE = 200
_INTERNAL = frozenset({
    "workspace_id", "search", "queue", "rung_at", "lease_owner", "lease_until", "fence", "deliveries", "run_due_at",
    "site_key_id", "address_hash", "body_hash",
})  # fmt: skip

ExportRow = dict[str, Any]


def find(workspace_id: str, contact_id: str) -> ExportRow | None:
    """Return a contact, deleted or not; None if there is none, or if it is erased."""
    own = (Contact.workspace_id == workspace_id) & (Contact.id == contact_id) & Contact.erased_at.is_null()
    with acting_as(workspace_id):
        rows = _fetch(Contact, own)
        if not rows:
            return None
        suppressed = suppression.list_for_contact(workspace_id, contact_id)
    return {**rows[0], "suppressed": [{"channel": row["channel"], "reason": row["reason"]} for row in suppressed]}


def write_json(workspace_id: str, contact: ExportRow) -> Iterator[str]:
    """Yield the export of a contact that `find` returned, as the pieces of one JSON object."""
    head = {"success": True, "exportedAt": format_time(clock.now()), "contact": contact}
    yield dump_json(head).removesuffix("}")
    for section in _list_sections(workspace_id, contact):
        yield f',"{section.name}":['
        separator = ""
        for rows in _iterate_batches(workspace_id, section):
            yield separator + dump_json(rows)[1:-1]
            separator = ","
        yield "]"
    yield "}"


def _iterate_batches(workspace_id: str, section: _Section) -> Iterator[list[ExportRow]]:
    after = None
    while True:
        with acting_as(workspace_id):
            rows = section.fetch(after)
        if rows:
            yield rows
        if len(rows) < BATCH_SIZE or section.key is None:
            return
        after = rows[-1][_to_api_name(section.key)]


@dataclass(frozen=True)
class _Section:
    """Rows of one table; those of `children` stand in each row under their name, by the column that names the row."""

    name: str
    table: type[Table]
    condition: Any
    #: The unique column by which batches follow each other; None for rows that are few.
    key: str | None = "id"
    children: Sequence[tuple[str, type[Table], str]] = ()

    def fetch(self, after: str | None) -> list[ExportRow]:
        """Return the rows after the one with this key."""
        condition = self.condition
        if self.key is not None and after is not None:
            condition = condition & (getattr(self.table, self.key) > after)
        rows = _fetch(self.table, condition, self.key, BATCH_SIZE if self.key else None)
        for name, table, column in self.children:
            _add_children(rows, name, table, column)
        return rows


def _add_children(rows: Sequence[ExportRow], name: str, table: type[Table], column: str) -> None:
    if not rows:
        return
    parent_name = _to_api_name(column)
    children = _fetch(table, is_any(getattr(table, column), [row["id"] for row in rows]))
    for row in rows:
        row[name] = [
            {key: value for key, value in child.items() if key != parent_name}
            for child in children
            if child[parent_name] == row["id"]
        ]


def _fetch(table: type[Table], condition: Any, key: str | None = None, limit: int | None = None) -> list[ExportRow]:
    fields = [field for field in table._meta.sorted_fields if field.column_name not in _INTERNAL]
    fields = [field for field in fields if not isinstance(field, SearchField | BytesField)]
    pairs = ((_to_api_name(field.column_name), field) for field in fields)
    query = table.select(fn.jsonb_build_object(*chain.from_iterable(pairs))).where(condition)
    if key is not None:
        query = query.order_by(getattr(table, key)).limit(limit)
    times = {_to_api_name(field.column_name) for field in fields if isinstance(field, TimeField)}
    rows: list[ExportRow] = fetch_values(query)
    return [{name: _format(value) if name in times else value for name, value in row.items()} for row in rows]


def _format(moment: str | None) -> str | None:
    """Return a time of PostgreSQL's JSON as the API has it."""
    return moment and moment.replace("+00:00", "Z")


def _to_api_name(column: str) -> str:
    head, *rest = column.split("_")
    return head + "".join(word.title() for word in rest)


def _list_sections(workspace_id: str, contact: ExportRow) -> list[_Section]:
    contact_id = contact["id"]

    def own(table: Any) -> Any:
        return (table.workspace_id == workspace_id) & (table.contact_id == contact_id)

    is_merged = (Contact.workspace_id == workspace_id) & (Contact.merged_into == contact_id)
    with acting_as(workspace_id):
        people = [contact, *_fetch(Contact, is_merged)]
    addresses = _list_addresses(people)
    emails = [address for channel, address in addresses if channel == "email"]
    users = [person[name] for person in people for name in ("id", "externalId") if person[name]]
    users += [address for _, address in addresses]
    return [
        _Section("mergedContacts", Contact, is_merged),
        _Section("suppressions", Suppression, own(Suppression), None),
        _Section("suppressedAddresses", SuppressedAddress, _match_addresses(workspace_id, addresses), None),
        _Section("suppressedTopics", SuppressedTopic, _match_hashes(SuppressedTopic, workspace_id, "email", addresses)),
        _Section(
            "emailTopics", EmailRecipient,
            (EmailRecipient.workspace_id == workspace_id) & EmailRecipient.address.in_(emails), None,
        ),
        _Section("conversations", Conversation, own(Conversation), None),
        _Section("receivedMessages", ReceivedMessage, own(ReceivedMessage)),
        _Section("possibleOptOuts", PossibleOptOut, own(PossibleOptOut)),
        _Section("helpReplies", HelpReply, _match_hashes(HelpReply, workspace_id, "sms", addresses)),
        _Section("messages", Message, own(Message), children=[("links", MessageLink, "message_id")]),
        _Section(
            "executions", Execution, own(Execution),
            children=[("steps", Step, "execution_id"), ("stages", StageHistory, "execution_id")],
        ),
        _Section("triggers", Trigger, own(Trigger)),
        _Section("runs", AutomationRun, own(AutomationRun)),
        _Section("tasks", ContactTask, own(ContactTask)),
        _Section(
            "trackedExecutions", WorkflowExecution,
            (WorkflowExecution.workspace_id == workspace_id) & WorkflowExecution.user_id.in_(users),
            children=[("actions", AnalyticsEvent, "workflow_execution_id")],
        ),
        _Section(
            "auditEntries", AuditEntry,
            (AuditEntry.workspace_id == workspace_id)
            & (AuditEntry.object_kind == "contact")
            # What the export itself adds.
            & (AuditEntry.action != "contact.exported")
            & (AuditEntry.object_id == contact_id),
        ),
    ]  # fmt: skip


def _list_addresses(people: Sequence[ExportRow]) -> list[tuple[str, str]]:
    """Return the channel and text of every address of these contacts."""
    fields = [(channel, _to_api_name(field)) for channel, field in ADDRESS_FIELDS.items()]
    return [(channel, person[name]) for person in people for channel, name in fields if person[name]]


def _match_addresses(workspace_id: str, addresses: Sequence[tuple[str, str]]) -> Any:
    row = SuppressedAddress
    matches = ((row.channel == channel) & (row.address == address) for channel, address in addresses)
    return (row.workspace_id == workspace_id) & any_of(peewee.Value(False), *matches)


def _match_hashes(table: Any, workspace_id: str, channel: str, addresses: Sequence[tuple[str, str]]) -> Any:
    """Build the condition of rows that name an address by its hash alone."""
    own = [{channel: address} for name, address in addresses if name == channel]
    hashes = [value for address in own for value in hash_addresses(workspace_id, address).values()]
    return (table.workspace_id == workspace_id) & table.address_hash.in_(hashes)
