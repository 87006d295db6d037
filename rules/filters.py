"""Replaces the library's filters that would read a clock, take long for what they get, or differ from Liquid's.

All other filters are Liquid's, within the budget of `rules/template_budget`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from liquid.builtin.filters import math
from liquid.exceptions import FilterArgumentError
from liquid.filter import liquid_filter, math_filter, num_arg, sequence_filter, string_filter
from liquid.stringify import to_liquid_string
from liquid.undefined import is_undefined

from rules.json_text import JsonText, dump_json
from rules.template_dates import date

#: More decimals than a floating-point number has.
_MAX_PLACES = 20


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


@math_filter
def round_half_up(value: Any, digits: object = None) -> int | float:
    """Round a number to `digits` decimals, half away from zero."""
    places = _read_places(digits)
    if places < 0:
        return 0
    if isinstance(value, int):
        return value
    exponent = Decimal(1).scaleb(-min(places, _MAX_PLACES))
    rounded = Decimal(str(value)).quantize(exponent, ROUND_HALF_UP)
    return float(rounded) if places else int(rounded)


def _read_places(digits: object) -> int:
    if digits is None or is_undefined(digits):
        return 0
    try:
        return int(num_arg(digits))
    except FilterArgumentError:
        return 0


@sequence_filter
def sort(items: Iterable[Any], key: object = None) -> list[Any]:
    """Return the items in ascending order, by `key` if one is named; those without a value are last."""
    name = None if key is None or is_undefined(key) else str(key)
    keyed = [(_get_value(item, name), item) for item in items]
    present = [pair for pair in keyed if pair[0] is not None]
    try:
        ordered = sorted(present, key=lambda pair: pair[0])
    except TypeError:
        raise FilterArgumentError("sort: the values are not comparable", token=None) from None
    return [item for _, item in (*ordered, *(pair for pair in keyed if pair[0] is None))]


@sequence_filter
def join(items: Iterable[Any], separator: object = " ") -> str:
    """Return the items as one text; nil is empty, and a boolean is in lower case."""
    return to_liquid_string(separator, False).join(to_liquid_string(item, False) for item in items)


def _get_value(item: Any, key: str | None) -> Any:
    if key is None:
        return item
    return item.get(key) if isinstance(item, Mapping) else None


#: The filters that replace Liquid's own, by name.
FILTERS: dict[str, Callable[..., Any]] = {
    "date": date,
    "join": join,
    "json": as_json,
    "round": round_half_up,
    "sort": sort,
    "strip_html": strip_html,
    "times": times,
    "uniq": uniq,
}
