"""The footer of bulk e-mail: who sends it, from where, and how to unsubscribe."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

_END_OF_BODY = re.compile(r"</body\s*>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Footer:
    """The parts of a footer; None leaves one out."""

    sender_name: str | None = None
    postal_address: str | None = None
    unsubscribe_url: str | None = None
    preferences_url: str | None = None


def add_footer(body: str, format: str, footer: Footer) -> str:
    """Return the body with the footer at its end; unchanged where the footer has no part."""
    lines = [line.strip() for part in (footer.sender_name, footer.postal_address) for line in (part or "").splitlines()]
    lines = [line for line in lines if line]
    if format == "html":
        return _insert(body, [html.escape(line) for line in lines] + _build_html_links(footer))
    links = [f"Unsubscribe: {footer.unsubscribe_url}"] if footer.unsubscribe_url else []
    links += [f"Choose topics: {footer.preferences_url}"] if footer.preferences_url else []
    # The line that mail programs know as the beginning of a signature.
    return "\n".join([body.rstrip(), "", "-- ", *lines, *links]) if lines or links else body


def _build_html_links(footer: Footer) -> list[str]:
    labels = {"Unsubscribe": footer.unsubscribe_url, "Choose topics": footer.preferences_url}
    links = [f'<a href="{html.escape(url)}" style="color:#555555">{label}</a>' for label, url in labels.items() if url]
    return [" · ".join(links)] if links else []


def _insert(body: str, lines: list[str]) -> str:
    """Insert the lines before the end of the document, or after a fragment."""
    if not lines:
        return body
    style = "margin:24px 0 0;padding:12px 0 0;border-top:1px solid #dddddd;font:12px/1.6 sans-serif;color:#555555"
    footer = f'<p style="{style}">{"<br>".join(lines)}</p>'
    ends = list(_END_OF_BODY.finditer(body))
    at = ends[-1].start() if ends else len(body)
    return f"{body[:at]}{footer}{body[at:]}"
