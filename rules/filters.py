"""Replaces the template filters of Liquid that would read a clock or grow without bound.

All other filters are Liquid's. These give Liquid's results for small values and raise for values that cost too much.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any

from liquid import Environment, RenderContext
from liquid.builtin.filters import array, math, string
from liquid.exceptions import FilterArgumentError
from liquid.filter import liquid_filter, with_context
from liquid.undefined import is_undefined

from rules.json_text import dump_json
from rules.schedule import find_zone

#: Maximum characters or items of a filter's result.
MAX_SIZE = 1_000_000


def _check_size(size: int) -> None:
    if size > MAX_SIZE:
        raise FilterArgumentError("the result of this filter is too large", token=None)


@with_context
@liquid_filter
def date(value: Any, layout: str = "%Y-%m-%d", zone: str | None = None, *, context: RenderContext) -> str:
    """Format a time with strftime, in UTC or in `zone`: `{{ now | date: "%H:%M", contact.timezone }}`.

    `"now"` is the variable `now`. A string that is not a time is returned unchanged, as in Liquid.
    """
    if is_undefined(value):
        return str(value)
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
    return dump_json(value)


@liquid_filter
def replace(value: Any, old: Any, new: Any = "") -> Any:
    """Replace every `old` in the text with `new`."""
    text, part = str(value), str(old)
    _check_size(len(text) + (text.count(part) if part else len(text) + 1) * len(str(new)))
    return string.replace(value, old, new)


@liquid_filter
def times(value: Any, other: Any) -> Any:
    """Multiply two numbers."""
    for factor in (value, other):
        if isinstance(factor, int) and factor.bit_length() > 1000:
            raise FilterArgumentError("times: this number is too large", token=None)
    return math.times(value, other)


def _bound(filter_: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a list filter so that it rejects a range (`(1..1000000000)`) of more than `MAX_SIZE` items."""

    @wraps(filter_)
    def bounded(value: Any, *arguments: Any, **keywords: Any) -> Any:
        if isinstance(value, range):
            _check_size(len(value))
        return filter_(value, *arguments, **keywords)

    return bounded


def build_filters(environment: Environment) -> dict[str, Callable[..., Any]]:
    """Build the filters that replace the environment's own."""
    list_filters = {
        name: filter_ for name, filter_ in environment.filters.items() if filter_.__module__ == array.__name__
    }
    replacements = {"date": date, "json": as_json, "replace": replace, "times": times}
    return {**{name: _bound(filter_) for name, filter_ in list_filters.items()}, **replacements}
