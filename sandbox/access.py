"""Restricts the sandbox to programs on this machine; web pages have no access.

A browser sends requests to loopback on behalf of any page, and an attacker's domain name may resolve to 127.0.0.1. So
the Host header must be the sandbox's own loopback address, the request must not come from another origin, and requests
to the script endpoints must be JSON, which a page cannot send across origins without a preflight.
"""

from __future__ import annotations

from sandbox.http import HttpResponse, Request

#: The sandbox's address, independent of the dashboard's.
LOOPBACK = "127.0.0.1"
SCRIPTS = "/_sandbox"

_NAMES = ("127.0.0.1", "localhost", "[::1]")
_HTTP_PORT = 80
#: `Sec-Fetch-Site` of requests from the sandbox's own page, or from a typed URL.
_OWN_SITES = ("same-origin", "none")


def check_access(request: Request, port: int) -> HttpResponse | None:
    """Return the rejection of a request to the sandbox on `port`; None if the request is allowed."""
    host = request.headers.get("host", "").lower()
    if host not in _list_hosts(port):
        return _build_rejection(421, "the Host header must be the sandbox's own loopback address and port")
    origin = request.headers.get("origin")
    if origin is not None and origin.lower() != f"http://{host}":
        return _build_rejection(403, "a page of another origin may not use the sandbox")
    if request.headers.get("sec-fetch-site", "none").lower() not in _OWN_SITES:
        return _build_rejection(403, "a page of another site may not use the sandbox")
    if is_for_scripts(request) and _has_body(request) and not _is_json(request):
        return _build_rejection(415, "the Content-Type must be application/json")
    return None


def is_for_scripts(request: Request) -> bool:
    """Whether the path is one of the sandbox's own endpoints, not a provider's."""
    return request.path == SCRIPTS or request.path.startswith(f"{SCRIPTS}/")


def _list_hosts(port: int) -> set[str]:
    own = {f"{name}:{port}" for name in _NAMES}
    return own | set(_NAMES) if port == _HTTP_PORT else own


def _has_body(request: Request) -> bool:
    return bool(request.body) or "content-type" in request.headers or request.method in ("POST", "PUT", "PATCH")


def _is_json(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def _build_rejection(status: int, detail: str) -> HttpResponse:
    return HttpResponse(status, {"success": False, "detail": detail})
