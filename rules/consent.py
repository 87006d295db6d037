"""Decides whether an e-mail may be sent to an address, from the reasons of its suppressions and its choices."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

#: The reason of those who unsubscribed: transactional e-mail ignores it, and a topic can be allowed again.
UNSUBSCRIBED: Literal["unsubscribed"] = "unsubscribed"


def may_email(
    reasons: Collection[str], topics: Mapping[str, bool], *, transactional: bool = False, topic: str | None = None
) -> bool:
    """Whether e-mail of this kind may be sent: a chosen topic counts more than "unsubscribed", any other reason most.

    `topics` has the topics that the recipient allowed or refused.
    """
    if set(reasons) - {UNSUBSCRIBED}:
        return False
    if transactional:
        return True
    choice = topics.get(topic) if topic else None
    return UNSUBSCRIBED not in reasons if choice is None else choice
