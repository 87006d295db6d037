"""Leads from a counted link of a message to its target, and counts the first click.

The target is only what was stored with the message. Programs that open links without a person (previews of messengers,
prefetching browsers, HEAD) are led there too and are not counted.
"""

from __future__ import annotations

import re

import flask
import structlog

from dashboard.errors import RETRY_AFTER_SECONDS
from dashboard.proxies import read_client_network
from ephemeral.rate_limits import RateLimit, try_take
from models import message_link
from models.database import CONNECTION_ERRORS

log = structlog.get_logger(__name__)

link_routes = flask.Blueprint("message-links", __name__)

#: Requests per address. Many people may share one, so it only keeps tokens from being guessed.
LINK_LIMIT = RateLimit("message-links", 50, 500)

# A phone's name may end with "bot", too.
_AUTOMATIC_AGENT = re.compile(
    r"facebookexternalhit|facebot|whatsapp/|skypeuripreview|bingpreview|googleimageproxy|yahoomailproxy|slack-imgproxy"
    r"|embedly|iframely|vkshare|(?<!cu)bot\b|crawler|spider|preview",
    re.IGNORECASE,
)
_PURPOSE_HEADERS = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")


@link_routes.get("/l/<token>")
def follow_link(token: str) -> flask.Response:
    """Redirect to the link's target. No cookie is read or set."""
    wait = try_take(LINK_LIMIT, read_client_network())
    if wait:
        return _refuse(429, "Too many requests from this address. Try again later.", wait)
    try:
        url = message_link.follow(token, is_counted=not _is_automatic()) if message_link.is_token(token) else None
    except CONNECTION_ERRORS as error:
        log.error("postgresql is unavailable", error=str(error).strip())
        return _refuse(503, "This link is temporarily unavailable. Try again in a few seconds.", RETRY_AFTER_SECONDS)
    if url is None:
        return _refuse(404, "This link does not exist, or its message is no longer kept.")
    headers = {"Location": url, "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}
    return flask.Response(status=302, headers=headers)


def _refuse(status: int, text: str, retry_after: int | None = None) -> flask.Response:
    """A text for the recipient of a message, who knows nothing of Beckon's pages."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return flask.Response(f"{text}\n", status, headers, mimetype="text/plain")


def _is_automatic() -> bool:
    """Whether no person caused the current request."""
    request = flask.request
    if request.method != "GET" or _AUTOMATIC_AGENT.search(request.headers.get("User-Agent", "")):
        return True
    purposes = [request.headers.get(name, "").lower() for name in _PURPOSE_HEADERS]
    return any(word in purpose for purpose in purposes for word in ("prefetch", "prerender", "preview"))
