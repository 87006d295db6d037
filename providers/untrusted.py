"""Reads untrusted JSON: a value of the wrong type is None, never an exception."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

_SECONDS = re.compile(r"[0-9]{1,16}(\.[0-9]{1,9})?")


def get_path(data: Any, *names: str | int) -> Any:
    """Return the value at a path of keys and indexes in decoded JSON, or None if the path does not exist."""
    for name in names:
        if isinstance(name, int):
            data = data[name] if isinstance(data, list) and len(data) > name else None
        else:
            data = data.get(name) if isinstance(data, dict) else None
    return data


def get_text(data: Any, *names: str | int) -> str | None:
    """Return the non-empty string at a path, or None."""
    value = get_path(data, *names)
    return value if isinstance(value, str) and value else None


def get_id(data: Any, *names: str | int) -> str | None:
    """Return the id at a path, a string or an integer, as a string."""
    value = get_path(data, *names)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else get_text(data, *names)


def parse_timestamp(value: Any) -> datetime | None:
    """Parse an aware UTC time from seconds since 1970 (a number or a string) or ISO 8601 with a zone; else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and not _SECONDS.fullmatch(value):
        return _parse_iso(value)
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _parse_iso(text: str) -> datetime | None:
    try:
        parsed = datetime.fromisoformat(text)
        return parsed.astimezone(UTC) if parsed.tzinfo else None
    except (ValueError, OverflowError):
        return None
