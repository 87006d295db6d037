"""The sender of a workspace's e-mail: how a name and an address are checked and written."""

from __future__ import annotations

import re

#: Characters that a name needs quotes for (RFC 5322, 3.2.3).
_SPECIAL = re.compile(r"[()<>@,;:\[\].\"\\]")
#: Without quotes, backslashes, angle brackets, control characters and line separators.
NAME_PATTERN = r'[^"\\<>\x00-\x1f\x7f-\x9f\u2028\u2029]*'
_NAME_AND_ADDRESS = re.compile(r"([^<>]*)<([^<>]+)>")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


def find_name_fault(name: str) -> str | None:
    """Return what is wrong with a sender's name, or None."""
    if not re.fullmatch(NAME_PATTERN, name):
        return 'must be one line without quotes, backslashes and angle brackets, such as "Ada\'s shop"'
    return None


def format_sender(name: str | None, address: str | None) -> str | None:
    """Write the sender as a header has it; None without an address."""
    if not address:
        return None
    return f"{_quote(name)} <{address}>" if name else address


def quote_sender(text: str) -> str:
    """Return an address with its name quoted where a header needs it: a bare comma would begin a second address."""
    match = _NAME_AND_ADDRESS.fullmatch(text.strip())
    name = match[1].strip() if match else ""
    if match is None or not name or _QUOTED.fullmatch(name):
        return text
    return f"{_quote(name)} <{match[2].strip()}>"


def _quote(name: str) -> str:
    if not _SPECIAL.search(name):
        return name
    escaped = re.sub(r'["\\]', r"\\\g<0>", name)
    return f'"{escaped}"'
