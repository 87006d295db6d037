"""The sender of a workspace's e-mail: how a name and an address are checked and written."""

from __future__ import annotations

import re

#: Characters that a name needs quotes for; a quote or a backslash within it is refused.
_SPECIAL = re.compile(r"[()<>@,;:\[\].]")


def find_name_fault(name: str) -> str | None:
    """Return what is wrong with a sender's name, or None."""
    if not name.isprintable() or '"' in name or "\\" in name or "<" in name or ">" in name:
        return 'must be one line without quotes, backslashes and angle brackets, such as "Ada\'s shop"'
    return None


def format_sender(name: str | None, address: str | None) -> str | None:
    """Write the sender as a header has it; None without an address."""
    if not address:
        return None
    if not name:
        return address
    return f'"{name}" <{address}>' if _SPECIAL.search(name) else f"{name} <{address}>"
