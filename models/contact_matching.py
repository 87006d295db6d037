"""Matches the contacts of triggers, and creates or updates them.

Contacts match by id; else external id; else email, phone, Instagram id, Facebook id, in that order. Fields replace,
tags are added, attributes are merged, null clears. A batch takes the same three statements as one contact. It runs in
the caller's transaction; matched rows stay locked until it ends, so two triggers cannot overwrite each other's changes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.database import Row, execute, fetch_rows
from models.ids import is_id, new_id

#: In the order of matching.
IDENTIFIERS = ("external_id", "email", "phone", "instagram_id", "facebook_id")
PLAIN_FIELDS = (*IDENTIFIERS, "first_name", "last_name", "username", "timezone")
_COLUMNS = ("id", *PLAIN_FIELDS, "tags", "attributes")


@dataclass(frozen=True)
class ContactRejection:
    """Why a contact did not match: 404 for an unknown id, 409 for an address of another contact."""

    status: int
    path: str
    message: str


@dataclass
class _ContactIndex:
    """The contacts read or created so far, by id and by each identifier."""

    by_id: dict[str, Row] = field(default_factory=dict)
    by_identifier: dict[tuple[str, str], Row] = field(default_factory=dict)

    def add(self, contact: Row) -> None:
        self.by_id[contact["id"]] = contact
        for name in IDENTIFIERS:
            if contact[name]:
                self.by_identifier[name, _normalize(name, contact[name])] = contact


class _ConcurrentInsert(Exception):
    """Another transaction created one of the new contacts first: read again."""


ContactSpecs = Sequence[tuple[str | None, Mapping[str, Any] | None]]


def match_or_create(
    workspace_id: str, specs: ContactSpecs, read_only_indexes: Collection[int] = ()
) -> list[Row | ContactRejection | None]:
    """Return for each (contact id, normalized fields) the contact's resulting row, or its rejection.

    None for a trigger without a contact. Existing contacts at `read_only_indexes` stay unchanged.
    """
    for _ in range(5):
        try:
            return _match_or_create_once(workspace_id, specs, read_only_indexes)
        except _ConcurrentInsert:
            continue
    return [ContactRejection(409, "contact", "this contact is being changed by other requests; try again")] * len(specs)


def _match_or_create_once(
    workspace_id: str, specs: ContactSpecs, read_only_indexes: Collection[int]
) -> list[Row | ContactRejection | None]:
    contacts = _read(specs)
    created: dict[str, Row] = {}
    updated: dict[str, Row] = {}
    results: list[Row | ContactRejection | None] = []
    for index, (contact_id, fields) in enumerate(specs):
        if contact_id is None and not fields:
            results.append(None)
            continue
        existing = _find(contacts, contact_id, fields or {})
        if isinstance(existing, ContactRejection):
            results.append(existing)
            continue
        if existing is not None and index in read_only_indexes:
            results.append(existing)
            continue
        contact = existing or _build_contact()
        conflict = _find_conflict(contacts, contact, fields or {})
        if conflict:
            results.append(conflict)
            continue
        if existing is None:
            created[contact["id"]] = contact
        if _apply(contact, fields or {}) and contact["id"] not in created:
            updated[contact["id"]] = contact
        contacts.add(contact)
        results.append(contact)
    _insert(workspace_id, list(created.values()))
    _update(list(updated.values()))
    return results


def _normalize(name: str, text: str) -> str:
    return text.lower() if name == "email" else text


def _read(specs: ContactSpecs) -> _ContactIndex:
    ids = sorted({contact_id for contact_id, _ in specs if contact_id and is_id(contact_id)})
    texts_by_name: dict[str, list[str]] = {name: [] for name in IDENTIFIERS}
    for _, fields in specs:
        for name in IDENTIFIERS:
            if fields and fields.get(name):
                texts_by_name[name].append(_normalize(name, fields[name]))
    # Plain columns only: under row security no index serves lower(email). E-mail addresses are stored in lower case.
    conditions, parameters = [], []
    if ids:
        conditions.append("id = any(%s::uuid[])")
        parameters.append(ids)
    for name, texts in texts_by_name.items():
        if texts:
            conditions.append(f"{name} = any(%s)")
            parameters.append(texts)
    contacts = _ContactIndex()
    if not conditions:
        return contacts
    # In one order for every process, so that two batches cannot deadlock.
    query = (
        f"select {', '.join(_COLUMNS)} from contacts where workspace_id = acting_workspace() and deleted_at is null "
        f"and ({' or '.join(conditions)}) order by id for update"
    )
    for contact in fetch_rows(query, parameters):
        contacts.add(contact)
    return contacts


def _find(contacts: _ContactIndex, contact_id: str | None, fields: Mapping[str, Any]) -> Row | ContactRejection | None:
    if contact_id is not None:
        return contacts.by_id.get(contact_id) or ContactRejection(404, "contactId", "no such contact in this workspace")
    for name in IDENTIFIERS:
        if not fields.get(name):
            continue
        contact = contacts.by_identifier.get((name, _normalize(name, fields[name])))
        if contact is None:
            continue
        if contact["external_id"] and fields.get("external_id") not in (None, contact["external_id"]):
            return _build_conflict(name, fields[name], contact)
        return contact
    return None


def _find_conflict(contacts: _ContactIndex, contact: Row, fields: Mapping[str, Any]) -> ContactRejection | None:
    """Return a rejection for an identifier that already belongs to another contact."""
    for name in IDENTIFIERS:
        if not fields.get(name):
            continue
        other = contacts.by_identifier.get((name, _normalize(name, fields[name])))
        if other is not None and other["id"] != contact["id"]:
            return _build_conflict(name, fields[name], other)
    return None


def _build_conflict(name: str, text: str, other: Row) -> ContactRejection:
    owner = f"externalId {other['external_id']}" if other["external_id"] else f"id {other['id']}"
    path = "contact." + {"external_id": "externalId", "instagram_id": "instagramId", "facebook_id": "facebookId"}.get(
        name, name
    )
    return ContactRejection(409, path, f"{text} belongs to the contact with {owner}")


def _build_contact() -> Row:
    return {"id": new_id(), **dict.fromkeys(PLAIN_FIELDS), "tags": [], "attributes": {}}


def _apply(contact: Row, fields: Mapping[str, Any]) -> bool:
    """Change the row in place; return whether anything changed."""
    before = {name: contact[name] for name in _COLUMNS}
    for name in PLAIN_FIELDS:
        if name in fields:
            contact[name] = fields[name]
    if "tags" in fields:
        added = fields["tags"] or []
        contact["tags"] = [] if fields["tags"] is None else list(dict.fromkeys([*contact["tags"], *added]))
    if "attributes" in fields:
        merged = {**contact["attributes"], **(fields["attributes"] or {})}
        contact["attributes"] = (
            {} if fields["attributes"] is None else {name: item for name, item in merged.items() if item is not None}
        )
    return before != contact


def _insert(workspace_id: str, contacts: Sequence[Row]) -> None:
    if not contacts:
        return
    columns = ", ".join(_COLUMNS)
    # By identifier, so that two batches that create the same contacts lock in one order.
    inserted = execute(
        f"insert into contacts (workspace_id, last_event_at, {columns}) select %s::uuid, beckon_now(), {columns} "
        f"from {_AS_ROWS} order by {', '.join(IDENTIFIERS)} on conflict do nothing",
        (workspace_id, json.dumps(contacts)),
    )
    if inserted != len(contacts):
        _undo_insert(contacts)
        raise _ConcurrentInsert


def _undo_insert(contacts: Sequence[Row]) -> None:
    execute("delete from contacts where id = any(%s::uuid[])", ([contact["id"] for contact in contacts],))


_AS_ROWS = (
    "json_to_recordset(%s::json) as input(id uuid, "
    + ", ".join(f"{name} text" for name in PLAIN_FIELDS)
    + ", tags text[], attributes jsonb)"
)


def _update(contacts: Sequence[Row]) -> None:
    if not contacts:
        return
    assignments = ", ".join(f"{name} = input.{name}" for name in (*PLAIN_FIELDS, "tags", "attributes"))
    execute(
        f"update contacts c set {assignments}, updated_at = beckon_now() from {_AS_ROWS} where c.id = input.id",
        (json.dumps(contacts),),
    )


def note_event(contact_ids: Sequence[str]) -> None:
    """Record the time of these contacts' last event, to the hour, so that busy contacts cost no write."""
    execute(
        "update contacts set last_event_at = beckon_now() where id = any(%s::uuid[]) "
        "and (last_event_at is null or last_event_at < beckon_now() - interval '1 hour')",
        (list(contact_ids),),
    )
