"""The slug of a workspace: the short name by which commands and addresses speak of it."""

from __future__ import annotations

import re
import uuid

MAX_LENGTH = 63

_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


def check_slug(text: str) -> str | None:
    """Why this cannot be a slug, in words that follow "The slug", or None."""
    if not _SLUG.fullmatch(text) or len(text) > MAX_LENGTH:
        return f"must have at most {MAX_LENGTH} lower-case letters, digits and single hyphens between them"
    try:
        uuid.UUID(text)
    except ValueError:
        return None
    return "must not look like an id"
