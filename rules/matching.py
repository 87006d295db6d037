"""Whether a comment or message is what an automation's trigger asks for: its post, its keywords, or nothing else's.

A keyword is found as whole words, whatever their case and accents' spelling. In scripts that write no spaces between
words (Chinese, Japanese, Thai, …) it is found anywhere.
"""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TypeVar

from rules.definition import WorkflowTrigger

#: Beginnings of the Unicode names of letters that are written without spaces, or with particles joined on.
_UNSPACED = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN"})

Candidate = TypeVar("Candidate")


class Match(enum.Enum):
    """How a trigger wants what came."""

    NO = "no"
    #: Because of a keyword.
    KEYWORD = "keyword"
    #: It names no keyword and wants every one.
    ANY = "any"
    #: It answers what nothing else answers.
    DEFAULT = "default"


def match(trigger: WorkflowTrigger, payload: Mapping[str, object]) -> Match:
    """How this trigger wants this payload; one without posts and keywords wants all of its type."""
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
    """Those that start: default answers are for what no keyword took and nobody else waits for (`answered`)."""
    is_taken = answered or any(result is Match.KEYWORD for _, result in candidates)
    excluded = {Match.NO, Match.DEFAULT} if is_taken else {Match.NO}
    return [candidate for candidate, result in candidates if result not in excluded]


def contains_keyword(text: str, keyword: str) -> bool:
    """Whether the keyword stands in the text, not as a part of a longer word."""
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
