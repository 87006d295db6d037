"""Checks the slug of a workspace: its short name in commands and URLs."""

from __future__ import annotations

import re
import uuid

MAX_LENGTH = 63

_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


def build_slug(name: str) -> str:
    """Return a name's letters and digits as a slug, for the name of a file; `automation` where it has none."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:MAX_LENGTH] or "automation"


def check_slug(text: str) -> str | None:
    """Return why this is not a slug, as the end of a sentence that begins with "The slug", or None."""
    if not _SLUG.fullmatch(text) or len(text) > MAX_LENGTH:
        return f"must have at most {MAX_LENGTH} lower-case letters, digits and single hyphens between them"
    try:
        uuid.UUID(text)
    except ValueError:
        return None
    return "must not look like an id"
