"""Imports of contacts that a worker writes: the batches of rows that are left, and the rejected rows for a download.

A batch loses its rows in the transaction that writes their contacts (`tasks.operators.contact_import`), so a repeated
one finds nothing. An import is an operation of the kind `import` (`models.operation`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, TypedDict, cast

import peewee
from peewee import fn

from models import operation
from models.audit import AuditActor
from models.database import acting_as
from models.expressions import acting_workspace, any_of, is_any, now
from models.operation import OperationRow, StartedOperation
from models.queries import execute, fetch, fetch_first, fetch_values
from models.tables import ContactImportBatch, Operation
from rules.contact_file import ContactFile, ContactRow, RejectedRow
from rules.json_text import dump_json, dump_storable_json, load_json

#: Days for which the rejected rows of an import can be downloaded.
KEEP_DAYS = 7
_ERASED = "The contact of this row was erased."
_COUNTS = ("created", "updated", "repeated")


class WrittenBatch(NamedTuple):
    """What became of the rows of a batch: their contacts, those that it created, and the rows that were rejected."""

    contact_ids: list[str]
    created: set[str]
    rejected: list[RejectedRow]


class WaitingBatch(TypedDict):
    """A batch that is still to be written: its place in the file, and its rows as JSON."""

    position: int
    valid_rows: str


class _StoredBatch(WaitingBatch):
    operation_id: str


def start(workspace_id: str, contact_file: ContactFile, actor: AuditActor) -> OperationRow:
    """Store the rows of a file, to be written batch by batch; nothing is written yet."""
    rejected = contact_file.list_rejected_rows()
    filters = {"columns": contact_file.header}
    with acting_as(workspace_id):
        operation_id = operation.insert(workspace_id, "import", filters, actor, matched=contact_file.rows)
        own = {"operation_id": operation_id, "workspace_id": workspace_id}
        execute(ContactImportBatch.insert(position=0, rejected=_dump(rejected), **own))
        for position, rows in enumerate(contact_file.batches, 1):
            execute(ContactImportBatch.insert(position=position, valid_rows=rows, **own))
        return operation.record_progress(operation_id, 0, _describe(rejected), contact_file.count_rejected(),
                                         _select_waiting(operation_id), dict.fromkeys(_COUNTS, 0))  # fmt: skip


def find_next(operation_id: str) -> WaitingBatch | None:
    """Return the next batch of an import, in the order of the file; None where all are written."""
    return fetch_first(WaitingBatch, _select_waiting(operation_id).order_by(ContactImportBatch.position).limit(1))


def _select_waiting(operation_id: str) -> peewee.ModelSelect[Any]:
    return ContactImportBatch.select(ContactImportBatch.position, ContactImportBatch.valid_rows).where(
        ContactImportBatch.operation_id == operation_id, ContactImportBatch.valid_rows.is_null(False)
    )


def read_rows(batch: WaitingBatch) -> list[ContactRow]:
    """Return the rows of a batch."""
    return [ContactRow(*row) for row in load_json(batch["valid_rows"])]


def record_batch(started: StartedOperation, position: int, written: WrittenBatch) -> OperationRow:
    """Record a batch in the transaction that wrote its contacts. The import finishes with its last batch."""
    people = set(written.contact_ids)
    new = people - _find_earlier(started["id"], people)
    added = (len(written.created), len(new - written.created), len(written.contact_ids) - len(new))
    counts = {name: started["counts"][name] + number for name, number in zip(_COUNTS, added, strict=True)}
    execute(
        ContactImportBatch.update(
            valid_rows=None, rejected=_dump(written.rejected), contact_ids=written.contact_ids
        ).where(ContactImportBatch.operation_id == started["id"], ContactImportBatch.position == position)
    )
    row = operation.record_progress(
        started["id"], len(written.contact_ids), _describe(written.rejected),
        len({rejected.line for rejected in written.rejected}), _select_waiting(started["id"]), counts,
    )  # fmt: skip
    if row["status"] == "finished":
        _forget_contacts(started["id"])
    return row


def _find_earlier(operation_id: str, contact_ids: set[str]) -> set[str]:
    """Return those of these contacts that an earlier batch of the import names too."""
    ids = fn.unnest(ContactImportBatch.contact_ids).cast("uuid").alias("id")
    earlier = ContactImportBatch.select(ids).where(ContactImportBatch.operation_id == operation_id).alias("earlier")
    return set(fetch_values(peewee.Select([earlier], [earlier.c.id]).where(is_any(earlier.c.id, sorted(contact_ids)))))


def _forget_contacts(operation_id: str) -> None:
    is_own = ContactImportBatch.operation_id == operation_id
    execute(ContactImportBatch.delete().where(is_own, ContactImportBatch.rejected == "[]"))
    execute(ContactImportBatch.update(contact_ids=[]).where(is_own))


def _describe(rejected: Sequence[RejectedRow]) -> list[operation.BulkConflict]:
    return [cast(operation.BulkConflict, row.describe()) for row in rejected]


def _dump(rejected: Sequence[RejectedRow]) -> str:
    return dump_storable_json([tuple(row) for row in rejected])


def list_rejected(workspace_id: str, operation_id: str) -> list[RejectedRow]:
    """Return the rejected rows of an import, by line."""
    is_own = ContactImportBatch.operation_id == operation_id
    with acting_as(workspace_id):
        batches = fetch_values(ContactImportBatch.select(ContactImportBatch.rejected).where(is_own))
    rows = [RejectedRow(*row) for batch in batches for row in load_json(batch)]
    return sorted(rows, key=lambda row: row.line)


def lock_running() -> None:
    """Lock the running imports of the acting workspace: an erasure waits here for the batch that is being written.

    Imports lock their operation before their contacts, so an erasure does too.
    """
    query = Operation.select(Operation.id).where(
        Operation.workspace_id == acting_workspace(), Operation.kind == "import", Operation.status == "running"
    )
    execute(query.order_by(Operation.id).for_update())


def erase_waiting(identifiers: Mapping[str, Collection[str]]) -> int:
    """Remove from imports of the acting workspace the rows that are still to be written and name a contact; return how
    many. They become rejected rows without cells.

    `identifiers` has ids and addresses by field. The caller has locked the running imports.
    """
    removed = 0
    query = ContactImportBatch.select(
        ContactImportBatch.operation_id, ContactImportBatch.position, ContactImportBatch.valid_rows
    ).where(
        ContactImportBatch.workspace_id == acting_workspace(),
        any_of(
            peewee.Value(False),
            *(
                fn.strpos(ContactImportBatch.valid_rows, dump_json(text)) > 0
                for texts in identifiers.values()
                for text in texts
            ),
        ),
    )
    for batch in fetch(_StoredBatch, query.order_by(ContactImportBatch.operation_id, ContactImportBatch.position)):
        removed += _erase_rows(batch, identifiers)
    return removed


def _erase_rows(batch: _StoredBatch, identifiers: Mapping[str, Collection[str]]) -> int:
    rows = read_rows(batch)
    lines = [row.line for row in rows if _names_contact(row.fields, identifiers)]
    if lines:
        kept = [tuple(row) for row in rows if row.line not in lines]
        execute(
            ContactImportBatch.update(valid_rows=dump_json(kept)).where(
                ContactImportBatch.operation_id == batch["operation_id"],
                ContactImportBatch.position == batch["position"],
            )
        )
        problems = [RejectedRow(line, "", _ERASED, []).describe() for line in lines]
        operation.add_conflicts(batch["operation_id"], [cast(operation.BulkConflict, row) for row in problems])
    return len(lines)


def _names_contact(fields: Mapping[str, Any], identifiers: Mapping[str, Collection[str]]) -> bool:
    return any(fields.get(name) in texts for name, texts in identifiers.items())


def erase(pattern: str) -> int:
    """Erase what imports of the acting workspace keep of rejected rows in which the pattern occurs; return how many
    imports that changes."""
    listed = fn.words_of(Operation.conflicts)
    stored = fn.words_of(ContactImportBatch.rejected.cast("jsonb"))
    execute(ContactImportBatch.update(rejected="[]").where(_contains(stored, pattern)))
    return execute(Operation.update(conflicts=[]).where(Operation.kind == "import", _contains(listed, pattern)))


def _contains(text: Any, pattern: str) -> peewee.Expression:
    return peewee.Expression(text, "~", pattern)


def remove_expired() -> int:
    """Remove the rejected rows of imports that ended long ago; return how many batches."""
    ended = Operation.select(Operation.id).where(Operation.finished_at < now() - timedelta(days=KEEP_DAYS))
    return execute(ContactImportBatch.delete().where(ContactImportBatch.operation_id.in_(ended)))
