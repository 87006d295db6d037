"""Contacts for display: a page of the list, and the conversation with one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from models.contact import COLUMNS
from models.database import Row, acting_as, fetch_rows
from models.ids import is_id
from models.reports.filters import build_lowest_id
from models.reports.search import build_prefix_query


@dataclass(frozen=True)
class ContactFilters:
    """Optional filters, combined with AND. `q` is an id, an external id, an e-mail address or a phone number, or
    prefixes of words in names and addresses; `suppressed` is a channel, or "any"; `since` is the earliest creation
    time."""

    q: str | None = None
    tag: str | None = None
    suppressed: str | None = None
    since: datetime | None = None


def fetch_page(workspace_id: str, filters: ContactFilters, *, limit: int, before: str | None = None) -> list[Row]:
    """Return at most `limit` contacts, newest first, older than the one with id `before`."""
    q = (filters.q or "").strip() or None
    parameters = {
        "q": q,
        "own": q if q and is_id(q) else None,
        "words": q and build_prefix_query(q),
        "tag": filters.tag,
        "channel": filters.suppressed,
        "lowest": filters.since and build_lowest_id(filters.since),
        "before": before,
        "limit": limit,
    }
    with acting_as(workspace_id):
        return fetch_rows(
            f"select {COLUMNS} from contacts c where c.workspace_id = acting_workspace() and c.id = any(array("
            "select find_contacts(%(q)s, %(own)s::uuid, to_tsquery('simple', %(words)s), %(tag)s, %(channel)s, "
            "%(lowest)s::uuid, %(before)s::uuid, %(limit)s))) order by c.id desc",
            parameters,
        )


def list_by_ids(workspace_id: str, contact_ids: Sequence[str]) -> list[Row]:
    """Return the existing ones of these contacts, newest first."""
    if not contact_ids:
        return []
    with acting_as(workspace_id):
        return fetch_rows(
            f"select {COLUMNS} from contacts c where c.workspace_id = acting_workspace() and c.id = any(%s::uuid[]) "
            "and c.deleted_at is null order by c.id desc",
            (list(contact_ids),),
        )


def fetch_conversation(workspace_id: str, contact_id: str, limit: int) -> list[Row]:
    """Return the newest messages in both directions with one contact, oldest first, without tests: `direction` (in,
    out), channel, kind, subject, text, at, status, `edited` and `deleted`; for sent ones the execution, its
    automation's name, and whether it went to the sandbox."""
    with acting_as(workspace_id):
        rows = fetch_rows(
            """
            (select 'in' as direction, channel, kind, null as subject, text, at, null as status,
                edited_at is not null as edited, deleted_at is not null as deleted, null::uuid as execution_id,
                null as automation_name, false as sandbox
            from received_messages where workspace_id = %(workspace)s and contact_id = %(contact)s
            order by at desc limit %(limit)s)
            union all
            (select 'out', m.channel, 'message', m.subject, m.body, m.sent_at, m.status, false, false, m.execution_id,
                a.name, m.sandbox
            from messages m left join automations a on a.id = m.automation_id
            where m.workspace_id = %(workspace)s and m.contact_id = %(contact)s and m.sent_at is not null and not m.test
                and m.channel not in ('slack', 'discord', 'webhook')
            order by m.sent_at desc limit %(limit)s)
            order by at desc limit %(limit)s
            """,
            {"workspace": workspace_id, "contact": contact_id, "limit": limit},
        )
    return rows[::-1]


def count_in_flight(workspace_id: str, contact_id: str) -> int:
    """Count the contact's unfinished executions."""
    with acting_as(workspace_id):
        return int(
            fetch_rows(
                "select count(*) count from executions where workspace_id = %s and contact_id = %s "
                "and finished_at is null",
                (workspace_id, contact_id),
            )[0]["count"]
        )
