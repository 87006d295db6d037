"""Writes the text of an HTML e-mail, for programs that show no HTML and for filters that expect both parts.

Links keep their address in angle brackets, pictures their description; scripts, styles and the head are left out.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "center", "div", "dl", "dt", "dd", "fieldset", "figure",
    "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p",
    "pre", "section", "table", "tr", "ul",
})  # fmt: skip
_PARAGRAPHS = frozenset({"blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "table", "ul"})
_SKIPPED = frozenset({"head", "script", "style", "template", "title"})


def to_text(html: str) -> str:
    """Return the text of an HTML document or fragment; empty where it has none."""
    writer = _Writer()
    writer.feed(html)
    writer.close()
    lines = [re.sub(r"[^\S\n\u00a0]+", " ", line).strip() for line in "".join(writer.parts).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


class _Writer(HTMLParser):
    """Collects the text; `parts` are joined as they are."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._skipped: list[str] = []
        #: The address of the open link, and where its text begins.
        self._link: tuple[str, int] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SKIPPED:
            self._skipped.append(tag)
        elif tag == "br":
            self.parts.append("\n")
        elif tag == "img":
            self.handle_data(dict(attrs).get("alt") or "")
        elif tag == "a":
            self._end_link()
            self._link = ((dict(attrs).get("href") or "").strip(), len(self.parts))
        self._break(tag)
        if tag == "li":
            self.parts.append("- ")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _SKIPPED:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._skipped:
            del self._skipped[self._skipped.index(tag) :]
        elif tag == "a":
            self._end_link()
        elif tag in ("td", "th"):
            self.parts.append(" ")
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self.parts.append(re.sub(r"[ \t\r\n\f]+", " ", data))

    def _end_link(self) -> None:
        if self._link is None:
            return
        (url, start), self._link = self._link, None
        if url.lower().startswith(("http://", "https://", "mailto:")) and url not in "".join(self.parts[start:]):
            self.parts.append(f" <{url}>")

    def _break(self, tag: str) -> None:
        if tag in _BLOCKS and not self._skipped:
            self.parts.append("\n\n" if tag in _PARAGRAPHS else "\n")
