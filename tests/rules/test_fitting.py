"""A text that is too long ends at a word, with an ellipsis, and with whole signs."""

from __future__ import annotations

import pytest

from rules.fitting import ELLIPSIS, Room, fit, room

FAMILY = "👨‍👩‍👧‍👦"
FLAGS = "🇮🇹🇩🇪🇫🇷"


def test_a_text_that_fits_is_left_alone() -> None:
    for text, within in (("Hello", Room(5)), ("é" * 500, Room(bytes=1000)), ("Hello", Room())):
        assert fit(text, within) == text


def test_a_longer_one_ends_at_a_word_with_an_ellipsis() -> None:
    assert fit("Hello dear Ada, how are you?", Room(12)) == "Hello dear…"
    assert fit("Hello dear Ada, how are you?", Room(11)) == "Hello dear…"
    assert fit("Hello dear\n\nAda", Room(12)) == "Hello dear…"


def test_a_word_without_end_is_cut_where_it_must() -> None:
    assert fit("a" * 50, Room(10)) == "a" * 9 + ELLIPSIS
    assert fit("ab " + "c" * 50, Room(30)) == "ab " + "c" * 26 + ELLIPSIS


@pytest.mark.parametrize("text", ["é" * 600, "word " * 300, "漢字" * 400, FAMILY * 50, FLAGS * 80, "e\u0301" * 500])
@pytest.mark.parametrize("most", [999, 1000, 1001])
def test_bytes_are_counted_where_bytes_count(text: str, most: int) -> None:
    fitted = fit(text, Room(bytes=most))

    assert most - 30 <= len(fitted.encode()) <= most
    assert fitted.endswith(ELLIPSIS)


def test_both_measures_hold_together() -> None:
    assert len(fit("é" * 900, Room(640, 1000)).encode()) <= 1000
    assert len(fit("a" * 900, Room(640, 1000))) == 640


@pytest.mark.parametrize(
    "sign",
    [FAMILY, "🇮🇹", "👍🏽", "e\u0301\u0323", "각", "\u1100\u1161\u11a8", "\r\n", "❤️", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "न\u093f"],
    ids=ascii,
)
def test_a_sign_of_many_characters_is_kept_whole_or_left_out(sign: str) -> None:
    for most in range(1, 60):
        kept = fit(sign * 40, Room(most)).removesuffix(ELLIPSIS)
        assert kept.rstrip() == (sign * (len(kept) // len(sign))).rstrip()


def test_two_flags_after_one_another_are_two_signs() -> None:
    assert fit(FLAGS, Room(5)) == "🇮🇹🇩🇪" + ELLIPSIS


@pytest.mark.parametrize("most", [0, 1, 2, 3])
def test_where_there_is_no_room_an_ellipsis_is_all(most: int) -> None:
    assert fit("e\u0301" * 9, Room(bytes=most)) == ELLIPSIS


@pytest.mark.parametrize(
    ("channel", "way", "buttons", "expected"),
    [
        ("instagram", "message", False, Room(bytes=1000)),
        ("instagram", "private_reply", True, Room(640, 1000)),
        ("facebook", "message", False, Room(2000)),
        ("facebook", "message", True, Room(640)),
        ("facebook", "comment_reply", False, Room(8000)),
    ],
)
def test_each_channel_and_way_has_its_room(channel: str, way: str, buttons: bool, expected: Room) -> None:
    assert room(channel, way, buttons=buttons) == expected
