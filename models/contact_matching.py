"""Matches the contacts of triggers, and creates or updates them.

Contacts match by id; else external id; else email, phone, Instagram id, Facebook id, in that order. Fields replace,
tags are added, attributes are merged, null clears. A batch takes the same three statements as one contact. It runs in
the caller's transaction; matched rows stay locked until it ends, so two triggers cannot overwrite each other's changes.

The statements are written by hand because every trigger runs them. They are constants with a fixed number of
parameters, whatever the size of the batch: building one with peewee takes longer than PostgreSQL needs to run it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

import peewee

from models import sample_contact
from models.expressions import acting_workspace, is_any
from models.ids import is_id, new_id
from models.prepared import Call, PreparedStatement
from models.queries import execute, fetch
from models.tables import Contact
from rules.contact_limits import find_excess
from rules.json_text import dump_json

Identifier = Literal["external_id", "email", "phone", "instagram_id", "facebook_id"]
PlainField = Literal[Identifier, "first_name", "last_name", "username", "timezone"]

#: In the order of matching.
IDENTIFIERS: tuple[Identifier, ...] = ("external_id", "email", "phone", "instagram_id", "facebook_id")
PLAIN_FIELDS: tuple[PlainField, ...] = (*IDENTIFIERS, "first_name", "last_name", "username", "timezone")

# Each identifier is looked up by itself through its unique index: with all of them in one condition, a planner without
# statistics reads every contact of the workspace and filters it. OFFSET 0 keeps each look-up apart. Plain columns only:
# under row security no index serves lower(email). E-mail addresses are stored in lower case.
_LOOK_UP = """
        select found.id from unnest(%s::text[]) as wanted (value)
        cross join lateral (
            select c.id from contacts c
            where c.workspace_id = acting_workspace() and c.{name} = wanted.value and c.deleted_at is null offset 0
        ) found
"""
# Locked in one order for every process, so that two batches cannot deadlock.
_READ = """
    select contact.* from (
        select distinct id from (
            select unnest(%s::uuid[]) as id union all {look_ups}
        ) found order by id
    ) matched
    cross join lateral (
        select c.id, c.external_id, c.email, c.phone, c.instagram_id, c.facebook_id, c.first_name, c.last_name,
            c.username, c.timezone, c.tags, c.attributes, c.sample
        from contacts c
        where c.id = matched.id and c.workspace_id = acting_workspace() and c.deleted_at is null
            and (not c.sample or c.id = any(%s::uuid[]) or %s::boolean)
        {lock}
    ) contact
"""
_READ_TYPES = ("uuid[]", *("text[]" for _ in IDENTIFIERS), "uuid[]", "boolean")
_LOOK_UPS = "union all".join(_LOOK_UP.format(name=name) for name in IDENTIFIERS)
READ = PreparedStatement("match_contacts", _READ_TYPES, _READ.format(look_ups=_LOOK_UPS, lock="for update"))
#: The same without a lock, for who only wants to know what would match.
_PREVIEW = _READ.format(look_ups=_LOOK_UPS, lock="")
# By identifier, so that two batches that create the same contacts lock in one order.
_INSERT = PreparedStatement(
    "insert_contacts",
    (
        "uuid",
        "json",
    ),
    """
    insert into contacts (
        workspace_id, last_event_at, id, external_id, email, phone, instagram_id, facebook_id, first_name, last_name,
        username, timezone, tags, attributes, sample
    )
    select %s::uuid, beckon_now(), id, external_id, email, phone, instagram_id, facebook_id, first_name, last_name,
        username, timezone, tags, attributes, coalesce(sample, false)
    from json_to_recordset(%s::json) as input(
        id uuid, external_id text, email text, phone text, instagram_id text, facebook_id text, first_name text,
        last_name text, username text, timezone text, tags text[], attributes jsonb, sample boolean
    )
    order by external_id, email, phone, instagram_id, facebook_id
    on conflict do nothing
""",
)
#: The text of `_CHECK_INSERT` that tells its error from others.
_CREATED_BY_ANOTHER = "contacts that another transaction created first"
_CHECK_INSERT = PreparedStatement(
    "check_inserted_contacts",
    ("bigint", "uuid[]"),
    """
    select case when count(*) = %s then 0
        else ('contacts that another transaction created first: ' || count(*))::integer end
    from contacts where id = any(%s::uuid[])
""",
)
_UPDATE = PreparedStatement(
    "update_contacts",
    ("json",),
    """
    update contacts c set
        external_id = input.external_id, email = input.email, phone = input.phone, instagram_id = input.instagram_id,
        facebook_id = input.facebook_id, first_name = input.first_name, last_name = input.last_name,
        username = input.username, timezone = input.timezone, tags = input.tags, attributes = input.attributes,
        updated_at = beckon_now()
    from json_to_recordset(%s::json) as input(
        id uuid, external_id text, email text, phone text, instagram_id text, facebook_id text, first_name text,
        last_name text, username text, timezone text, tags text[], attributes jsonb
    )
    where c.id = input.id
""",
)
_NOTE_EVENT = PreparedStatement(
    "note_contact_event",
    ("uuid[]",),
    """
    update contacts set last_event_at = beckon_now()
    where id = any(%s::uuid[]) and (last_event_at is null or last_event_at < beckon_now() - interval '1 hour')
""",
)


class ContactRow(TypedDict):
    """The fields of a contact that a trigger may set, with its id."""

    id: str
    external_id: str | None
    email: str | None
    phone: str | None
    instagram_id: str | None
    facebook_id: str | None
    first_name: str | None
    last_name: str | None
    username: str | None
    timezone: str | None
    tags: list[str]
    attributes: dict[str, Any]


class MatchedRow(ContactRow):
    """A contact that a trigger matched or created. A sample contact exists for tests and the demo only."""

    sample: bool


#: The columns of `ContactRow`.
CONTACT_COLUMNS = (
    Contact.id,
    Contact.external_id,
    Contact.first_name,
    Contact.last_name,
    Contact.username,
    Contact.email,
    Contact.phone,
    Contact.facebook_id,
    Contact.instagram_id,
    Contact.timezone,
    Contact.tags,
    Contact.attributes,
)


@dataclass(frozen=True)
class ContactRejection:
    """Why a contact was not taken: 404 for an unknown id, 409 for an address of another contact or for more tags or
    attributes than a contact may have.

    `message` names contacts by id alone, since keys that may only send triggers must not learn names from addresses.
    """

    status: int
    path: str
    message: str
    #: The message with the names of the contacts, for callers that may read them; empty where it names none.
    message_with_names: str = ""
    #: Two contacts that the addresses name, the owner of the refused one first: a merge would make one of them.
    contact_ids: tuple[str, str] | None = None


@dataclass
class _ContactIndex:
    """The contacts read or created so far, by id and by each identifier."""

    by_id: dict[str, MatchedRow] = field(default_factory=dict)
    by_identifier: dict[tuple[str, str], MatchedRow] = field(default_factory=dict)

    def add(self, contact: MatchedRow) -> None:
        self.by_id[contact["id"]] = contact
        for name in IDENTIFIERS:
            if text := contact[name]:
                self.by_identifier[name, _normalize(name, text)] = contact


class ConcurrentInsert(Exception):
    """Another transaction created one of the new contacts first: read again."""


#: What becomes of a contact: its row, its rejection, or None for a trigger without one.
ContactResult = MatchedRow | ContactRejection | None
ContactSpecs = Sequence[tuple[str | None, Mapping[str, Any] | None]]


@dataclass(frozen=True)
class ContactMatches:
    """What becomes of the contacts of triggers: for each its row, its rejection, or None for a trigger without one."""

    results: list[ContactResult] = field(default_factory=list)
    created: dict[str, MatchedRow] = field(default_factory=dict)
    updated: dict[str, MatchedRow] = field(default_factory=dict)

    def build_calls(self, workspace_id: str) -> list[Call]:
        """Return the statements that store the contacts. They fail where another transaction created one first; see
        `reporting_concurrent_inserts`."""
        calls: list[Call] = []
        if self.created:
            calls += [
                _build_insert(workspace_id, self.created),
                (_CHECK_INSERT, (len(self.created), list(self.created))),
            ]
        return [*calls, _build_update(self.updated)] if self.updated else calls


@contextmanager
def reporting_concurrent_inserts() -> Iterator[None]:
    """Raise ConcurrentInsert in place of the error of a transaction whose contacts another one created first."""
    try:
        yield
    except peewee.DataError as error:
        if _CREATED_BY_ANOTHER in str(error):
            raise ConcurrentInsert from error
        raise


def match_or_create(
    workspace_id: str, specs: ContactSpecs, read_only_indexes: Collection[int] = ()
) -> list[ContactResult]:
    """Return for each (contact id, normalized fields) the contact's resulting row, or its rejection.

    None for a trigger without a contact. The id of a merged contact names the one that it was merged into. Existing
    contacts at `read_only_indexes`, of tests and of the demo, stay unchanged. Only these match sample contacts, and
    those that match nobody create one. A sample contact makes way for a real one with its address.
    """
    for _ in range(5):
        matches = match(_read(specs, read_only_indexes), specs, read_only_indexes)
        targets = _find_merge_targets(specs, matches.results)
        if targets:
            specs = [(targets.get(contact_id or "", contact_id), fields) for contact_id, fields in specs]
            continue
        try:
            _insert(workspace_id, matches.created)
        except ConcurrentInsert:
            sample_contact.retire([row for row in matches.created.values() if not row["sample"]])
            continue
        if matches.updated:
            execute(*_build_update(matches.updated))
        return matches.results
    return [
        ContactRejection(
            409,
            "contact",
            "this contact is being changed by other requests; try again",
        )
    ] * len(specs)


def match(rows: Iterable[MatchedRow], specs: ContactSpecs, read_only_indexes: Collection[int] = ()) -> ContactMatches:
    """Match contacts as `match_or_create` does with the rows that `build_read` finds for them or for more, and store
    nothing."""
    real, samples = _ContactIndex(), _ContactIndex()
    for row in rows:
        (samples if row["sample"] else real).add(row)
    return _match(real, samples, specs, read_only_indexes)


class ContactPreview:
    """Matches contacts in several steps as `match_or_create` would, one after another, and stores and locks nothing."""

    def __init__(self) -> None:
        self._contacts = _ContactIndex()
        #: The ids of the contacts that would be created.
        self.created: set[str] = set()

    def match(self, specs: ContactSpecs) -> list[ContactResult]:
        """Return for each contact what would become of it, after all before it."""
        call = build_read(specs)
        for row in fetch(MatchedRow, _PREVIEW, call[1]) if call else []:
            # What an earlier step has changed is not stored.
            if row["id"] not in self._contacts.by_id:
                self._contacts.add(row)
        matches = _match(self._contacts, _ContactIndex(), specs, ())
        self.created |= set(matches.created)
        return matches.results


def _match(
    real: _ContactIndex, samples: _ContactIndex, specs: ContactSpecs, read_only_indexes: Collection[int]
) -> ContactMatches:
    matches = ContactMatches([None] * len(specs))
    # Tests last: a contact that is created beside them is not in the way of a sample contact.
    for index in sorted(range(len(specs)), key=lambda index: index in read_only_indexes):
        contact_id, fields = specs[index]
        if contact_id is None and not fields:
            continue
        contacts, existing = real, _find(real, contact_id, fields or {})
        is_unmatched = existing is None or (contact_id is not None and isinstance(existing, ContactRejection))
        if is_unmatched and index in read_only_indexes:
            contacts, existing = samples, _find(samples, contact_id, fields or {})
        is_unchanged = index in read_only_indexes and (contacts is real or contact_id is not None)
        if isinstance(existing, ContactRejection) or (existing is not None and is_unchanged):
            matches.results[index] = existing if isinstance(existing, ContactRejection) else existing.copy()
            continue
        contact = existing or _build_contact(sample=contacts is samples)
        merged = _merge(contact, fields or {})
        conflict = _find_conflict(contacts, contact, fields or {}, existing) or _find_excess(contact, merged)
        if conflict:
            matches.results[index] = conflict
            continue
        if existing is None:
            matches.created[contact["id"]] = contact
        if merged != contact and contact["id"] not in matches.created:
            matches.updated[contact["id"]] = contact
        contact.update(merged)
        contacts.add(contact)
        # As it is now: a later trigger of the batch may change it again.
        matches.results[index] = contact.copy()
    return matches


def _find_merge_targets(specs: ContactSpecs, results: Sequence[ContactRow | ContactRejection | None]) -> dict[str, str]:
    """Return the contacts into which those were merged that are missing by now, by the id of the missing one."""
    missing = [
        contact_id
        for (contact_id, _), result in zip(specs, results, strict=True)
        if contact_id and is_id(contact_id) and isinstance(result, ContactRejection) and result.status == 404
    ]
    if not missing:
        return {}
    query = Contact.select(Contact.id, Contact.merged_into).where(
        Contact.workspace_id == acting_workspace(), is_any(Contact.id, missing), Contact.merged_into.is_null(False)
    )
    targets = {row["id"]: row["merged_into"] for row in fetch(_MergedRow, query)}
    return {contact_id: targets[contact_id.lower()] for contact_id in missing if contact_id.lower() in targets}


class _MergedRow(TypedDict):
    id: str
    merged_into: str


def _normalize(name: str, text: str) -> str:
    return text.lower() if name == "email" else text


def build_read(specs: ContactSpecs, read_only_indexes: Collection[int] = ()) -> Call | None:
    """Return the statement that reads and locks the contacts which may match, of `MatchedRow`; None if none can."""
    parameters: list[object] = [
        _list_ids([contact_id for contact_id, _ in specs]),
        *(_list_values(specs, name) for name in IDENTIFIERS),
        _list_ids([specs[index][0] for index in read_only_indexes]),
    ]
    if not any(parameters):
        return None
    has_samples = any(specs[index][0] is None for index in read_only_indexes)
    return READ, [*parameters, has_samples]


def _read(specs: ContactSpecs, read_only_indexes: Collection[int]) -> list[MatchedRow]:
    call = build_read(specs, read_only_indexes)
    return [] if call is None else fetch(MatchedRow, *call)


def _list_ids(contact_ids: Sequence[str | None]) -> list[str]:
    return sorted({contact_id for contact_id in contact_ids if contact_id and is_id(contact_id)})


def _list_values(specs: ContactSpecs, name: Identifier) -> list[str]:
    return [_normalize(name, fields[name]) for _, fields in specs if fields and fields.get(name)]


def _find(contacts: _ContactIndex, contact_id: str | None, fields: Mapping[str, Any]) -> ContactResult:
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


def _find_conflict(
    contacts: _ContactIndex, contact: MatchedRow, fields: Mapping[str, Any], matched: MatchedRow | None
) -> ContactRejection | None:
    """Return a rejection for an identifier that already belongs to another contact."""
    for name in IDENTIFIERS:
        if not fields.get(name):
            continue
        other = contacts.by_identifier.get((name, _normalize(name, fields[name])))
        if other is not None and other["id"] != contact["id"]:
            return _build_conflict(name, fields[name], other, matched)
    return None


def _build_conflict(name: str, text: str, other: MatchedRow, matched: MatchedRow | None = None) -> ContactRejection:
    """Name the owner of an identifier, and the contact that an identifier before it matched."""
    path = "contact." + {"external_id": "externalId", "instagram_id": "instagramId", "facebook_id": "facebookId"}.get(
        name, name
    )
    owner = _identify(other)
    if matched is None:
        return ContactRejection(409, path, f"{text} belongs to the contact with {owner}")
    return ContactRejection(
        409,
        path,
        f"{text} belongs to the contact with {owner}, not to the one with {_identify(matched)}",
        f"{text} belongs to {_name(other)}, not to {_name(matched)}",
        (other["id"], matched["id"]),
    )


def _identify(contact: MatchedRow) -> str:
    return f"externalId {contact['external_id']}" if contact["external_id"] else f"id {contact['id']}"


def _name(contact: MatchedRow) -> str:
    name = " ".join(filter(None, (contact["first_name"], contact["last_name"]))) or contact["username"]
    return f"{name or 'the contact'} ({_identify(contact)})"


def _build_contact(*, sample: bool) -> MatchedRow:
    return {
        "id": new_id(),
        "external_id": None,
        "email": None,
        "phone": None,
        "instagram_id": None,
        "facebook_id": None,
        "first_name": None,
        "last_name": None,
        "username": None,
        "timezone": None,
        "tags": [],
        "attributes": {},
        "sample": sample,
    }


def _find_excess(contact: MatchedRow, merged: MatchedRow) -> ContactRejection | None:
    """Return a rejection for a contact that would have more than it may."""
    excess = find_excess(contact, merged)
    return ContactRejection(409, f"contact.{excess.field}", excess.message) if excess else None


def _merge(before: MatchedRow, fields: Mapping[str, Any]) -> MatchedRow:
    """Return the contact with the fields."""
    contact = before.copy()
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
    return contact


def _insert(workspace_id: str, contacts: Mapping[str, MatchedRow]) -> None:
    if not contacts:
        return
    inserted = execute(*_build_insert(workspace_id, contacts))
    if inserted != len(contacts):
        _undo_insert(list(contacts))
        raise ConcurrentInsert


def _build_insert(workspace_id: str, contacts: Mapping[str, MatchedRow]) -> Call:
    return _INSERT, (workspace_id, dump_json(list(contacts.values())))


def _undo_insert(contact_ids: Sequence[str]) -> None:
    execute(Contact.delete().where(is_any(Contact.id, contact_ids)))


def _build_update(contacts: Mapping[str, MatchedRow]) -> Call:
    return _UPDATE, (dump_json(list(contacts.values())),)


def note_event(contact_ids: Sequence[str]) -> None:
    """Record the time of these contacts' last event, to the hour, so that busy contacts cost no write."""
    execute(*build_note(contact_ids))


def build_note(contact_ids: Sequence[str]) -> Call:
    """Return the statement of `note_event` with its parameters, for a message of several statements."""
    return _NOTE_EVENT, (list(contact_ids),)
