"""Operator actions on contacts that end or move their executions, each in one transaction with its audit entry."""

from __future__ import annotations

from collections.abc import Sequence

from models import contact_merge, erasure, execution
from models.audit import AuditActor
from models.contact_merge import MergedContact
from models.erasure import ErasedContact
from models.selection import Selection, select_many, select_of_contacts
from models.tables import Execution
from tasks.operators.counting import count_action


@count_action("erase_contact")
def erase_contact(workspace_id: str, contact_id: str, actor: AuditActor) -> ErasedContact:
    """Erase a contact and cancel its executions in flight. Raises `NotFound`, or `Conflict` as `erasure.erase` does."""
    detail = {"words": "The contact was erased.", "by": actor.name}

    def cancel(contact_ids: Sequence[str]) -> int:
        selection = select_of_contacts(contact_ids)
        cancelled = execution.cancel(selection, "contact_erased", detail)
        # Nobody can be asked about them any more: their messages have no address.
        is_unknown = selection.condition & (Execution.error_class == "unknown_outcome")
        return len(cancelled) + len(execution.discard(Selection(is_unknown), detail))

    return erasure.erase(workspace_id, contact_id, actor, cancel)


@count_action("merge_contacts")
def merge_contacts(workspace_id: str, source_id: str, target_id: str, actor: AuditActor) -> MergedContact:
    """Merge a contact into another. Its executions in flight go on for the other; where both are in flight in an
    automation that a contact enters once at a time, the younger one is cancelled.

    Raises `NotFound` and `Conflict` as `contact_merge.merge` does.
    """
    detail = {"words": "The contact was merged with one that was in this automation already.", "by": actor.name}

    def cancel(execution_ids: Sequence[str]) -> int:
        selection = select_many(execution_ids)
        ended = execution.cancel(selection, "merged", detail)
        return len(ended) + len(execution.discard(selection, detail))

    return contact_merge.merge(workspace_id, source_id, target_id, actor, cancel)
