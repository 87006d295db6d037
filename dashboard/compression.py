"""Compresses texts for clients that accept gzip. Streams are never compressed.

A response that mixes a secret with what an attacker chose tells by its length whether they match (BREACH,
https://breachattack.com). The attacker needs requests with the visitor's cookie from a page of his own. Such a request
carries no cookie (SameSite=Lax) unless it is a navigation, and every browser names its origin in `Sec-Fetch-Site`: what
another site asks for is not compressed, so its length tells nothing.

Flask-Compress is not used. It brings native packages for brotli and zstd, which save little over gzip at these sizes,
and it has no rule for a single request.
"""

from __future__ import annotations

import gzip

import flask

from dashboard.gevent_support import compute

#: Shorter bodies fit into one packet anyway.
MIN_BYTES = 1024
_LEVEL = 5
#: A larger body is compressed in a native thread.
_LARGE_BYTES = 256 * 1024
_TYPES = frozenset(
    {
        "application/javascript", "application/json", "application/problem+json", "image/svg+xml", "text/css",
        "text/csv", "text/html", "text/javascript", "text/plain",
    }
)  # fmt: skip


def register(app: flask.Flask) -> None:
    """Compress the responses of the application."""
    static_bodies: dict[str, bytes] = {}

    @app.after_request
    def compress(response: flask.Response) -> flask.Response:
        if response.mimetype not in _TYPES or response.status_code in (204, 206, 304):
            return response
        _vary_by_encoding(response)
        is_static = flask.request.endpoint == "static"
        if "Content-Encoding" in response.headers or not (is_static or _is_large(response)) or not _is_welcome():
            return response
        if is_static:
            _compress_static(response, static_bodies)
        else:
            _replace(response, _compress(response.get_data()))
        return response


def _is_large(response: flask.Response) -> bool:
    """Whether the body is worth it; asked before the request's headers, because most are not."""
    return not response.is_streamed and len(response.get_data()) >= MIN_BYTES


def _compress(body: bytes) -> bytes:
    # A large page takes a tenth of a second, in which zlib needs no interpreter.
    return compute(_gzip, body) if len(body) > _LARGE_BYTES else _gzip(body)


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, _LEVEL, mtime=0)


def _vary_by_encoding(response: flask.Response) -> None:
    """Name the request's header on which the body depends; most responses depend on no other."""
    if "Vary" in response.headers:
        response.vary.add("Accept-Encoding")
    else:
        response.headers["Vary"] = "Accept-Encoding"


def _is_welcome() -> bool:
    """Whether the client accepts gzip, and no other site asks."""
    request = flask.request
    is_own = request.endpoint == "static" or request.headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin")
    return is_own and request.accept_encodings["gzip"] > 0


def _compress_static(response: flask.Response, bodies: dict[str, bytes]) -> None:
    """Compress a file once for all requests. Its entity tag becomes weak: it names both encodings."""
    etag, _ = response.get_etag()
    if (response.content_length or 0) < MIN_BYTES or etag is None:
        return
    if etag not in bodies:
        response.direct_passthrough = False
        bodies[etag] = gzip.compress(response.get_data(), 9, mtime=0)
    response.close()
    response.direct_passthrough = False
    _replace(response, bodies[etag])
    response.set_etag(etag, weak=True)


def _replace(response: flask.Response, body: bytes) -> None:
    response.set_data(body)
    response.headers["Content-Encoding"] = "gzip"
