"""Describes a problem in user input: its path and a message for its author.

Validation collects all problems; an empty list means valid. Nothing here raises.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem at `path`, e.g. `steps[2].then[0].with.channel`; the empty path is the whole document."""

    path: str
    message: str


def join_path(path: str, key: str) -> str:
    """Return the path of field `key` of the object at `path`."""
    return f"{path}.{key}" if path else key


def is_within(path: str, place: str) -> bool:
    """Whether a problem's path is this place or within it."""
    return path == place or path.startswith((f"{place}.", f"{place}["))


def format_unknown(kind: str, name: str, options: Iterable[str]) -> str:
    """Format `unknown channel "fax"` with the nearest known name, or else with all names if they are few."""
    names = sorted(options)
    message = f'unknown {kind} "{shorten(name)}"'
    nearest = get_close_matches(name[:100], names, n=1, cutoff=0.7)
    if nearest:
        return f'{message}; did you mean "{nearest[0]}"?'
    if 0 < len(names) <= 8:
        return f"{message}; known: {', '.join(names)}"
    return message


def describe_type(value: object) -> str:
    """Name the type of a JSON value for a message."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    for types, description in ((str, "a string"), ((int, float), "a number"), (dict, "an object"), (list, "a list")):
        if isinstance(value, types):
            return description
    return type(value).__name__


def shorten(text: str, max_length: int = 60) -> str:
    """Cut `text` to `max_length` characters, so that a message stays on one line."""
    return text if len(text) <= max_length else text[: max_length - 1] + "…"


def check_characters(text: str) -> str | None:
    """Return why `text` is not allowed, or None: control characters other than tab and line breaks, lone surrogates."""
    if text.isprintable():
        return None
    for character in text:
        code = ord(character)
        if (code < 32 and character not in "\t\n\r") or code == 127:
            return f"must not contain control characters (found U+{code:04X})"
        if 0xD800 <= code <= 0xDFFF:
            return "must not contain a lone surrogate"
    return None
