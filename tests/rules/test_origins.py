"""Origins as browsers send them."""

from __future__ import annotations

import pytest

from rules.origins import normalise_origin


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://Shop.example/", "https://shop.example"),
        ("https://shop.example:443", "https://shop.example"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:80", "http://[::1]"),
    ],
)
def test_an_origin_is_written_as_browsers_do(text: str, origin: str) -> None:
    assert normalise_origin(text) == origin


@pytest.mark.parametrize(
    "text", ["", "*", "shop.example", "https://", "https://*", "https://a/b", "https://a?b", "https://a:x"]
)
def test_what_no_browser_sends_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be an origin"):
        normalise_origin(text)
