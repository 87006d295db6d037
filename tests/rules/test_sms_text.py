"""An SMS is measured as carriers do, cleaned of control characters, and cut to a number of parts."""

from __future__ import annotations

import pytest

from rules.sms_text import SmsLength, clean, cut, measure

FAMILY = "👨‍👩‍👧‍👦"


@pytest.mark.parametrize(
    ("text", "encoding", "units", "segments"),
    [
        ("", "GSM-7", 0, 1), ("a" * 160, "GSM-7", 160, 1), ("a" * 161, "GSM-7", 161, 2), ("a" * 306, "GSM-7", 306, 2),
        ("a" * 307, "GSM-7", 307, 3), ("€" * 80, "GSM-7", 160, 1), ("€" * 81, "GSM-7", 162, 2),
        # A character of two places does not straddle parts of 153: each holds 76.
        ("€" * 152, "GSM-7", 304, 2), ("€" * 153, "GSM-7", 306, 3), ("àèìòù ÄÖÜß Ñ¿¡ ΔΦ @£$¥", "GSM-7", 22, 1),
        ("ç", "UCS-2", 1, 1), ("don’t", "UCS-2", 5, 1), ("é" * 70 + "ê", "UCS-2", 71, 2), ("日" * 70, "UCS-2", 70, 1),
        ("日" * 134, "UCS-2", 134, 2), ("👍" * 35, "UCS-2", 70, 1), ("👍" * 36, "UCS-2", 72, 2),
        ("👍" * 67, "UCS-2", 134, 3), ("`", "UCS-2", 1, 1), ("a\nb{c}", "GSM-7", 8, 1), ("a" * 1530, "GSM-7", 1530, 10),
        ("a" * 1531, "GSM-7", 1531, 11),
    ],
)  # fmt: skip
def test_a_text_has_its_encoding_units_and_parts(text: str, encoding: str, units: int, segments: int) -> None:
    assert measure(text) == SmsLength(encoding, units, segments)  # type: ignore[arg-type]


def test_control_characters_are_dropped_and_lines_stay() -> None:
    assert clean("a\x00b\x1b\x07c\r\nd\re\tf\x85\x7f👍") == "abc\nd\ne f👍"


@pytest.mark.parametrize(
    "text", ["word " * 400, "é" * 2000, "日本語" * 400, f"{FAMILY} " * 200, "€" * 900, "a" * 900 + "日" * 900]
)
@pytest.mark.parametrize("limit", [1, 3, 10])
def test_a_cut_text_has_at_most_that_many_parts(text: str, limit: int) -> None:
    short = cut(text, limit)
    assert measure(short).segments <= limit
    assert text.startswith(short.rstrip(".…"))


def test_a_cut_text_ends_at_a_word_and_keeps_its_encoding() -> None:
    short = cut("Hello dear Ada " * 20, 1)
    assert short == ("Hello dear Ada " * 10 + "Hello").strip() + "..."
    assert measure(short) == SmsLength("GSM-7", len(short), 1)
    assert cut(f"{FAMILY}" * 20, 1).rstrip("…") == FAMILY * 6
    assert cut("short", 1) == "short"
