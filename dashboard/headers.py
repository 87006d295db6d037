"""What every answer tells the browser: nothing of ours runs elsewhere, and nothing foreign runs here."""

from __future__ import annotations

import flask

_DEFAULT_HEADERS = {
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
    """Set the headers on every answer; what is behind a sign-in is kept by nobody."""

    @app.after_request
    def set_default_headers(response: flask.Response) -> flask.Response:
        for name, value in _DEFAULT_HEADERS.items():
            response.headers.setdefault(name, value)
        if flask.request.endpoint != "static":
            response.headers.setdefault("Cache-Control", "no-store")
        return response
