"""Links of messages: found in texts and HTML, and replaced without changing anything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.links import build_target, can_lead_links, is_own, replace_in_html, replace_in_text


def mark(url: str) -> str:
    return f"[{url}]"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("See https://a.example/x.", "See [https://a.example/x]."),
        ("https://a.example, http://b.example!", "[https://a.example], [http://b.example]!"),
        ("(https://a.example/wiki/A_(b))", "([https://a.example/wiki/A_(b)])"),
        ("[shop](https://a.example/x)", "[shop]([https://a.example/x])"),
        ("<https://a.example/?a=1&b=2#part>", "<[https://a.example/?a=1&b=2#part]>"),
        ("HTTPS://A.example/X?", "[HTTPS://A.example/X]?"),
        ("https://münchen.example/straße#ö …", "[https://münchen.example/straße#ö] …"),
        ("詳細はhttps://a.example/x。", "詳細は[https://a.example/x]。"),
        ("“https://a.example/x”", "“[https://a.example/x]”"),
        ("a@b.example mailto:a@b.example www.a.example xhttps://a.example", None),
        ("https://a.example\nhttps://a.example", "[https://a.example]\n[https://a.example]"),
        ("'https://a.example/it's'", "'[https://a.example/it's]'"),
    ],
)
def test_links_in_a_text_are_replaced(text: str, expected: str | None) -> None:
    assert replace_in_text(text, mark) == (text if expected is None else expected)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('<a href="https://a.example">x</a>', '<a href="[https://a.example]">x</a>'),
        ("<A class=b HREF = 'https://a.example'>", '<A class=b HREF = "[https://a.example]">'),
        ("<a href=https://a.example/?b=1>x", '<a href="[https://a.example/?b=1]">x'),
        ('<a href="https://a.example/?a=1&amp;b=2">', '<a href="[https://a.example/?a=1&amp;b=2]">'),
        ('<a href="https://a.example/?a=1&copy=2">', '<a href="[https://a.example/?a=1&amp;copy=2]">'),
        ('<a href=" https://a.example/a b\n">', '<a href="[https://a.example/a%20b]">'),
        (
            '<a title=" href=\'https://x.example\'" href="https://a.example">',
            '<a title=" href=\'https://x.example\'" href="[https://a.example]">',
        ),
        (
            '<a href="https://a.example" href="https://b.example">',
            '<a href="[https://a.example]" href="https://b.example">',
        ),
        ('<area shape="rect" href="https://a.example"/>', '<area shape="rect" href="[https://a.example]"/>'),
        ('<a title="a > b" href="https://a.example">', '<a title="a > b" href="[https://a.example]">'),
        ('<p>https://a.example</p><img src="https://a.example/x.png">', None),
        ('<a href="mailto:a@b.example"><a href="tel:1"><a href="#x"><a href="/x"><a name="x"><a href>', None),
        ('<!-- <a href="https://a.example"> --><style>a[href="https://a.example"]{}</style>', None),
        ('<abbr href="https://a.example">', None),
        ('<link href="https://a.example/x.css">', None),
        ('<a href="https://a.example', None),
    ],
)
def test_links_in_html_are_replaced(source: str, expected: str | None) -> None:
    assert replace_in_html(source, mark) == (source if expected is None else expected)


@given(st.text(st.sampled_from("<a href=\"'>!-https://x.e &amp;()\n")))
def test_without_a_replacement_nothing_changes(source: str) -> None:
    assert replace_in_html(source, lambda url: url) == source
    assert replace_in_text(source, lambda url: url) == source


@pytest.mark.parametrize("source", ['<a "', "<!--", "<style>", "<a href='", "https://a.example(", "https://a.example)"])
def test_unclosed_parts_take_linear_time(source: str) -> None:
    # Quadratic time would exceed the test's time limit by far.
    text = source + source[-1] * 100_000 + source * 20_000
    assert replace_in_html(text, lambda url: url) == text
    assert replace_in_text(text, lambda url: url) == text


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://a.example/x?y=|#z", "https://a.example/x?y=|#z"),
        ("https://münchen.example/ü?ü#ü", "https://xn--mnchen-3ya.example/%C3%BC?%C3%BC#%C3%BC"),
        ("https://", None),
        ("https://a.example:99999/", None),
        ("https://[::1", None),
        ("https://ü..example/", None),
        ("javascript:alert(1)", None),
        ("https://a.example/" + "x" * 4096, None),
        ("https://a.example/\x7f", None),
    ],
)
def test_a_target_is_an_ascii_url_that_a_browser_opens(url: str, target: str | None) -> None:
    assert build_target(url) == target


def test_own_links_and_addresses_are_recognised() -> None:
    base = "https://beckon.example"
    assert is_own(f"{base}/l/abc", base)
    assert is_own(f"{base}/u/abc/preferences", base)
    assert not is_own(f"{base}/pricing", base)
    assert not is_own("https://other.example/l/abc", base)
    addresses = ("https://beckon.example", "http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080")
    assert all(can_lead_links(url) for url in addresses)
    assert not any(can_lead_links(url) for url in ("http://beckon.example", "http://10.0.0.7:8080"))
