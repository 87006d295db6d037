"""Reads all contacts of the acting workspace in pages, by id, for triggers that apply to every contact."""

from __future__ import annotations

from datetime import datetime

from models.database import Row, fetch_rows


def fetch_page(last_id: str | None, limit: int, silent_between: tuple[datetime, datetime] | None = None) -> list[Row]:
    """Return the next page; with `silent_between`, only contacts whose last event is after the first time and not after
    the second. A contact without events counts from its creation."""
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
