"""Security headers of every response: no framing by other sites, and no foreign scripts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import flask

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

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
_DEFAULTS = [(name.lower(), (name, value)) for name, value in DEFAULT_HEADERS.items()]


def register(app: flask.Flask) -> None:
    """Set the headers on every response; all but static files are never cached."""
    app.wsgi_app = _DefaultHeaders(app.wsgi_app)  # type: ignore[method-assign]

    @app.after_request
    def forbid_caching(response: flask.Response) -> flask.Response:
        if flask.request.endpoint != "static":
            response.headers.setdefault("Cache-Control", "no-store")
        return response


class _DefaultHeaders:
    """The application, whose responses get the headers last, as plain pairs: earlier each would be looked for, checked
    and copied among the others."""

    def __init__(self, wsgi_app: WSGIApplication) -> None:
        self._wsgi_app = wsgi_app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            present = {name.lower() for name, _ in headers}
            missing = [header for name, header in _DEFAULTS if name not in present]
            return start_response(status, [*headers, *missing], *error)

        return self._wsgi_app(environ, start)
