"""Writes the head of an HTTP/1.1 request: the request line and the header fields, checked as a whole.

The standard library checks and encodes each field by itself, behind wrappers of urllib3: half of what a request costs.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

#: A name of a header field: a token of RFC 9110, 5.6.2.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: What would end the request line, or its target.
_NOT_IN_TARGET = re.compile(r"[^\x21-\x7e]")


def format_head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """Return the head with the empty line at its end.

    Raises ValueError for a name, a value or a target that would be read as something else, such as one with a line
    break; and for a value that is not Latin-1.
    """
    if not target or _NOT_IN_TARGET.search(target):
        raise ValueError("the request target is empty or has a character that is not allowed")
    lines = [f"{method} {target} HTTP/1.1"]
    for name, value in headers.items():
        _check_name(name)
        lines.append(f"{name}: {value}")
    head = "\r\n".join([*lines, "", ""])
    breaks = len(lines) + 1
    if head.count("\r") != breaks or head.count("\n") != breaks or "\0" in head:
        raise ValueError("a header field has a line break or NUL")
    return head.encode("latin-1")


# The cache stays small: field names come from the code, and few from workflows.
@functools.lru_cache(maxsize=1_000)
def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError("a header field has a name that is not allowed")


def format_host(host: str, port: int, default_port: int) -> str:
    """Return the value of `Host`: an IPv6 address in brackets, the port unless it is the scheme's."""
    name = host if host.isascii() else host.encode("idna").decode()
    name = f"[{name.partition('%')[0]}]" if ":" in name else name
    return name if port == default_port else f"{name}:{port}"
