"""Replaces the links of a message by links whose clicks are counted, where its step asks for that.

Links lead through `BECKON_URL`, so they are replaced only where the recipient reaches it: with https, or on this
machine for messages that stay on it. Elsewhere they stay as they are, and Health says so. Beckon's own links stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.message_link import new_token
from providers.registry import PROVIDERS
from rules import links
from rules.definition import Step
from settings import Settings

#: Maximum different links of a message that are replaced.
MAX_LINKS = 100


class LinkTracker:
    """The replaced links of one message: the same link twice is one."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._tokens: dict[str, str] = {}

    @property
    def urls_by_token(self) -> dict[str, str]:
        """What each token leads to."""
        return {token: url for url, token in self._tokens.items()}

    def replace(self, url: str) -> str:
        """Return the link that replaces a URL; the URL itself where it stays."""
        target = None if links.is_own(url, self._base_url) else links.build_target(url)
        if target is None or (target not in self._tokens and len(self._tokens) == MAX_LINKS):
            return url
        return f"{self._base_url}{links.CLICK_PATH}{self._tokens.setdefault(target, new_token())}"

    def replace_in(self, body: str, format: str) -> str:
        """Return a message's body with its links replaced; `format` is text or html."""
        return (links.replace_in_html if format == "html" else links.replace_in_text)(body, self.replace)

    def replace_in_detail(self, detail: Mapping[str, Any]) -> dict[str, Any]:
        """Return a message's other parts with the links of its buttons replaced, and with the number of its links."""
        buttons = [
            {**button, "url": self.replace(button["url"])} if "url" in button else button
            for button in detail.get("buttons", ())
        ]
        replaced = {"buttons": buttons} if buttons else {}
        count = {"links": len(self._tokens)} if self._tokens else {}
        return {**detail, **replaced, **count}


def find_tracker(settings: Settings, step: Step, provider: str, *, sandbox: bool) -> LinkTracker | None:
    """Return the tracker of a step's message, or None if its links stay as they are."""
    reaches = links.can_lead_links(settings.url) and (
        not links.is_loopback(settings.url) or sandbox or _is_local(settings, provider)
    )
    return LinkTracker(settings.url) if step.track_clicks and reaches else None


def _is_local(settings: Settings, provider: str) -> bool:
    """Whether the provider's API is on this machine, as in tests."""
    setting = PROVIDERS[provider].base_url_setting
    return setting is not None and links.is_loopback(getattr(settings, setting))
