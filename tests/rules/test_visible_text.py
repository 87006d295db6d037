"""A text of spaces, marks and fillers alone is blank."""

from __future__ import annotations

import pytest

from rules.visible_text import has_visible_character


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t",
        "\u00a0\u2003",
        "\u200b\u200d\ufeff",
        "\u0301",
        "\u3164",
        "\u2800",
        "\u115f\u1160",
        "\ufe0f",
        "\u00ad",
    ],
)
def test_a_blank_text_has_no_visible_character(text: str) -> None:
    assert not has_visible_character(text)


@pytest.mark.parametrize("text", ["a", "0", "!", "👍", "❤️", "\u200b.", "ไ", "ﷺ", "→", "€", "가", "e\u0301"])
def test_a_text_with_a_letter_number_sign_or_emoji_is_visible(text: str) -> None:
    assert has_visible_character(text)
