"""The text part of an HTML e-mail."""

from __future__ import annotations

import pytest

from rules.html_text import to_text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Hello <b>Ada</b>,</p><p>all  is\nwell.</p>", "Hello Ada,\n\nall is well."),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("<ul><li>One</li><li>Two</li></ul>", "- One\n\n- Two"),
        ('<a href="https://a.example/?x=1&amp;y=2">Shop</a>', "Shop <https://a.example/?x=1&y=2>"),
        ('<a href="https://a.example">https://a.example</a>', "https://a.example"),
        ('<a href="javascript:alert(1)">Shop</a>', "Shop"),
        ('<img src="x" alt="A red shoe"><img src="pixel">', "A red shoe"),
        ("<head><title>T</title><style>p{}</style></head><script>1 < 2</script><p>A</p>", "A"),
        ("Fish &amp; chips &lt;3 &nbsp;now", "Fish & chips <3 \u00a0now"),
        ("<table><tr><td>A</td><td>1</td></tr><tr><td>B</td><td>2</td></tr></table>", "A 1\n\nB 2"),
        ("<p>open <b>forever", "open forever"),
        ("<!-- note --><p>A</p>", "A"),
        ("", ""),
    ],
)
def test_a_text_is_written_from_html(html: str, text: str) -> None:
    assert to_text(html) == text
