"""Reading what others sent without trusting its shape: a wrong one is None, never an exception."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

_SECONDS = re.compile(r"[0-9]{1,16}(\.[0-9]{1,9})?")


def at_path(found: Any, *names: str | int) -> Any:
    """What stands at a path of keys and positions in decoded JSON, or None where the path breaks off."""
    for name in names:
        if isinstance(name, int):
            found = found[name] if isinstance(found, list) and len(found) > name else None
        else:
            found = found.get(name) if isinstance(found, dict) else None
    return found


def text_at(found: Any, *names: str | int) -> str | None:
    """The non-empty text at a path, or None."""
    value = at_path(found, *names)
    return value if isinstance(value, str) and value else None


def id_at(found: Any, *names: str | int) -> str | None:
    """The id at a path: a text, or a whole number that became one on the way."""
    value = at_path(found, *names)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else text_at(found, *names)


def moment(value: Any) -> datetime | None:
    """An aware UTC time from seconds since 1970 (a number or its plain text) or from ISO 8601 with a zone, or None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and not _SECONDS.fullmatch(value):
        return _iso(value)
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _iso(text: str) -> datetime | None:
    try:
        read = datetime.fromisoformat(text)
        return read.astimezone(UTC) if read.tzinfo else None
    except (ValueError, OverflowError):
        return None
