"""Redirects go only to paths of this site."""

from __future__ import annotations

import pytest

from dashboard.own_paths import MAX_LENGTH, ensure_own_path


@pytest.mark.parametrize(
    "text",
    [
        "/automations",
        "/",
        "/executions?status=failed&q=a%2Fb",
        "/executions?url=https://example.com//x",
        "/contacts/caf%C3%A9",
        "/contacts/café",
        "/contacts/100%",
    ],
)
def test_a_path_of_this_site_is_accepted(text: str) -> None:
    assert ensure_own_path(text, "/home") == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "automations",
        "https://evil.example",
        "HTTPS:evil.example",
        "javascript:alert(1)",
        "//evil.example",
        "///evil.example",
        "////evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "/x\\..\\evil",
        "/%2f/evil.example",
        "/%2F%2Fevil.example",
        "/%252f%252fevil.example",
        "/%5cevil.example",
        "/%25255cevil.example",
        "/%" + "25" * 9 + "2fevil.example",
        "/.//evil.example",
        "/a/..//evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "/\r\nSet-Cookie: a=b",
        "/%09/evil.example",
        "/%0d%0aSet-Cookie:a=b",
        "/\x00",
        "/%00",
        "/\u2028/evil.example",
        "/\xa0/evil.example",
        "/\ud800",
        " //evil.example",
        "\t//evil.example",
        "/" + "a" * MAX_LENGTH,
    ],
)
def test_everything_else_is_replaced_by_the_default(text: str) -> None:
    assert ensure_own_path(text, "/home") == "/home"
