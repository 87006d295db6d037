"""CSRF protection: only pages of this site can change something with a visitor's cookie.

A request that changes something must carry a token derived from its cookie and must not originate from another site.
Tokens need no storage: a token is a keyed hash and expires with its cookie.

Flask-WTF is not used. Its token belongs to Flask's session, a second cookie beside ours that a sign-out does not end,
and expires by time, so that a form that was open for long is lost. The checks of `Sec-Fetch-Site` and of the origin
behind a proxy would stay here, and only the keyed hash would go.
"""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import urlsplit

import flask

from dashboard.errors import ProblemError

HEADER = "X-CSRF-Token"
FIELD = "csrf_token"


def derive_token(secret_key: str, cookie: str) -> str:
    """The token of this cookie."""
    return hmac.new(secret_key.encode(), b"csrf:" + cookie.encode(), hashlib.sha256).hexdigest()


def check(secret_key: str, cookie: str, own_url: str, *, from_secret_page: bool = False) -> None:
    """Raise `ProblemError` 403 unless the current request comes from a page of this site.

    A page with `Referrer-Policy: no-referrer` hides its origin too (Fetch, "serializing a request origin"):
    `from_secret_page` allows that and relies on `Sec-Fetch-Site` and the token.
    """
    if flask.request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise ProblemError(403, "This request comes from another site.")
    origin = flask.request.headers.get("Origin")
    is_origin_hidden = from_secret_page and origin == "null"
    if (
        origin
        and not is_origin_hidden
        and _parse_host(origin) not in (flask.request.host.lower(), _parse_host(own_url))
    ):
        raise ProblemError(403, "This request comes from another site.")
    token = flask.request.headers.get(HEADER) or flask.request.form.get(FIELD, "")
    if not hmac.compare_digest(token.encode("utf-8", "replace"), derive_token(secret_key, cookie).encode()):
        raise ProblemError(403, "The form has expired. Reload the page and try again.")


def _parse_host(url: str) -> str | None:
    """The host and port of a URL; None where it has none, such as the origin `null`."""
    try:
        return urlsplit(url).netloc.lower() or None
    except ValueError:
        return None
