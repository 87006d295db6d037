"""The sender of e-mail as a header has it."""

from __future__ import annotations

import pytest

from rules.senders import find_name_fault, format_sender, quote_sender


@pytest.mark.parametrize(
    ("name", "address", "sender"),
    [
        (None, None, None),
        ("Ada", None, None),
        (None, "a@b.example", "a@b.example"),
        ("Ada", "a@b.example", "Ada <a@b.example>"),
        ("Ada, Inc.", "a@b.example", '"Ada, Inc." <a@b.example>'),
        ("Café", "a@b.example", "Café <a@b.example>"),
    ],
)
def test_the_sender_is_written_as_a_header_has_it(name: str | None, address: str | None, sender: str | None) -> None:
    assert format_sender(name, address) == sender


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a<b", "a>b", "a\nb", "a\x00b"])
def test_a_name_that_could_end_the_header_is_refused(name: str) -> None:
    assert find_name_fault(name)


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("a@b.example", "a@b.example"),
        ("Ada <a@b.example>", "Ada <a@b.example>"),
        ("Byron, Ada <a@b.example>", '"Byron, Ada" <a@b.example>'),
        ("Ada (sales)<a@b.example>", '"Ada (sales)" <a@b.example>'),
        ("Ada: shop; <a@b.example>", '"Ada: shop;" <a@b.example>'),
        ('"Byron, Ada" <a@b.example>', '"Byron, Ada" <a@b.example>'),
        ('Ada "the" Byron <a@b.example>', r'"Ada \"the\" Byron" <a@b.example>'),
        (r"A\B, C <a@b.example>", r'"A\\B, C" <a@b.example>'),
        ("<a@b.example>", "<a@b.example>"),
    ],
)
def test_a_name_with_special_characters_is_quoted_once(text: str, quoted: str) -> None:
    assert quote_sender(text) == quoted
    assert quote_sender(quoted) == quoted
