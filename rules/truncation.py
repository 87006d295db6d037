"""Truncates texts to a channel's limit: at a word, with an ellipsis, never within a grapheme.

Instagram counts bytes, Messenger characters. A grapheme may consist of many characters (a letter with its accents, a
family emoji, a flag, a Hangul syllable), and half of it would be another grapheme.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

ELLIPSIS = "…"
#: Fraction of the text within which a space is searched before the cut; a text without spaces is cut within a word.
_LOOK_BACK = 0.5

_JOINER, _CARRIAGE_RETURN = "\u200d", "\r"
_HANGUL = (("\u1100", "\u11ff"), ("\ua960", "\ua97c"), ("\uac00", "\ud7a3"), ("\ud7b0", "\ud7fb"))
#: Characters that continue a Hangul syllable: vowels and finals; a leading consonant only after another.
_HANGUL_FOLLOWS = (("\u1160", "\u11ff"), ("\ud7b0", "\ud7fb"))
_HANGUL_LEADS = (("\u1100", "\u115f"), ("\ua960", "\ua97c"))
_FLAG_LETTERS = ("\U0001f1e6", "\U0001f1ff")
_SKIN_TONES = ("\U0001f3fb", "\U0001f3ff")
_TAGS = ("\U000e0020", "\U000e007f")


@dataclass(frozen=True, slots=True)
class TextLimit:
    """The maximum length of a text; None means no limit in that unit."""

    characters: int | None = None
    bytes: int | None = None

    def can_fit(self, text: str) -> bool:
        """Whether the text fits."""
        if self.characters is not None and len(text) > self.characters:
            return False
        return self.bytes is None or len(text.encode()) <= self.bytes


#: The title of a button or quick reply.
TITLE_LIMIT = TextLimit(characters=20)
_BUTTON_TEXT = 640
#: By channel and kind. Instagram limits comments to 2,200 characters, Facebook to 8,000.
_TEXT_LIMITS = {
    ("facebook", "message"): TextLimit(characters=2000),
    ("facebook", "private_reply"): TextLimit(characters=2000),
    ("facebook", "comment_reply"): TextLimit(characters=8000),
    ("instagram", "message"): TextLimit(bytes=1000),
    ("instagram", "private_reply"): TextLimit(bytes=1000),
    ("instagram", "comment_reply"): TextLimit(characters=2200),
}
#: Of notices, by channel; Slack's own limit is above that of a template.
_NOTICE_LIMITS = {"discord": TextLimit(characters=2000)}


def find_notice_limit(channel: str) -> TextLimit:
    """Return the limit of a notice's text."""
    return _NOTICE_LIMITS.get(channel, TextLimit())


def find_text_limit(channel: str, kind: str, *, buttons: bool = False) -> TextLimit:
    """Return the limit of a direct message's text; with buttons it is shorter."""
    limit = _TEXT_LIMITS[channel, kind]
    return TextLimit(_BUTTON_TEXT, limit.bytes) if buttons else limit


def truncate(text: str, limit: TextLimit) -> str:
    """Return the text if it fits, else its beginning and an ellipsis."""
    if limit.can_fit(text):
        return text
    return f"{cut_at_word(text, _find_cut(text, limit))}{ELLIPSIS}"


def cut_at_word(text: str, end: int) -> str:
    """Return at most `end` characters of the text, up to the end of a word and never within a grapheme."""
    while end > 0 and _is_continuation(text, end):
        end -= 1
    return text[: _find_word_end(text, end)].rstrip()


def _find_cut(text: str, limit: TextLimit) -> int:
    """Return the number of characters that fit before an ellipsis."""
    end = len(text) if limit.characters is None else min(len(text), limit.characters - len(ELLIPSIS))
    if limit.bytes is None:
        return max(0, end)
    remaining = limit.bytes - len(ELLIPSIS.encode())
    return min(max(0, end), len(text.encode()[: max(0, remaining)].decode(errors="ignore")))


def _find_word_end(text: str, end: int) -> int:
    """Return the end of the last whole word, or `end` if that is far from the cut."""
    if end < len(text) and text[end].isspace():
        return end
    for at in range(end, max(1, int(end * _LOOK_BACK)), -1):
        if text[at - 1].isspace():
            return at - 1
    return end


def _is_continuation(text: str, at: int) -> bool:
    """Whether the character at `at` continues the grapheme before it."""
    before, char = text[at - 1], text[at : at + 1]
    if not char:
        return False
    if unicodedata.category(char) in ("Mn", "Mc", "Me") or char == _JOINER or before == _JOINER:
        return True
    if _is_in_range(char, _SKIN_TONES) or _is_in_range(char, _TAGS) or (before == _CARRIAGE_RETURN and char == "\n"):
        return True
    if _is_in_range(char, _FLAG_LETTERS):
        return _count_flag_letters_before(text, at) % 2 == 1
    is_hangul = any(_is_in_range(before, span) for span in _HANGUL)
    leads = any(_is_in_range(before, span) for span in _HANGUL_LEADS)
    follows = any(_is_in_range(char, span) for span in _HANGUL_FOLLOWS)
    return (is_hangul and follows) or (leads and any(_is_in_range(char, span) for span in _HANGUL))


def _is_in_range(char: str, span: tuple[str, str]) -> bool:
    return span[0] <= char <= span[1]


def _count_flag_letters_before(text: str, at: int) -> int:
    count = 0
    while count < at and _is_in_range(text[at - count - 1], _FLAG_LETTERS):
        count += 1
    return count
