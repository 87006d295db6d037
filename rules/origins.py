"""Origins of web pages, as browsers send them: scheme, host and port, without a path."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

#: A name or an address in ASCII, without wildcards.
_HOST = re.compile(r"[a-z0-9:](?:[a-z0-9.:-]*[a-z0-9:])?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def normalise_origin(text: str) -> str:
    """Return the origin as a browser's `Origin` header has it, such as `https://shop.example`. Raises `ValueError`."""
    message = "must be an origin such as https://shop.example, without a path"
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        raise ValueError(message) from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.username or parts.password:
        raise ValueError(message)
    if parts.path not in ("", "/") or parts.query or parts.fragment or not _HOST.fullmatch(parts.hostname):
        raise ValueError(message)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    suffix = "" if port is None or port == _DEFAULT_PORTS[parts.scheme] else f":{port}"
    return f"{parts.scheme}://{host}{suffix}"
