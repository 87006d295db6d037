"""The variables that templates and conditions see: `contact`, `payload`, `steps`, `automation`, `execution`, `now`.

Plain dicts of JSON values, made anew for each execution: a field of the contact that is empty is there and null, a key
of `payload` or `contact.attributes` that is missing is not there (null in a condition, an error in a template).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rules.scope import CONTACT

_CONTACT_COLUMNS = tuple(name for name in CONTACT if name not in ("id", "tags", "attributes"))


def build_contact_facts(row: Mapping[str, Any]) -> dict[str, Any]:
    """The variable `contact` of a contact's row, which names its columns as the variables are named."""
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
    """All variables of a step.

    `contact` is the row or what `contact_facts` made of it; `automation` has `id` and `name`; `execution` has `id`
    and may have `follow_up` (0 before the first). `now` becomes a text as in the API: RFC 3339, UTC, whole seconds.
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
    """The variables of a trigger's condition, before there is an execution."""
    return {
        "contact": build_contact_facts(contact),
        "payload": payload if payload is not None else {},
        "automation": {"id": str(automation["id"]), "name": automation["name"]},
        "now": format_time(now),
    }


def format_time(at: datetime) -> str:
    """An aware moment as the API writes it: `2026-05-04T09:00:00Z`."""
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"
