"""Replaces the template filters of Liquid that would read a clock, or take long for what they get.

All other filters are Liquid's, within the budget of `rules/template_budget`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from liquid import RenderContext
from liquid.builtin.filters import math
from liquid.exceptions import FilterArgumentError
from liquid.filter import liquid_filter, sequence_filter, string_filter, with_context
from liquid.undefined import is_undefined

from rules.json_text import JsonText, dump_json
from rules.schedule import find_zone

#: Maximum characters of the layout of a date.
MAX_LAYOUT_LENGTH = 200


@with_context
@liquid_filter
def date(value: Any, layout: str = "%Y-%m-%d", zone: str | None = None, *, context: RenderContext) -> str:
    """Format a time with strftime, in UTC or in `zone`: `{{ now | date: "%H:%M", contact.timezone }}`.

    `"now"` is the variable `now`. A string that is not a time is returned unchanged, as in Liquid.
    """
    if is_undefined(value):
        return str(value)
    if len(layout) > MAX_LAYOUT_LENGTH:
        raise FilterArgumentError(f"date: the layout has more than {MAX_LAYOUT_LENGTH} characters", token=None)
    if value in ("now", "today"):
        value = context.get(["now"], token=None)
    moment = _parse_time(value)
    if moment is None:
        return "" if value is None else str(value)
    try:
        return moment.astimezone(find_zone(zone) if zone else UTC).strftime(layout)
    except (ValueError, TypeError, OverflowError) as error:
        raise FilterArgumentError(f"date: {error}", token=None) from None


def _parse_time(value: object) -> datetime | None:
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value)
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
    except (ValueError, OverflowError):
        return None
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


@liquid_filter
def as_json(value: object) -> str:
    """Serialize the value as JSON."""
    if is_undefined(value):
        return str(value)
    return JsonText(dump_json(value))


@string_filter
def strip_html(value: str) -> str:
    """Remove tags, comments, and scripts and styles with their contents, in one pass over the text."""
    kept, position = [], 0
    unclosed: set[str] = set()
    while (begin := value.find("<", position)) >= 0:
        kept.append(value[position:begin])
        end = _find_end_of_markup(value, begin, unclosed)
        if end is None:
            kept.append(value[begin:])
            return "".join(kept)
        position = end
    return "".join([*kept, value[position:]])


def _find_end_of_markup(text: str, begin: int, unclosed: set[str]) -> int | None:
    """Return where the markup at `begin` ends; `unclosed` remembers what no later markup has to look for."""
    for opening, closing in (("<!--", "-->"), ("<script", "</script>"), ("<style", "</style>"), ("<", ">")):
        if closing in unclosed or text[begin : begin + len(opening)].lower() != opening:
            continue
        # An ASCII tag name in any case; `lower` of the whole text would move positions.
        match = re.compile(re.escape(closing), re.IGNORECASE | re.ASCII).search(text, begin + len(opening))
        if match:
            return match.end()
        unclosed.add(closing)
    return None


@sequence_filter
def uniq(items: Iterable[Any], key: object = None) -> list[Any]:
    """Return the items without those that occur again, by `key` if one is named."""
    seen: set[str] = set()
    kept = []
    for item in items:
        try:
            identity = dump_json(item if key is None else dict(item).get(key))
        except (TypeError, ValueError) as error:
            raise FilterArgumentError(f"uniq: {error}", token=None) from None
        if identity not in seen:
            seen.add(identity)
            kept.append(item)
    return kept


@liquid_filter
def times(value: Any, other: Any) -> Any:
    """Multiply two numbers."""
    for factor in (value, other):
        if isinstance(factor, int) and factor.bit_length() > 1000:
            raise FilterArgumentError("times: this number is too large", token=None)
    return math.times(value, other)


#: The filters that replace Liquid's own, by name.
FILTERS: dict[str, Callable[..., Any]] = {
    "date": date,
    "json": as_json,
    "strip_html": strip_html,
    "times": times,
    "uniq": uniq,
}
