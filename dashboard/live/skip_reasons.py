"""The text of a group of skipped contacts: what holds for all of them, never one contact's zone, tags or times."""

from __future__ import annotations

import re

#: Rules whose text names a value of the contact, and the text for several contacts.
_SHARED_TEXTS = {
    "tags": "The tags do not fit the rule",
    "suppressed": "Suppressed on the channel of the first message",
    "no_address": "No address for the channel of the first message",
    "window_closed": "The last message on this channel is more than 24 hours old, or there is none",
    "comment_too_old": "The comment is older than 7 days, the limit for a private reply",
    "contact_daily_limit": "Each of these contacts got its messages for today",
    "loop": "Loop: each automatic message was answered within 10 minutes, more than 10 times in a row",
    "cancelled": "Cancelled by an operator",
    "discarded": "Discarded by an operator",
}
_ZONE = re.compile(r" \([^()]*\)$")
_CAP = re.compile(r"\d+ of (\d+) messages in ([^,]+)")


def describe_group(rule: str, words: str, count: int) -> str:
    """Return the text of a group from the newest of its texts; that of a single contact stays."""
    if count == 1:
        return words
    if rule == "active_hours":
        return f"{_ZONE.sub('', words)}, in the time zone that applies to each contact"
    if rule == "frequency_cap":
        cap = _CAP.search(words)
        return f"At most {cap[1]} messages in {cap[2]}" if cap else ""
    return _SHARED_TEXTS.get(rule, words)
