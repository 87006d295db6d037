"""Where a form or a link may send a browser next: a path of this site, and never another site.

Browsers read more than `//host` as another host: `/\\host`, or a tab or line break between two slashes. Everything
that is not plainly a path of this site is refused, also where it only stops being one by percent-decoding.
"""

from __future__ import annotations

from urllib.parse import unquote

#: Longer paths are not ours; as part of an address they would not fit into a request line either.
MAX_LENGTH = 2000
#: How many times a path may be percent-encoded before it is refused.
_MAX_DECODINGS = 5


def ensure_own_path(text: str, default: str) -> str:
    """`text` where it is a path of this site, else `default`."""
    return text if is_own_path(text) else default


def is_own_path(text: str) -> bool:
    """Whether a browser that is sent to `text` stays on this site."""
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
