"""JSON in both directions, for every part of the product; no other module chooses a library.

orjson reads and writes: a tenth of a worker's time went into the standard library's json. That one stays, here, for
what orjson refuses (a lone surrogate, a number of more than 64 bits, NaN) and for texts that people read. Outside of
this module it is imported only for its hooks and for hashes that must not change, each with a comment.

PostgreSQL stores neither NUL nor lone surrogates. The API rejects producers' requests that contain them; a provider's
response after a message was sent must be recorded in any case, so `dump_storable_json` removes them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, time
from typing import Any

import orjson

#: Types that orjson would write itself, although a caller's `encode` writes them in another way.
_LEAVE_TO_ENCODE = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
#: What may stand for NUL or half a character, and numbers that are no JSON, which only the standard library writes.
_UNSTORABLE = (r"\u0000", r"\ud", "NaN", "Infinity")
#: The same in JSON of other programs, which may write upper-case digits.
_UNSTORABLE_BYTES = tuple(mark.encode() for mark in (*_UNSTORABLE, r"\uD"))
#: A string, or an unfinished one up to the end; possessive, so that it is matched in one pass.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)


class JsonText(str):
    """A text that is JSON already, which another JSON may contain as it is."""

    __slots__ = ()


def dump_json(value: Any, encode: Callable[[Any], Any] | None = None) -> str:
    """Return `value` as JSON without spaces.

    `encode` returns a JSON value for each value of another type, and raises TypeError for one that it does not know.
    Without it, datetimes become RFC 3339 strings, and any other value its text.
    """
    options = orjson.OPT_NON_STR_KEYS | (_LEAVE_TO_ENCODE if encode else 0)
    try:
        return orjson.dumps(value, default=encode or _encode, option=options).decode()
    except TypeError:
        return json.dumps(value, default=encode or _encode, separators=(",", ":"))


def dump_storable_json(value: Any) -> str:
    """Return `value` as `dump_json` does, without the characters and numbers that PostgreSQL cannot store."""
    text = dump_json(value)
    return dump_json(clean_json(value)) if any(mark in text for mark in _UNSTORABLE) else text


def load_json(text: str | bytes) -> Any:
    """Parse JSON. Raises ValueError for anything else, and for a nesting that is too deep."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None


def dump_exact_json(value: Any) -> bytes:
    """Return a JSON value so that `load_exact_json` returns it unchanged, also a lone surrogate or a large integer."""
    try:
        return b"o" + orjson.dumps(value)
    except TypeError:
        return b"s" + json.dumps(value, separators=(",", ":")).encode()


def load_exact_json(data: bytes) -> Any:
    """Return the value that `dump_exact_json` wrote, read by the same library: orjson rounds large integers."""
    text = memoryview(data)[1:]
    return orjson.loads(text) if data[:1] == b"o" else json.loads(text.tobytes())


def has_more_values(raw: bytes, limit: int) -> bool:
    """Whether JSON has more than `limit` values, counted by its commas and brackets without parsing it."""
    # A comma within a text counts only where it matters: to leave out the texts takes ten times as long.
    return _count_separators(raw) > limit and _count_separators(_STRING.sub(b"", raw)) > limit


def _count_separators(raw: bytes) -> int:
    return raw.count(b",") + raw.count(b"[") + raw.count(b"{")


def format_json(value: Any, *, indent: int | None = None, encode: Callable[[Any], Any] = str) -> str:
    """Return `value` as JSON that is easy to read: with spaces, and with lines if `indent` is a number."""
    return json.dumps(value, indent=indent, ensure_ascii=False, default=encode)


def _encode(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value):
        return _list_fields(value)
    return value.isoformat() if isinstance(value, date | time) else str(value)


def _list_fields(value: Any) -> dict[str, Any]:
    """Return a dataclass's fields, as orjson writes them."""
    return {field.name: getattr(value, field.name) for field in fields(value)}


def has_unstorable(raw: bytes) -> bool:
    """Whether JSON of another program may contain what PostgreSQL cannot store; else `clean_json` changes nothing."""
    return any(mark in raw for mark in _UNSTORABLE_BYTES)


def clean_json(value: Any) -> Any:
    """Return a JSON value or a dataclass without NUL, with `?` for half a character, and null for infinity and NaN."""
    # Without recursion: what was parsed may be nested almost as deep as the interpreter allows calls.
    root: list[Any] = [value]
    unclean: list[Any] = [root]
    while unclean:
        container = unclean.pop()
        for place, item in list(container.items() if isinstance(container, dict) else enumerate(container)):
            container[place] = cleaned = _clean_shallowly(item)
            if isinstance(cleaned, dict | list):
                unclean.append(cleaned)
    return root[0]


def _clean_shallowly(value: Any) -> Any:
    """Return the cleaned value; of a list or an object a copy, of which only the names are cleaned."""
    if isinstance(value, str):
        return value.replace("\x00", "").encode(errors="replace").decode()
    if is_dataclass(value):
        return _list_fields(value)
    if isinstance(value, Mapping):
        return {_clean_shallowly(name): item for name, item in value.items()}
    if isinstance(value, list | tuple):
        return list(value)
    # JSON has no infinity or NaN: parsing turns a number that is too large into infinity.
    return None if isinstance(value, float) and not math.isfinite(value) else value
