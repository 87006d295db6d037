"""Reads what a forecast of an execution needs, and writes nothing: contact, suppressions, and the counts of the day."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, TypedDict

from models.database import acting_as
from models.engine.limits import ALL_CONTACTS
from models.queries import fetch, fetch_first
from rules.scope import CONTACT


class ForecastFacts(TypedDict):
    """The workspace's clock, and the contact with its suppressed channels; null without one."""

    now: datetime
    timezone: str
    demo: bool
    contact: dict[str, Any] | None
    suppressed: list[str]


class _Count(TypedDict):
    contact_id: str
    count: int


_FACTS = """
select beckon_now() as now, w.timezone, w.demo,
    (select jsonb_build_object({contact}) from contacts ct
        where ct.id = %(contact)s and ct.workspace_id = w.id and ct.deleted_at is null) as contact,
    array(select s.channel from suppressed_channels(w.id, %(contact)s) s) as suppressed
from workspaces w where w.id = %(workspace)s
""".format(contact=", ".join(map("'{0}', ct.{0}".format, CONTACT)))
_COUNTS = """
select contact_id, count from limit_counts
where automation_id = %(automation)s and contact_id = any(%(holders)s::uuid[]) and day = %(day)s
"""


def fetch_facts(workspace_id: str, contact_id: str | None) -> ForecastFacts:
    """Return the facts as they are now."""
    with acting_as(workspace_id):
        row = fetch_first(ForecastFacts, _FACTS, {"workspace": workspace_id, "contact": contact_id})
    assert row is not None
    return row


def count_reserved(workspace_id: str, automation_id: str, contact_id: str | None, day: date) -> tuple[int, int]:
    """Return the day's rounds of the automation, and those for this contact, that count towards the daily limits."""
    holders = [ALL_CONTACTS, *([contact_id] if contact_id else [])]
    with acting_as(workspace_id):
        rows = fetch(_Count, _COUNTS, {"automation": automation_id, "holders": holders, "day": day})
    counts = {str(row["contact_id"]): row["count"] for row in rows}
    return counts.get(ALL_CONTACTS, 0), counts.get(contact_id or "", 0)
