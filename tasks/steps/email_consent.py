"""Decides whether a channel of the contact is suppressed for this workflow's messages.

E-mail of a workflow that is transactional or has a topic is decided by the reasons and by the recipient's choices, read
anew; any other by what the claim read.
"""

from __future__ import annotations

from models import email_recipient
from models.database import connection
from tasks.runtime.claimed_execution import ClaimedExecution
from tasks.steps.unsubscribe_links import build_recipient


def is_suppressed(claimed: ClaimedExecution, channel: str | None) -> bool:
    """Whether the workflow must not message the contact on this channel."""
    workflow, contact = claimed.workflow, claimed.contact
    is_blocked = channel in claimed.suppressed
    if channel != "email" or contact is None or not contact["email"] or not (workflow.topic or is_blocked):
        return is_blocked
    if not (workflow.topic or workflow.transactional):
        return True
    recipient = build_recipient(claimed, contact["email"])
    with connection():
        consent = email_recipient.load_consent(recipient, contact["email"], contact["id"])
    return not consent.allows(transactional=workflow.transactional, topic=workflow.topic)
