"""Words that a person typed into a search box, as a full text query: every word, the beginning of one is enough."""

from __future__ import annotations

import re

#: More words than this narrow nothing down.
_MAX_WORDS = 10


def build_prefix_query(text: str) -> str | None:
    """`ada by` as `ada:* & by:*` for to_tsquery('simple', …); None where there is no word to look for."""
    words = re.findall(r"\w+", text.lower())[:_MAX_WORDS]
    return " & ".join(f"{word}:*" for word in words) or None
