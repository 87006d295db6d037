"""The zone in which the pages show times to one person: the browser's, the workspace's or UTC, as the person chose.

The choice and the browser's zone are cookies; `static/zone.js` writes the latter. Days that are counted, such as
today, remain the workspace's, whatever a page shows.
"""

from __future__ import annotations

from typing import Any, Literal, get_args
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import flask

from dashboard.cookies import set_cookie
from rules.schedule import find_zone

ZoneChoice = Literal["browser", "workspace", "utc"]

#: The cookies of the choice and of the browser's zone.
CHOICE = "beckon_zone"
BROWSER = "beckon_browser_zone"
#: The browser's zone for people who have chosen nothing.
DEFAULT: ZoneChoice = "browser"

_YEAR_SECONDS = 365 * 86_400


def read_choice() -> ZoneChoice:
    """The person's choice."""
    value = flask.request.cookies.get(CHOICE)
    return value if value in get_args(ZoneChoice) else DEFAULT  # type: ignore[return-value]


def read_browser_zone() -> ZoneInfo | None:
    """The zone that the browser named, or None where it named none that is known."""
    try:
        return find_zone(unquote(flask.request.cookies.get(BROWSER, ""))[:64] or "none")
    except ValueError:
        return None


def resolve_zone(workspace_zone: str) -> ZoneInfo:
    """The zone of the pages. Without a known zone of the browser it is the workspace's."""
    choice = read_choice()
    if choice == "utc":
        return ZoneInfo("UTC")
    browser_zone = read_browser_zone() if choice == "browser" else None
    return browser_zone or find_zone(workspace_zone)


def remember_choice(response: Any, choice: str) -> bool:
    """Store the choice for a year; return False for one that does not exist."""
    if choice not in get_args(ZoneChoice):
        return False
    set_cookie(response, CHOICE, choice, _YEAR_SECONDS)
    return True
