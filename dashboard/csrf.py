"""Only our own pages may change something with a visitor's cookie.

A change must carry a token that is derived from the cookie it came with, and must not say that another site began it.
A token needs no storage: it is a keyed hash, and ends with its cookie.
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
    """The token that goes with this cookie."""
    return hmac.new(secret_key.encode(), b"csrf:" + cookie.encode(), hashlib.sha256).hexdigest()


def check(secret_key: str, cookie: str, own_url: str, *, from_secret_page: bool = False) -> None:
    """Raise `Refusal` 403 unless the present request comes from one of our pages.

    A page with `Referrer-Policy: no-referrer` does not say its origin either (Fetch, "serializing a request origin"):
    `from_secret_page` allows that, and leaves it to `Sec-Fetch-Site` and the token.
    """
    if flask.request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise ProblemError(403, "Another site began this request.")
    origin = flask.request.headers.get("Origin")
    is_origin_hidden = from_secret_page and origin == "null"
    if (
        origin
        and not is_origin_hidden
        and _parse_host(origin) not in (flask.request.host.lower(), _parse_host(own_url))
    ):
        raise ProblemError(403, "Another site began this request.")
    token = flask.request.headers.get(HEADER) or flask.request.form.get(FIELD, "")
    if not hmac.compare_digest(token.encode("utf-8", "replace"), derive_token(secret_key, cookie).encode()):
        raise ProblemError(403, "The page is too old or not ours: load it again.")


def _parse_host(url: str) -> str | None:
    """The host and port of a URL; None for what is none, such as the origin `null`."""
    try:
        return urlsplit(url).netloc.lower() or None
    except ValueError:
        return None
