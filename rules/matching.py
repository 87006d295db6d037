"""Decides whether a comment or message matches an automation's trigger: by post, by keyword, or as the default.

A keyword matches whole words, ignoring case and the encoding of accents. In scripts without spaces between words
(Chinese, Japanese, Thai, …) it matches anywhere.
"""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TypeVar

from rules.definition import WorkflowTrigger

#: Prefixes of the Unicode names of letters that are written without spaces, or with attached particles.
_UNSPACED = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN"})

Candidate = TypeVar("Candidate")


class Match(enum.Enum):
    """How a trigger matches a payload."""

    NO = "no"
    #: A keyword matches.
    KEYWORD = "keyword"
    #: The trigger has no keywords and matches every payload.
    ANY = "any"
    #: The trigger is the default: it matches if no keyword does.
    DEFAULT = "default"


def match(trigger: WorkflowTrigger, payload: Mapping[str, object]) -> Match:
    """Return how this trigger matches this payload; without posts and keywords it matches all of its type."""
    if not trigger.with_:
        return Match.ANY
    posts, keywords = _read_texts(trigger.with_.get("posts")), _read_texts(trigger.with_.get("keywords"))
    if posts and _read_text(payload, "comment", "media_id") not in posts:
        return Match.NO
    text = _read_text(payload, "comment", "text") or _read_text(payload, "message", "text")
    if any(contains_keyword(text, keyword) for keyword in keywords):
        return Match.KEYWORD
    if trigger.with_.get("default") is True:
        return Match.DEFAULT
    return Match.NO if keywords else Match.ANY


def choose(candidates: Sequence[tuple[Candidate, Match]], *, answered: bool) -> list[Candidate]:
    """Return the candidates to start. Defaults start only if no keyword matches and no wait was `answered`."""
    is_taken = answered or any(result is Match.KEYWORD for _, result in candidates)
    excluded = {Match.NO, Match.DEFAULT} if is_taken else {Match.NO}
    return [candidate for candidate, result in candidates if result not in excluded]


def contains_keyword(text: str, keyword: str) -> bool:
    """Whether the text contains the keyword as a whole word."""
    haystack, needle = _normalise(text), _normalise(keyword).strip()
    if not needle:
        return False
    at = haystack.find(needle)
    while at >= 0:
        end = at + len(needle)
        if not _is_within_word(haystack[at - 1 : at], needle[0]) and not _is_within_word(
            needle[-1], haystack[end : end + 1]
        ):
            return True
        at = haystack.find(needle, at + 1)
    return False


def _normalise(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _is_within_word(before: str, after: str) -> bool:
    return _is_word_character(before) and _is_word_character(after)


def _is_word_character(char: str) -> bool:
    return char.isalnum() and unicodedata.name(char, "").split(" ")[0] not in _UNSPACED


def _read_texts(value: object) -> tuple[str, ...]:
    return tuple(str(item).strip() for item in value) if isinstance(value, list | tuple) else ()


def _read_text(payload: Mapping[str, object], *names: str) -> str:
    value: object = payload
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return str(value) if isinstance(value, str | int) else ""
