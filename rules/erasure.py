"""The patterns by which an erasure finds a contact's addresses and names in stored text: whole words, in lower case.

They are regular expressions of PostgreSQL. A part of a longer address or number is no match:
`bada@example.com` does not contain `ada@example.com`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Shorter texts occur by chance.
MIN_LENGTH = 3
_BEFORE, _AFTER = r"(?<![[:alnum:]_.-])", r"(?![[:alnum:]_-]|\.[[:alnum:]])"


def build_pattern(texts: Iterable[str | None], *, whole: bool = True) -> str | None:
    """Return the pattern of lower-case text that contains one of these, also within a URL; None for none.

    Without `whole` they may be parts of longer words.
    """
    words = {form for text in texts if text for form in _list_forms(text.strip().lower()) if len(form) >= MIN_LENGTH}
    if not words:
        return None
    alternatives = "|".join(re.escape(word) for word in sorted(words))
    return f"{_BEFORE}[+]?({alternatives}){_AFTER}" if whole else f"({alternatives})"


def _list_forms(text: str) -> set[str]:
    return {text.removeprefix("+"), text.removeprefix("+").replace("@", "%40")}
