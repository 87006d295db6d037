"""Finds the contacts that triggers speak of, and makes or changes them: semantics, section 14.

Matched by id; else external id; else email, phone, Instagram id, Facebook id, in that order. Given fields replace,
tags are added, attributes merge, null clears. Many at once cost the same three statements as one. Runs inside the
caller's transaction; found rows stay locked until it ends, so two triggers cannot overwrite each other's changes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.database import Row, changed, rows
from models.ids import is_id, new_id

#: In the order in which they are tried.
IDENTIFIERS = ("external_id", "email", "phone", "instagram_id", "facebook_id")
PLAIN_FIELDS = (*IDENTIFIERS, "first_name", "last_name", "username", "timezone")
_COLUMNS = ("id", *PLAIN_FIELDS, "tags", "attributes")


@dataclass(frozen=True)
class ContactRefused:
    """Why a contact was not matched: 404 for an id that is not there, 409 for an address that is someone else's."""

    status: int
    path: str
    message: str


@dataclass
class _Known:
    """The contacts read so far, by id and by each identifier; those made on the way are in here too."""

    by_id: dict[str, Row] = field(default_factory=dict)
    by_identifier: dict[tuple[str, str], Row] = field(default_factory=dict)

    def add(self, contact: Row) -> None:
        self.by_id[contact["id"]] = contact
        for name in IDENTIFIERS:
            if contact[name]:
                self.by_identifier[name, _comparable(name, contact[name])] = contact


class _Raced(Exception):
    """Another transaction made one of our new contacts first: read again."""


Wanted = Sequence[tuple[str | None, Mapping[str, Any] | None]]


def match(workspace_id: str, wanted: Wanted, untouched: Collection[int] = ()) -> list[Row | ContactRefused | None]:
    """For each (contact id, normalised fields) the contact's row as it stands afterwards, or why not.

    None where a trigger names no contact. A contact that exists is left as it is at the places in `untouched`.
    """
    for _ in range(5):
        try:
            return _match_once(workspace_id, wanted, untouched)
        except _Raced:
            continue
    return [ContactRefused(409, "contact", "this contact is being changed by others, try again")] * len(wanted)


def _match_once(workspace_id: str, wanted: Wanted, untouched: Collection[int]) -> list[Row | ContactRefused | None]:
    known = _read(wanted)
    made: dict[str, Row] = {}
    touched: dict[str, Row] = {}
    results: list[Row | ContactRefused | None] = []
    for place, (contact_id, fields) in enumerate(wanted):
        if contact_id is None and not fields:
            results.append(None)
            continue
        found = _find(known, contact_id, fields or {})
        if isinstance(found, ContactRefused):
            results.append(found)
            continue
        if found is not None and place in untouched:
            results.append(found)
            continue
        contact = found or _blank()
        taken = _taken(known, contact, fields or {})
        if taken:
            results.append(taken)
            continue
        if found is None:
            made[contact["id"]] = contact
        if _apply(contact, fields or {}) and contact["id"] not in made:
            touched[contact["id"]] = contact
        known.add(contact)
        results.append(contact)
    _insert(workspace_id, list(made.values()))
    _update(list(touched.values()))
    return results


def _comparable(name: str, text: str) -> str:
    return text.lower() if name == "email" else text


def _read(wanted: Wanted) -> _Known:
    ids = sorted({contact_id for contact_id, _ in wanted if contact_id and is_id(contact_id)})
    sought: dict[str, list[str]] = {name: [] for name in IDENTIFIERS}
    for _, fields in wanted:
        for name in IDENTIFIERS:
            if fields and fields.get(name):
                sought[name].append(_comparable(name, fields[name]))
    # Plain columns only: row security lets no index answer for lower(email). E-mails are stored in lower case.
    conditions, parameters = [], []
    if ids:
        conditions.append("id = any(%s::uuid[])")
        parameters.append(ids)
    for name, texts in sought.items():
        if texts:
            conditions.append(f"{name} = any(%s)")
            parameters.append(texts)
    known = _Known()
    if not conditions:
        return known
    # In one order for everybody, so that two batches cannot wait for each other.
    query = (
        f"select {', '.join(_COLUMNS)} from contacts where workspace_id = acting_workspace() and deleted_at is null "
        f"and ({' or '.join(conditions)}) order by id for update"
    )
    for contact in rows(query, parameters):
        known.add(contact)
    return known


def _find(known: _Known, contact_id: str | None, fields: Mapping[str, Any]) -> Row | ContactRefused | None:
    if contact_id is not None:
        return known.by_id.get(contact_id) or ContactRefused(404, "contactId", "no such contact in this workspace")
    for name in IDENTIFIERS:
        if not fields.get(name):
            continue
        contact = known.by_identifier.get((name, _comparable(name, fields[name])))
        if contact is None:
            continue
        if contact["external_id"] and fields.get("external_id") not in (None, contact["external_id"]):
            return _belongs(name, fields[name], contact)
        return contact
    return None


def _taken(known: _Known, contact: Row, fields: Mapping[str, Any]) -> ContactRefused | None:
    """An identifier that already belongs to another contact, named."""
    for name in IDENTIFIERS:
        if not fields.get(name):
            continue
        other = known.by_identifier.get((name, _comparable(name, fields[name])))
        if other is not None and other["id"] != contact["id"]:
            return _belongs(name, fields[name], other)
    return None


def _belongs(name: str, text: str, other: Row) -> ContactRefused:
    whose = f"externalId {other['external_id']}" if other["external_id"] else f"id {other['id']}"
    path = "contact." + {"external_id": "externalId", "instagram_id": "instagramId", "facebook_id": "facebookId"}.get(
        name, name
    )
    return ContactRefused(409, path, f"{text} belongs to the contact with {whose}")


def _blank() -> Row:
    return {"id": new_id(), **dict.fromkeys(PLAIN_FIELDS), "tags": [], "attributes": {}}


def _apply(contact: Row, fields: Mapping[str, Any]) -> bool:
    """Change the row in place; whether anything became different."""
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
    # By identifier, so that two batches that make the same contacts meet in one order.
    inserted = changed(
        f"insert into contacts (workspace_id, last_event_at, {columns}) select %s::uuid, beckon_now(), {columns} "
        f"from {_AS_ROWS} order by {', '.join(IDENTIFIERS)} on conflict do nothing",
        (workspace_id, json.dumps(contacts)),
    )
    if inserted != len(contacts):
        _undo_insert(contacts)
        raise _Raced


def _undo_insert(contacts: Sequence[Row]) -> None:
    changed("delete from contacts where id = any(%s::uuid[])", ([contact["id"] for contact in contacts],))


_AS_ROWS = (
    "json_to_recordset(%s::json) as given(id uuid, "
    + ", ".join(f"{name} text" for name in PLAIN_FIELDS)
    + ", tags text[], attributes jsonb)"
)


def _update(contacts: Sequence[Row]) -> None:
    if not contacts:
        return
    assignments = ", ".join(f"{name} = given.{name}" for name in (*PLAIN_FIELDS, "tags", "attributes"))
    changed(
        f"update contacts c set {assignments}, updated_at = beckon_now() from {_AS_ROWS} where c.id = given.id",
        (json.dumps(contacts),),
    )


def note_event(contact_ids: Sequence[str]) -> None:
    """Remember that something happened to these contacts; to the hour, so that busy contacts cost no write."""
    changed(
        "update contacts set last_event_at = beckon_now() where id = any(%s::uuid[]) "
        "and (last_event_at is null or last_event_at < beckon_now() - interval '1 hour')",
        (list(contact_ids),),
    )
