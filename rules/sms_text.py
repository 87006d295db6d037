"""Measures and bounds the text of an SMS: its encoding, its parts, and how it is cut to a number of parts.

A text whose characters are all in the GSM-7 alphabet has 160 of them in one part and 153 in each of several; any other
text is UCS-2, with 70 and 67 UTF-16 units. A character of the extension table takes two places. No part ends within a
character. Sources: 3GPP TS 23.038 and 23.040; developers.telnyx.com, Message encoding.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from rules.truncation import ELLIPSIS, cut_at_word

#: Telnyx refuses more parts, with error 40302.
MAX_SEGMENTS = 10

_GSM_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_EXTENSION = frozenset("\f^{}\\[~]|€")
#: Not in GSM-7, so that a cut GSM-7 text would become UCS-2.
_GSM_ELLIPSIS = "..."

Encoding = Literal["GSM-7", "UCS-2"]


@dataclass(frozen=True, slots=True)
class SmsLength:
    """The length of a text: its encoding, its septets or UTF-16 units, and the parts that it is sent in."""

    encoding: Encoding
    units: int
    segments: int


@dataclass(frozen=True, slots=True)
class _Alphabet:
    encoding: Encoding
    single: int
    multipart: int
    width: Callable[[str], int]


_GSM_7 = _Alphabet("GSM-7", 160, 153, lambda char: 2 if char in _GSM_EXTENSION else 1)
_UCS_2 = _Alphabet("UCS-2", 70, 67, lambda char: 2 if char > "\uffff" else 1)


def measure(text: str) -> SmsLength:
    """Return the length of a text as it is sent."""
    alphabet = _find_alphabet(text)
    widths = [alphabet.width(char) for char in text]
    units = sum(widths)
    segments = 1 if units <= alphabet.single else _count_parts(widths, alphabet.multipart)
    return SmsLength(alphabet.encoding, units, segments)


def _find_alphabet(text: str) -> _Alphabet:
    return _GSM_7 if all(char in _GSM_BASIC or char in _GSM_EXTENSION for char in text) else _UCS_2


def _count_parts(widths: Iterable[int], size: int) -> int:
    parts, used = 1, 0
    for width in widths:
        used += width
        if used > size:
            parts, used = parts + 1, width
    return parts


def clean(text: str) -> str:
    """Return the text without control characters; line ends become `\\n` and tabs spaces."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    return "".join(char for char in lines if char == "\n" or unicodedata.category(char) != "Cc")


def cut(text: str, max_segments: int) -> str:
    """Return the text if it has at most `max_segments` parts, else its beginning, cut at a word, and an ellipsis."""
    if measure(text).segments <= max_segments:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if measure(_end(text, middle)).segments <= max_segments:
            low = middle
        else:
            high = middle - 1
    return _end(text, low)


def _end(text: str, end: int) -> str:
    kept = cut_at_word(text, end)
    return f"{kept}{_GSM_ELLIPSIS if _find_alphabet(kept) is _GSM_7 else ELLIPSIS}"
