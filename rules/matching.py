"""Whether a comment or message is what an automation's trigger asks for: its post, its keywords, or nothing else's.

A keyword is found as whole words, whatever their case and accents' spelling. In scripts that write no spaces between
words (Chinese, Japanese, Thai, …) it is found anywhere.
"""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TypeVar

from rules.definition import Trigger

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


def match(trigger: Trigger, payload: Mapping[str, object]) -> Match:
    """How this trigger wants this payload; one without posts and keywords wants all of its type."""
    if not trigger.with_:
        return Match.ANY
    posts, keywords = _texts(trigger.with_.get("posts")), _texts(trigger.with_.get("keywords"))
    if posts and _said(payload, "comment", "media_id") not in posts:
        return Match.NO
    text = _said(payload, "comment", "text") or _said(payload, "message", "text")
    if any(holds_keyword(text, keyword) for keyword in keywords):
        return Match.KEYWORD
    if trigger.with_.get("default") is True:
        return Match.DEFAULT
    return Match.NO if keywords else Match.ANY


def choose(candidates: Sequence[tuple[Candidate, Match]], *, answered: bool) -> list[Candidate]:
    """Those that start: default answers are for what no keyword took and nobody else waits for (`answered`)."""
    is_taken = answered or any(how is Match.KEYWORD for _, how in candidates)
    unwanted = {Match.NO, Match.DEFAULT} if is_taken else {Match.NO}
    return [one for one, how in candidates if how not in unwanted]


def holds_keyword(text: str, keyword: str) -> bool:
    """Whether the keyword stands in the text, not as a part of a longer word."""
    looked_in, sought = _plain(text), _plain(keyword).strip()
    if not sought:
        return False
    at = looked_in.find(sought)
    while at >= 0:
        end = at + len(sought)
        if not _within_word(looked_in[at - 1 : at], sought[0]) and not _within_word(
            sought[-1], looked_in[end : end + 1]
        ):
            return True
        at = looked_in.find(sought, at + 1)
    return False


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _within_word(before: str, after: str) -> bool:
    return _is_of_a_word(before) and _is_of_a_word(after)


def _is_of_a_word(char: str) -> bool:
    return char.isalnum() and unicodedata.name(char, "").split(" ")[0] not in _UNSPACED


def _texts(found: object) -> tuple[str, ...]:
    return tuple(str(one).strip() for one in found) if isinstance(found, list | tuple) else ()


def _said(payload: Mapping[str, object], *names: str) -> str:
    found: object = payload
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return str(found) if isinstance(found, str | int) else ""
