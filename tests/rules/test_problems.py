"""A problem names the value's place and says what to write instead."""

from __future__ import annotations

import pytest

from rules.problems import check_characters, format_unknown, shorten


@pytest.mark.parametrize("text", ["", "a\tb\r\nc", "\ud7ff", "\ue000", " ~", "\u00a0"])
def test_an_ordinary_text_is_accepted(text: str) -> None:
    assert check_characters(text) is None


@pytest.mark.parametrize("text", ["\0", "a\x1f", "\x7f", chr(0xD800), chr(0xDFFF)])
def test_a_control_character_and_half_a_character_are_refused(text: str) -> None:
    assert check_characters(text) is not None


def test_an_unknown_name_suggests_the_nearest_or_lists_up_to_eight() -> None:
    assert format_unknown("field", "emial", {"email", "phone"}) == 'unknown field "emial"; did you mean "email"?'
    assert format_unknown("field", "zzz", {"email"}) == 'unknown field "zzz"; known: email'
    eight = [f"name{n}" for n in range(8)]
    assert format_unknown("field", "zzz", eight) == f'unknown field "zzz"; known: {", ".join(eight)}'
    assert format_unknown("field", "zzz", [*eight, "name8"]) == 'unknown field "zzz"'
    assert format_unknown("field", "zzz", []) == 'unknown field "zzz"'


@pytest.mark.parametrize(("text", "short"), [("a" * 10, "a" * 10), ("a" * 11, "a" * 9 + "…")])
def test_a_long_text_is_cut_to_the_length(text: str, short: str) -> None:
    assert shorten(text, 10) == short
