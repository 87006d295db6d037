"""Rewrites names of variables that the Liquid library reads as keywords: `payload.limit` becomes `payload["limit"]`.

Liquid itself takes any word behind a dot for a name.
"""

from __future__ import annotations

import re

_KEYWORDS = (
    "true|false|nil|null|empty|blank|and|or|contains|not|in|offset|limit|reversed|cols|continue|with|for|as|if|else"
    "|required"
)
#: A text in quotes, which stays, or a keyword behind a dot.
_QUOTED_OR_KEYWORD = re.compile(rf"\"[^\"]*\"|'[^']*'|(?<=[\w\]])\s*\.\s*(?P<name>{_KEYWORDS})(?![\w?-])")
_RAW_OR_MARKUP = re.compile(
    r"\{%-?\s*raw\s*-?%\}.*?\{%-?\s*endraw\s*-?%\}|(?P<markup>\{\{.*?\}\}|\{%.*?%\})", re.DOTALL
)


def quote_keywords(template: str) -> str:
    """Return the template with keywords behind a dot as names."""
    return _RAW_OR_MARKUP.sub(lambda match: quote_keywords_in(match[0]) if match["markup"] else match[0], template)


def quote_keywords_in(expression: str) -> str:
    """Return one expression with keywords behind a dot as names."""
    return _QUOTED_OR_KEYWORD.sub(lambda match: f'["{match["name"]}"]' if match["name"] else match[0], expression)
