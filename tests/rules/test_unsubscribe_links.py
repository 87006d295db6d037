"""The signed links of e-mail: what they carry, and what they refuse."""

from __future__ import annotations

import uuid

import pytest

from rules.consent import may_email
from rules.email_footer import Footer, add_footer
from rules.masking import mask_address
from rules.unsubscribe_links import Recipient, build_url, parse_token

KEY, HASH, WORKSPACE = b"k" * 32, bytes(range(32)), str(uuid.uuid4())


def build_token(topic: str | None = None, key: bytes = KEY) -> str:
    return build_url("https://b.example", key, Recipient(WORKSPACE, HASH, topic)).removeprefix("https://b.example/u/")


@pytest.mark.parametrize("topic", [None, "news", "Ünï 📰", "x" * 64])
def test_a_link_carries_workspace_address_hash_and_topic(topic: str | None) -> None:
    parsed = parse_token(build_token(topic))
    assert parsed is not None
    assert parsed.recipient == Recipient(WORKSPACE, HASH, topic)
    assert parsed.is_signed_with(KEY)
    assert not parsed.is_signed_with(b"x" * 32)


def test_no_character_of_a_link_can_be_changed() -> None:
    token = build_token("news")
    # The last character also has bits that encode nothing.
    for place in range(len(token) - 1):
        parsed = parse_token(token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :])
        assert parsed is None or not parsed.is_signed_with(KEY)


@pytest.mark.parametrize("text", ["", "x", "a" * 20, "a" * 10_000, "é" * 90, "a+/b" * 30, "====", "a" * 89])
def test_anything_else_is_no_link(text: str) -> None:
    parsed = parse_token(text)
    assert parsed is None or not parsed.is_signed_with(KEY)


@pytest.mark.parametrize(
    ("reasons", "topics", "kind", "allowed"),
    [
        ([], {}, {}, True),
        (["unsubscribed"], {}, {}, False),
        (["unsubscribed"], {}, {"transactional": True}, True),
        (["unsubscribed", "bounced"], {}, {"transactional": True}, False),
        (["complained"], {"news": True}, {"topic": "news"}, False),
        (["stopped"], {}, {"transactional": True}, False),
        (["unsubscribed"], {"news": True}, {"topic": "news"}, True),
        (["unsubscribed"], {"news": True}, {"topic": "sale"}, False),
        (["unsubscribed"], {"news": True}, {}, False),
        ([], {"news": False}, {"topic": "news"}, False),
        ([], {"news": False}, {"topic": "news", "transactional": True}, True),
        ([], {"news": False}, {}, True),
    ],
)
def test_what_may_be_sent_to_an_address(
    reasons: list[str], topics: dict[str, bool], kind: dict[str, object], allowed: bool
) -> None:
    assert may_email(reasons, topics, **kind) is allowed  # type: ignore[arg-type]


FOOTER = Footer("Ada & Co", "1 Main St\n\n Rome ", "https://b.example/u/t", "https://b.example/u/t/preferences")


def test_a_footer_ends_a_text() -> None:
    assert add_footer("Hello\n", "text", FOOTER) == (
        "Hello\n\n-- \nAda & Co\n1 Main St\nRome\nUnsubscribe: https://b.example/u/t\n"
        "Choose topics: https://b.example/u/t/preferences"
    )
    assert add_footer("Hello\n", "text", Footer()) == "Hello\n"
    assert add_footer("Hello\n", "text", Footer("", " \n ")) == "Hello\n"


@pytest.mark.parametrize(
    ("body", "start", "end"),
    [
        ("<p>Hi</p>", "<p>Hi</p><p style=", "</p>"),
        ("<BODY>Hi</BODY ></html>", "<BODY>Hi<p style=", "</p></BODY ></html>"),
    ],
)
def test_a_footer_stands_in_the_body_of_html_and_is_escaped(body: str, start: str, end: str) -> None:
    text = add_footer(body, "html", FOOTER)
    assert text.startswith(start)
    assert text.endswith(end)
    assert "Ada &amp; Co<br>1 Main St<br>Rome<br>" in text
    assert 'href="https://b.example/u/t"' in text
    assert add_footer(body, "html", Footer()) == body


@pytest.mark.parametrize(
    ("address", "masked"), [("ada@example.com", "a••@e••.com"), ("a@b", "a••@••.b"), ("x@a.b.co.uk", "x••@a••.uk")]
)
def test_an_address_is_masked(address: str, masked: str) -> None:
    assert mask_address(address) == masked
