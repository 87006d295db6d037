"""Security headers of every response: no framing by other sites, and no foreign scripts."""

from __future__ import annotations

import flask

#: The headers of every response that does not set its own.
DEFAULT_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; object-src 'none'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def register(app: flask.Flask) -> None:
    """Set the headers on every response; all but static files are never cached."""

    @app.after_request
    def set_default_headers(response: flask.Response) -> flask.Response:
        for name, value in DEFAULT_HEADERS.items():
            response.headers.setdefault(name, value)
        if flask.request.endpoint != "static":
            response.headers.setdefault("Cache-Control", "no-store")
        return response
