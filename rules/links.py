"""Finds the links of a message, so that each can be replaced by one whose clicks are counted.

In a text, links begin with http:// or https:// and end at white space, without the punctuation that follows them. In
HTML they are the `href` of `<a>` and `<area>`; comments, scripts and styles stay as they are.
"""

from __future__ import annotations

import functools
import html
import ipaddress
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from werkzeug.urls import iri_to_uri

#: Returns the link that replaces a URL; the URL itself leaves it.
Replace = Callable[[str], str]

#: Maximum characters of a link that is replaced.
MAX_URL_LENGTH = 4096
#: Paths of Beckon's own links: clicks, and the pages of unsubscription and preferences.
CLICK_PATH, UNSUBSCRIBE_PATH = "/l/", "/u/"

_URL_IN_TEXT = re.compile(r"(?<![A-Za-z0-9_])https?://[^\s<>\"]+", re.IGNORECASE)
_TRAILING = ".,:;!?*_~'\u2019\u201d\u00bb\u2026\u3002\uff0c\u3001\uff01\uff1f\uff1a\uff1b"
_BRACKETS = {")": "(", "]": "[", "}": "{", "\uff09": "\uff08", "\u300d": "\u300c", "\u3011": "\u3010"}

# Each alternative always matches to its end or to the end of the text, so that the search takes linear time.
_TAG = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style|title|textarea|xmp)\b.*?(?:</\1\b|\Z)"
    r"|(?P<tag><(?:a|area)(?=[\s/])(?:[^>\"']|\"[^\"]*(?:\"|\Z)|'[^']*(?:'|\Z))*+)",
    re.IGNORECASE | re.DOTALL,
)
_ATTRIBUTE = re.compile(r"([^\s=>/\"']+)(?:\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s>\"'][^\s>]*))?")
_REFERENCE = re.compile(r"&(?:#[0-9]+|#[xX][0-9a-fA-F]+|[A-Za-z][A-Za-z0-9]*);")
_SCHEME = re.compile(r"https?://", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x20\x7f]")


def replace_in_text(text: str, replace: Replace) -> str:
    """Return a text with each link replaced."""
    return _URL_IN_TEXT.sub(lambda match: _replace_in_match(match[0], replace), text)


def _replace_in_match(text: str, replace: Replace) -> str:
    url = _strip_punctuation(text)
    return replace(url) + text[len(url) :]


def _strip_punctuation(url: str) -> str:
    """Remove punctuation after a link, and a closing bracket that none opens in it."""
    # How many of each closing bracket none opens.
    unopened = {bracket: url.count(bracket) - url.count(opening) for bracket, opening in _BRACKETS.items()}
    end = len(url)
    while end:
        last = url[end - 1]
        if last not in _TRAILING and unopened.get(last, 0) <= 0:
            break
        if last in unopened:
            unopened[last] -= 1
        end -= 1
    return url[:end]


def replace_in_html(source: str, replace: Replace) -> str:
    """Return HTML with each link replaced; everything else stays byte for byte."""
    return _TAG.sub(lambda match: _replace_in_tag(match[0], replace) if match["tag"] else match[0], source)


def _replace_in_tag(tag: str, replace: Replace) -> str:
    # The first match is the tag's name. Browsers heed the first of several attributes with one name.
    attributes = list(_ATTRIBUTE.finditer(tag))[1:]
    href = next((match for match in attributes if match[1].lower() == "href"), None)
    if href is None or href[2] is None:
        return tag
    url = _read_value(href[2])
    replaced = replace(url) if _SCHEME.match(url) else url
    return tag if replaced == url else f'{tag[: href.start(2)]}"{html.escape(replaced)}"{tag[href.end(2) :]}'


def _read_value(source: str) -> str:
    """Return the URL of an attribute as a browser reads it: `&copy=1` without a semicolon is no reference."""
    quoted = source[1:-1] if source[0] in "\"'" else source
    text = _REFERENCE.sub(lambda match: html.unescape(match[0]), quoted)
    return re.sub(r"[\t\r\n]", "", text).strip().replace(" ", "%20")


def build_target(url: str) -> str | None:
    """Return the URL to which a click leads, in ASCII; None for one that no browser would open, or that is too long."""
    try:
        target = url if url.isascii() else iri_to_uri(url)
        parts = urlsplit(target)
        is_valid = parts.scheme.lower() in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return target if is_valid and len(target) <= MAX_URL_LENGTH and not _CONTROL.search(target) else None


def is_own(url: str, base_url: str) -> bool:
    """Whether this is one of Beckon's own links, which are never replaced."""
    return url.startswith((f"{base_url}{CLICK_PATH}", f"{base_url}{UNSUBSCRIBE_PATH}"))


# The URLs come from the settings, so the cache stays small.
@functools.lru_cache(maxsize=100)
def is_loopback(url: str) -> bool:
    """Whether only this machine reaches the URL."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def can_lead_links(base_url: str) -> bool:
    """Whether links may lead through Beckon's own address: with https, or on this machine."""
    return base_url.startswith("https://") or is_loopback(base_url)
