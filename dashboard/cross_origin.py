"""Cross-origin requests (CORS) of web pages, only to the routes that accept a site key.

A response names the page's origin, never `*`, and never allows credentials. An error that precedes the check of the
site key names it as well, so that the page's script can read what is wrong; a page of another origin reads nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

import flask

from dashboard.producers import SITE_KEY_HEADER, read_site_key
from dashboard.resource import Operation
from models import site_key
from models.database import CONNECTION_ERRORS
from models.site_key import SiteKey

#: Seconds for which a browser may keep the answer of a preflight request; Chromium keeps none longer.
MAX_AGE_SECONDS = 7200


def register(app: flask.Flask, operations: Iterable[Operation]) -> None:
    """Add the headers to the responses of the operations that accept a site key."""
    methods = {operation.path: operation.method for operation in operations if operation.site_key}

    @app.after_request
    def set_cross_origin_headers(response: flask.Response) -> flask.Response:
        method = methods.get(flask.request.path)
        if method is None:
            return response
        response.vary.add("Origin")
        origin = flask.request.headers.get("Origin", "null")
        if origin != "null" and _may_read(response, origin):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = "Retry-After, X-Request-Id"
            if _is_preflight():
                _allow_request(response, method)
        return response


def _is_preflight() -> bool:
    return flask.request.method == "OPTIONS" and "Access-Control-Request-Method" in flask.request.headers


def _may_read(response: flask.Response, origin: str) -> bool:
    key: SiteKey | None = flask.g.get("site_key")
    if _is_preflight():
        key = _find_preflight_key()
    elif key is None:
        return response.status_code >= 400
    return key is None or key.allows(origin)


def _find_preflight_key() -> SiteKey | None:
    """The site key of the URL. A preflight request has no header with it: then the request itself is judged."""
    try:
        return site_key.find_recent(read_site_key() or "")
    except CONNECTION_ERRORS:
        return None


def _allow_request(response: flask.Response, method: str) -> None:
    response.headers["Access-Control-Allow-Methods"] = method
    response.headers["Access-Control-Allow-Headers"] = f"Content-Type, {SITE_KEY_HEADER}"
    response.headers["Access-Control-Max-Age"] = str(MAX_AGE_SECONDS)
