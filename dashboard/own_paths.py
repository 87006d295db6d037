"""Prevents open redirects: a form or a link may only redirect to a path of this site.

Browsers treat other forms besides `//host` as another host: `/\\host`, or a tab or line break between two slashes.
Everything that is not plainly a path of this site is rejected, also where only percent-decoding reveals it.
"""

from __future__ import annotations

from urllib.parse import unquote

#: No path of this site is longer, and it would not fit into a request line.
MAX_LENGTH = 2000
#: Percent-decodings after which a path is rejected.
_MAX_DECODINGS = 5


def ensure_own_path(text: str, default: str) -> str:
    """`text` where it is a path of this site, else `default`."""
    return text if is_own_path(text) else default


def is_own_path(text: str) -> bool:
    """Whether a redirect to `text` stays on this site."""
    if not text.startswith("/") or len(text) > MAX_LENGTH or not text.isprintable() or "\\" in text:
        return False
    path = text.split("?")[0].split("#")[0]
    for _ in range(_MAX_DECODINGS):
        if "//" in path or "\\" in path or not path.isprintable():
            return False
        decoded = unquote(path)
        if decoded == path:
            return True
        path = decoded
    return False
