"""Decides whether a text has a visible character: one that a person would see on the screen.

Spaces, combining marks without a base, zero-width characters, and the fillers that Unicode calls letters or symbols
but that are blank are not visible.
"""

from __future__ import annotations

import unicodedata

#: Letters and symbols that are blank: the Hangul fillers, and the Braille pattern without dots.
_BLANKS = frozenset("\u115f\u1160\u3164\uffa0\u2800")
#: The first letter of the general categories of visible characters: letters, numbers, punctuation, symbols.
_VISIBLE_CATEGORIES = frozenset("LNPS")


def has_visible_character(text: str) -> bool:
    """Whether the text would be more than a blank message."""
    return any(unicodedata.category(char)[0] in _VISIBLE_CATEGORIES and char not in _BLANKS for char in text)
