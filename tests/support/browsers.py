"""The browser of this process: one for the browser tests that follow one another, whatever their files.

Playwright runs an event loop in the thread that opened it, which other tests may need for a loop of their own: the
browser is closed before the next test of another folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser

#: The folders whose tests use it.
FOLDERS = ("tests/browser/", "tests/journeys/")

_open: list[tuple[Any, Browser]] = []


def launch(path: str) -> Browser:
    """The open browser, or a new one of this binary. Each test has a context of its own."""
    if not _open:
        # Most processes of the tests need no browser.
        from playwright.sync_api import sync_playwright

        playwright = sync_playwright().start()
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        _open.append((playwright, playwright.chromium.launch(executable_path=path, args=arguments)))
    return _open[0][1]


def close() -> None:
    """Close the browser, if one is open."""
    while _open:
        playwright, browser = _open.pop()
        browser.close()
        playwright.stop()
