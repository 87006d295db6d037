"""A text that is too long ends at a word, with an ellipsis, and with whole graphemes."""

from __future__ import annotations

import pytest

from rules.truncation import ELLIPSIS, TextLimit, find_text_limit, truncate

FAMILY = "👨‍👩‍👧‍👦"
FLAGS = "🇮🇹🇩🇪🇫🇷"


def test_a_text_that_fits_is_unchanged() -> None:
    for text, limit in (("Hello", TextLimit(5)), ("é" * 500, TextLimit(bytes=1000)), ("Hello", TextLimit())):
        assert truncate(text, limit) == text


def test_a_longer_text_ends_at_a_word_with_an_ellipsis() -> None:
    assert truncate("Hello dear Ada, how are you?", TextLimit(12)) == "Hello dear…"
    assert truncate("Hello dear Ada, how are you?", TextLimit(11)) == "Hello dear…"
    assert truncate("Hello dear\n\nAda", TextLimit(12)) == "Hello dear…"


def test_a_long_word_is_cut_within_the_word() -> None:
    assert truncate("a" * 50, TextLimit(10)) == "a" * 9 + ELLIPSIS
    assert truncate("ab " + "c" * 50, TextLimit(30)) == "ab " + "c" * 26 + ELLIPSIS


@pytest.mark.parametrize("text", ["é" * 600, "word " * 300, "漢字" * 400, FAMILY * 50, FLAGS * 80, "e\u0301" * 500])
@pytest.mark.parametrize("most", [999, 1000, 1001])
def test_bytes_are_counted_where_bytes_count(text: str, most: int) -> None:
    truncated = truncate(text, TextLimit(bytes=most))

    assert most - 30 <= len(truncated.encode()) <= most
    assert truncated.endswith(ELLIPSIS)


def test_both_limits_apply_together() -> None:
    assert len(truncate("é" * 900, TextLimit(640, 1000)).encode()) <= 1000
    assert len(truncate("a" * 900, TextLimit(640, 1000))) == 640


@pytest.mark.parametrize(
    "sign",
    [FAMILY, "🇮🇹", "👍🏽", "e\u0301\u0323", "각", "\u1100\u1161\u11a8", "\r\n", "❤️", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "न\u093f"],
    ids=ascii,
)
def test_a_grapheme_of_many_characters_is_kept_whole_or_left_out(sign: str) -> None:
    for limit in range(1, 60):
        kept = truncate(sign * 40, TextLimit(limit)).removesuffix(ELLIPSIS)
        assert kept.rstrip() == (sign * (len(kept) // len(sign))).rstrip()


def test_two_adjacent_flags_are_two_graphemes() -> None:
    assert truncate(FLAGS, TextLimit(5)) == "🇮🇹🇩🇪" + ELLIPSIS


@pytest.mark.parametrize("most", [0, 1, 2, 3])
def test_without_room_only_an_ellipsis_is_left(most: int) -> None:
    assert truncate("e\u0301" * 9, TextLimit(bytes=most)) == ELLIPSIS


@pytest.mark.parametrize(
    ("channel", "kind", "buttons", "expected"),
    [
        ("instagram", "message", False, TextLimit(bytes=1000)),
        ("instagram", "private_reply", True, TextLimit(640, 1000)),
        ("facebook", "message", False, TextLimit(2000)),
        ("facebook", "message", True, TextLimit(640)),
        ("facebook", "comment_reply", False, TextLimit(8000)),
    ],
)
def test_each_channel_and_kind_has_its_limit(channel: str, kind: str, buttons: bool, expected: TextLimit) -> None:
    assert find_text_limit(channel, kind, buttons=buttons) == expected
