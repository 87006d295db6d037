"""Imports contacts from a parsed file: what it would do, a small one at once, a large one batch by batch by a worker.

A batch is one transaction, which writes its contacts and records its progress: a killed process loses at most the
batch that it had not committed, and the sweep of operations enqueues the import again. Rows are matched like the
contact of a trigger.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import metrics
from models import audit, contact, contact_import, contact_matching, operation
from models.audit import AuditActor
from models.contact_import import WrittenBatch
from models.contact_matching import ContactPreview, ContactRejection, ContactResult
from models.database import acting_as
from models.operation import OperationRow
from rules.contact_file import ContactFile, ContactRow, RejectedRow
from tasks.operators.bulk import METRIC_ACTIONS
from tasks.runtime.notifications import enqueue_after_commit

#: Rows of a file that is imported within its request; a worker imports a larger one.
MAX_ROWS_AT_ONCE = 1_000
#: PostgreSQL gets statistics of the contacts after an import that created so many.
MIN_ANALYZED = 500


@dataclass
class ImportCounts:
    """What an import does, in people: `repeated` are further rows of people whom an earlier row named."""

    created: int = 0
    updated: int = 0
    repeated: int = 0

    @property
    def people(self) -> int:
        """The people in the file."""
        return self.created + self.updated


def is_large(contact_file: ContactFile) -> bool:
    """Whether a worker imports this file."""
    return contact_file.rows > MAX_ROWS_AT_ONCE


def preview(workspace_id: str, contact_file: ContactFile) -> ImportCounts:
    """Count what an import would do now; rows that it would reject are added to the invalid ones. Nothing changes."""
    matching = ContactPreview()
    contact_ids: list[str] = []
    for rows in contact_file.iter_batches():
        with acting_as(workspace_id):
            results = matching.match([(None, row.fields) for row in rows])
        ids, rejected = _split(rows, results, matching.created)
        contact_ids += ids
        contact_file.add_rejected(rejected)
    return _count(contact_ids, matching.created)


def import_now(workspace_id: str, contact_file: ContactFile, actor: AuditActor) -> ImportCounts:
    """Write the valid rows and count the people; rows that the database rejects are added to the invalid ones."""
    created: set[str] = set()
    contact_ids: list[str] = []
    for rows in contact_file.iter_batches():
        with acting_as(workspace_id):
            written = _write(workspace_id, rows)
        created |= written.created
        contact_ids += written.contact_ids
        contact_file.add_rejected(written.rejected)
    counts = _count(contact_ids, created)
    _analyze(counts.created)
    detail = {**vars(counts), "rejected": contact_file.count_rejected()}
    audit.record(workspace_id, actor, "contacts.imported", "contact", "csv", detail)
    return counts


def start(workspace_id: str, contact_file: ContactFile, actor: AuditActor) -> OperationRow:
    """Store a large file for a worker, and return the operation that shows its progress."""
    with acting_as(workspace_id):
        row = contact_import.start(workspace_id, contact_file, actor)
        if row["status"] == "finished":
            _record_end(workspace_id, actor, row)
        else:
            enqueue_after_commit("tracking", "run_operation", [row["id"]])
    return row


def run_next_batch(workspace_id: str, operation_id: str) -> bool:
    """Write the next batch of an import; return whether another one is left for this process."""
    with acting_as(workspace_id):
        started = operation.lock_running(operation_id)
        batch = contact_import.find_next(operation_id) if started else None
        if started is None or batch is None:
            return False
        written = _write(workspace_id, contact_import.read_rows(batch))
        row = contact_import.record_batch(started, batch["position"], written)
        if row["status"] == "finished":
            actor = AuditActor(started["actor_kind"], started["actor_id"], started["actor_name"])
            _record_end(workspace_id, actor, row)
    if row["status"] == "finished":
        _analyze(row["counts"]["created"])
    return row["status"] == "running"


def _record_end(workspace_id: str, actor: AuditActor, row: OperationRow) -> None:
    detail = {**row["counts"], "rejected": row["conflict_count"]}
    audit.record(workspace_id, actor, "contacts.imported", "operation", row["id"], detail)
    metrics.operator_actions_total.labels(action=METRIC_ACTIONS["import"], result="done").inc()


def _write(workspace_id: str, rows: Sequence[ContactRow]) -> WrittenBatch:
    results = contact_matching.match_or_create(workspace_id, [(None, row.fields) for row in rows])
    ids, rejected = _split(rows, results)
    return WrittenBatch(ids, contact.find_newly_created(ids), rejected)


def _split(
    rows: Sequence[ContactRow], results: Sequence[ContactResult], unsaved: Collection[str] = ()
) -> tuple[list[str], list[RejectedRow]]:
    """Return the contacts of the rows, and the rows that have none with the reasons. Of `unsaved` contacts none can be
    merged."""
    ids: list[str] = []
    rejected: list[RejectedRow] = []
    for row, result in zip(rows, results, strict=True):
        if isinstance(result, ContactRejection):
            rejected.append(_reject(row, result, unsaved))
        elif result is not None:
            ids.append(result["id"])
    return ids, rejected


def _reject(row: ContactRow, rejection: ContactRejection, unsaved: Collection[str]) -> RejectedRow:
    path = rejection.path.removeprefix("contact").lstrip(".")
    merge = None
    if rejection.contact_ids and not any(contact_id in unsaved for contact_id in rejection.contact_ids):
        merge = dict(zip(("contactId", "into"), rejection.contact_ids, strict=True))
    return RejectedRow(row.line, path, rejection.message_with_names or rejection.message, row.cells, merge)


def _count(contact_ids: Sequence[str], created: set[str]) -> ImportCounts:
    people = set(contact_ids)
    return ImportCounts(len(created & people), len(people - created), len(contact_ids) - len(people))


def _analyze(created: int) -> None:
    if created >= MIN_ANALYZED:
        contact.analyze()
