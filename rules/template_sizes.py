"""How much memory values take in a template, and how much some filters would make, before they run.

Sizes are bytes and rough: they bound the memory of a rendering, and no more. Only filters whose result can be much
larger than what they get, or is made of many small objects, are estimated.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from liquid.undefined import is_undefined

#: A reference to an item, a number, and an object for a short text.
_REFERENCE_BYTES = 8
_NUMBER_BYTES = 32
_TEXT_BYTES = 56
_EMPTY_BYTES = sys.getsizeof("")


def measure(value: object, most: int) -> int:
    """Return about how many bytes a value takes in memory; where that is more than `most`, some number above it."""
    if isinstance(value, str):
        return max(0, sys.getsizeof(value) - _EMPTY_BYTES)
    if is_undefined(value):
        return 0
    if isinstance(value, range):
        return len(value) * (_REFERENCE_BYTES + _NUMBER_BYTES)
    if isinstance(value, Mapping):
        return sum(measure(part, most) + _REFERENCE_BYTES for part in (*value.keys(), *value.values()))
    if isinstance(value, (list, tuple)):
        return _measure_items(value, most)
    return sys.getsizeof(value) if isinstance(value, int) else _NUMBER_BYTES


def _measure_items(items: list[Any] | tuple[Any, ...], most: int) -> int:
    size = 0
    for item in items:
        size += _REFERENCE_BYTES + measure(item, most - size)
        if size > most:
            break
    return size


def _estimate_join(items: object, separator: object = " ") -> int:
    return measure(items, sys.maxsize) + _count_leaves(items) * measure(str(separator), sys.maxsize)


def _count_leaves(items: object) -> int:
    """Count the items of a list and of the lists in it, as `join` flattens them."""
    if isinstance(items, range):
        return len(items)
    return sum(map(_count_leaves, items)) if isinstance(items, (list, tuple)) else 1


def _estimate_replace(value: object, old: object, new: object = "") -> int:
    text, part = str(value), str(old)
    times = text.count(part) if part else len(text) + 1
    return measure(text, sys.maxsize) + times * measure(str(new), sys.maxsize)


def _estimate_split(value: object, separator: object = "") -> int:
    text = str(value)
    if separator == " ":
        return _estimate_words(text)
    parts = text.count(str(separator)) + 1 if separator and str(separator) else len(text)
    return measure(text, sys.maxsize) + parts * (_REFERENCE_BYTES + _TEXT_BYTES)


def _estimate_words(value: object, *_: object) -> int:
    text = str(value)
    words = sum(map(str.isspace, text)) + 1
    return measure(text, sys.maxsize) + words * (_REFERENCE_BYTES + _TEXT_BYTES)


#: The filters that are estimated, by name; each function takes the filter's arguments.
ESTIMATES: dict[str, Callable[..., int]] = {
    "join": _estimate_join,
    "replace": _estimate_replace,
    "split": _estimate_split,
    "truncatewords": _estimate_words,
}
