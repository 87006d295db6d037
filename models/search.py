"""Full text queries from the text of a search box: every word must match, as a prefix."""

from __future__ import annotations

import re
from typing import Any

from peewee import fn

#: Further words are ignored.
_MAX_WORDS = 10


def build_prefix_query(text: str) -> str | None:
    """Convert `ada by` to `ada:* & by:*` for to_tsquery('simple', …); None if there is no word."""
    words = re.findall(r"\w+", text.lower())[:_MAX_WORDS]
    return " & ".join(f"{word}:*" for word in words) or None


def match_words(words: str) -> Any:
    """Build the full text query of words from `build_prefix_query`."""
    return fn.to_tsquery("simple", words)


def find_matching_contacts(words: str, text: str, limit: int | None) -> Any:
    """Build the ids of the acting workspace's contacts with these words in their names, or with `text` as their
    address; `limit` bounds them."""
    return fn.find_matching_contacts(match_words(words), text, limit)
