"""Search by words: every word of the query must be the beginning of some word of the row.

PostgreSQL folds both sides in the same function: by NFKD and case, without accents (`fold_words` of migration 0042).
"""

from __future__ import annotations

import re
from typing import Any

from peewee import Expression, fn

from rules.contacts import strip_phone

_PHONE = re.compile(r"\+\d{5,15}")


def match_words(text: str | None) -> Any:
    """Build the full text query for the words of `text`; null, which matches nothing, if there is none."""
    return fn.match_words(text)


def clean_query(text: str | None) -> str:
    """Remove the spaces around a query, and the separators within a phone number with its country code."""
    query = (text or "").strip()
    phone = strip_phone(query)
    return phone if _PHONE.fullmatch(phone) else query


def has_words(column: Any, text: str) -> Expression:
    """Build whether a text column has words that begin with those of `text`. It uses no index."""
    return Expression(fn.search_words(column), "@@", match_words(text))


def find_matching_contacts(text: str, limit: int | None) -> Any:
    """Build the ids of the acting workspace's contacts with these words in their names and addresses, or with `text` as
    their address; `limit` bounds them."""
    return fn.find_matching_contacts(match_words(text), text, limit)
