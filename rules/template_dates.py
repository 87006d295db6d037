"""The filter `date` of templates: reads a time as Liquid does, and formats it in a time zone.

`now` is the execution's, so that no template reads a clock. Liquid's `date` has one argument; ours takes a zone too.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from datetime import date as calendar_date
from typing import Any

from dateutil import parser
from liquid import RenderContext
from liquid.exceptions import FilterArgumentError
from liquid.filter import liquid_filter, with_context
from liquid.stringify import to_liquid_string
from liquid.undefined import is_undefined

from rules.schedule import find_zone

#: Maximum characters of the layout of a date, and of a text that is read as a time.
MAX_LAYOUT_LENGTH, MAX_TIME_LENGTH = 200, 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@with_context
@liquid_filter
def date(value: Any, layout: Any, zone: str | None = None, *, context: RenderContext) -> str:
    """Format a time with strftime, in UTC or in `zone`: `{{ now | date: "%H:%M", contact.timezone }}`.

    A value that is not a time is returned unchanged, and so is any with an empty layout, as in Liquid.
    """
    if is_undefined(value):
        return str(value)
    text_layout = to_liquid_string(layout, False)
    if len(text_layout) > MAX_LAYOUT_LENGTH:
        raise FilterArgumentError(f"date: the layout has more than {MAX_LAYOUT_LENGTH} characters", token=None)
    now = context.get(["now"], token=None)
    moment = _read_time(now if value in ("now", "today") else value, now)
    if moment is None or not text_layout:
        return to_liquid_string(value, False)
    try:
        return _format(moment.astimezone(find_zone(zone) if zone else UTC), text_layout)
    except (ValueError, TypeError, OverflowError) as error:
        raise FilterArgumentError(f"date: {error}", token=None) from None


def _format(moment: datetime, layout: str) -> str:
    """Format with strftime; its own `%s` would read the machine's zone."""
    parts = layout.split("%%")
    return "%".join(moment.strftime(part.replace("%s", str(int(moment.timestamp())))) for part in parts)


def _read_time(value: object, now: object) -> datetime | None:
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return _EPOCH + timedelta(seconds=value)
        if isinstance(value, str):
            return _parse_time(value.strip(), now)
    except (ValueError, OverflowError):
        return None
    if isinstance(value, calendar_date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return _to_aware(value) if isinstance(value, datetime) else None


def _parse_time(text: str, now: object) -> datetime | None:
    """Read a text: seconds since 1970, ISO 8601, or what people write; the parts that it lacks are those of today."""
    if not text or len(text) > MAX_TIME_LENGTH:
        return None
    if text.isascii() and text.isdigit():
        return _EPOCH + timedelta(seconds=int(text))
    try:
        return _to_aware(datetime.fromisoformat(text))
    except ValueError:
        return _to_aware(parser.parse(text, default=_find_today(now)))


def _find_today(now: object) -> datetime:
    moment = datetime.fromisoformat(now) if isinstance(now, str) else now if isinstance(now, datetime) else _EPOCH
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _to_aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
