"""Builds the variables of templates and conditions: `contact`, `payload`, `steps`, `automation`, `execution`, `now`.

They are plain dicts of JSON values, built anew for each execution. An empty field of the contact is present and null; a
missing key of `payload` or `contact.attributes` is absent (null in a condition, an error in a template).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rules.scope import CONTACT

_CONTACT_COLUMNS = tuple(name for name in CONTACT if name not in ("id", "tags", "attributes"))


def build_contact_facts(row: Mapping[str, Any]) -> dict[str, Any]:
    """Build the variable `contact` from a contact's row, whose columns have the variables' names."""
    contact: dict[str, Any] = {name: row.get(name) for name in _CONTACT_COLUMNS}
    contact["id"] = str(row["id"])
    contact["tags"] = list(row.get("tags") or ())
    contact["attributes"] = dict(row.get("attributes") or {})
    return contact


def build_facts(
    *,
    contact: Mapping[str, Any],
    payload: object,
    finished: Mapping[str, Mapping[str, object]],
    automation: Mapping[str, Any],
    execution: Mapping[str, Any],
    now: datetime,
) -> dict[str, Any]:
    """Build all variables of a step.

    `contact` is the row or the result of `build_contact_facts`; `automation` has `id` and `name`; `execution` has `id`
    and may have `follow_up` (0 before the first). `now` becomes a string as in the API: RFC 3339, UTC, whole seconds.
    """
    return {
        "contact": build_contact_facts(contact),
        "payload": payload if payload is not None else {},
        "steps": finished,
        "automation": {"id": str(automation["id"]), "name": automation["name"]},
        "execution": {"id": str(execution["id"]), "follow_up": execution.get("follow_up", 0)},
        "now": format_time(now),
    }


def build_trigger_facts(
    *, contact: Mapping[str, Any], payload: object, automation: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """Build the variables of a trigger's condition, before an execution exists."""
    return {
        "contact": build_contact_facts(contact),
        "payload": payload if payload is not None else {},
        "automation": {"id": str(automation["id"]), "name": automation["name"]},
        "now": format_time(now),
    }


def format_time(at: datetime) -> str:
    """Format an aware time as in the API: `2026-05-04T09:00:00Z`."""
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"
