"""Reads all contacts of the acting workspace, page by page in the order of their ids, for what runs over everybody."""

from __future__ import annotations

from datetime import datetime

from models.database import Row, fetch_rows


def fetch_page(last_id: str | None, limit: int, silent_between: tuple[datetime, datetime] | None = None) -> list[Row]:
    """The next page; with `silent_between` only those whose last event lies after the first moment and not after the
    second. Who never had an event counts from the day that they were made."""
    return fetch_rows(
        """
        select * from contacts
        where workspace_id = acting_workspace() and deleted_at is null and (%(after)s::uuid is null or id > %(after)s)
            and (%(from)s::timestamptz is null
                or (coalesce(last_event_at, created_at) > %(from)s and coalesce(last_event_at, created_at) <= %(to)s))
        order by id limit %(limit)s
        """,
        {
            "after": last_id,
            "limit": limit,
            "from": silent_between and silent_between[0],
            "to": silent_between and silent_between[1],
        },
    )
