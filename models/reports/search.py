"""Full text queries from the text of a search box: every word must match, as a prefix."""

from __future__ import annotations

import re

#: Further words are ignored.
_MAX_WORDS = 10


def build_prefix_query(text: str) -> str | None:
    """Convert `ada by` to `ada:* & by:*` for to_tsquery('simple', …); None if there is no word."""
    words = re.findall(r"\w+", text.lower())[:_MAX_WORDS]
    return " & ".join(f"{word}:*" for word in words) or None
