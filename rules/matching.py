"""Decides whether a comment or message matches an automation's trigger: by post, by keyword, or as the default.

A keyword matches whole words, ignoring case, accents, invisible characters and repeated spaces. In scripts without
spaces between words (Chinese, Japanese, Thai, …) it matches anywhere; in Arabic also behind the article.
"""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

from rules.definition import WorkflowTrigger

#: Prefixes of the Unicode names of letters that are written without spaces, or with attached particles.
_UNSPACED = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN"})

#: Letters that no decomposition takes apart, by what people type in their place.
_PLAIN_LETTERS = str.maketrans({
    "ı": "i", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "æ": "ae", "œ": "oe", "ى": "ي", "ی": "ي", "ک": "ك",
})  # fmt: skip
#: Written without meaning between Arabic letters, to make a word longer.
_TATWEEL = "\u0640"
#: Combining classes of accents and of the points of Hebrew and Arabic. The vowel signs of Indic scripts and Thai have
#: others: without them a word would be another.
_POINTS, _FIRST_ACCENT = range(10, 36), 200
_ARTICLE = "ال"
#: What may stand before an Arabic word without a space: the article, alone and behind a conjunction or preposition.
_ARABIC_PREFIXES = frozenset({_ARTICLE, "وال", "فال", "بال", "كال", "لل", "ولل"})
#: Letters that must remain behind the article of a keyword, else it may be no article.
_MIN_ARABIC_LETTERS = 3


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
    if trigger.posts and _read_text(payload, "comment", "media_id") not in trigger.posts:
        return Match.NO
    text = _read_text(payload, "comment", "text") or _read_text(payload, "message", "text")
    if any(contains_keyword(text, keyword) for keyword in trigger.keywords):
        return Match.KEYWORD
    if trigger.with_.get("default") is True:
        return Match.DEFAULT
    return Match.NO if trigger.keywords else Match.ANY


def contains_keyword(text: str, keyword: str) -> bool:
    """Whether the text contains the keyword as a whole word."""
    haystack, needle = normalise(text), _remove_article(normalise(keyword))
    if not needle:
        return False
    at = haystack.find(needle)
    while at >= 0:
        if _is_whole_word(haystack, at, at + len(needle)):
            return True
        at = haystack.find(needle, at + 1)
    return False


@lru_cache(maxsize=2048)
def normalise(text: str) -> str:
    """Return the text without what a keyword ignores; equal keywords have equal results."""
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    plain = "".join(char for char in decomposed if not _is_ignored(char)).translate(_PLAIN_LETTERS)
    return " ".join(unicodedata.normalize("NFKC", plain).split())


def _is_ignored(char: str) -> bool:
    """Whether the character is an accent, a vowel point, or invisible."""
    if char.isascii():
        return False
    combining = unicodedata.combining(char)
    is_selector = unicodedata.name(char, "").startswith("VARIATION SELECTOR")
    is_invisible = is_selector or unicodedata.category(char) == "Cf" or char == _TATWEEL
    return is_invisible or combining in _POINTS or combining >= _FIRST_ACCENT


def _remove_article(keyword: str) -> str:
    rest = keyword.removeprefix(_ARTICLE)
    return rest if len(rest) >= _MIN_ARABIC_LETTERS else keyword


def _is_whole_word(text: str, start: int, end: int) -> bool:
    is_end = not _is_within_word(text[end - 1], text[end : end + 1])
    return is_end and (not _is_within_word(text[start - 1 : start], text[start]) or _is_behind_article(text, start))


def _is_behind_article(text: str, start: int) -> bool:
    word_start = text.rfind(" ", 0, start) + 1
    return text[word_start:start] in _ARABIC_PREFIXES


def _is_within_word(before: str, after: str) -> bool:
    return _is_word_character(before) and _is_word_character(after)


def _is_word_character(char: str) -> bool:
    is_word = char.isalnum() or (char != "" and unicodedata.category(char).startswith("M"))
    return is_word and unicodedata.name(char, "").split(" ")[0] not in _UNSPACED


def _read_text(payload: Mapping[str, object], *names: str) -> str:
    value: object = payload
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return str(value) if isinstance(value, str | int) else ""
