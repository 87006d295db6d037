"""Who may use the sandbox: programs on this machine, and no web page.

A browser sends requests to loopback for any page that asks it to, and a name that an attacker controls may resolve to
127.0.0.1. So the request must name the sandbox's own loopback address, must not come from another origin, and must be
JSON where it is for scripts, which a page cannot send across origins without a preflight.
"""

from __future__ import annotations

from sandbox.http import HttpResponse, Request

#: Where the sandbox listens, whatever the dashboard listens on.
LOOPBACK = "127.0.0.1"
SCRIPTS = "/_sandbox"

_NAMES = ("127.0.0.1", "localhost", "[::1]")
_HTTP_PORT = 80
#: What a browser says of a request by the sandbox's own page, or by a person who typed the address.
_OWN_SITES = ("same-origin", "none")


def check_access(request: Request, port: int) -> HttpResponse | None:
    """The answer to a request that the sandbox listening on `port` does not take; None where it takes it."""
    host = request.headers.get("host", "").lower()
    if host not in _list_hosts(port):
        return _build_rejection(421, "the Host header must name the sandbox's own loopback address and port")
    origin = request.headers.get("origin")
    if origin is not None and origin.lower() != f"http://{host}":
        return _build_rejection(403, "a page of another origin may not use the sandbox")
    if request.headers.get("sec-fetch-site", "none").lower() not in _OWN_SITES:
        return _build_rejection(403, "a page of another site may not use the sandbox")
    if is_for_scripts(request) and _has_body(request) and not _is_json(request):
        return _build_rejection(415, "the Content-Type must be application/json")
    return None


def is_for_scripts(request: Request) -> bool:
    """Whether the path is one of the sandbox's own, not a provider's."""
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
