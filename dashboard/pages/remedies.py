"""What to do about a failed or skipped execution: a sentence per error class and per rule, and the page to do it on.

The error's own message says what happened; a remedy says what its class calls for. A skip is not a fault and often
needs no action.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dashboard.pages import labels

_CONTACT, _AUTOMATION = "contact", "automation"

#: The remedy of each error class.
ERRORS = {
    "network": "Check that this machine can reach the provider, then retry. A retry resumes at the failed step.",
    "timeout": "The provider took too long to respond. A retry resumes at the failed step.",
    "rate_limit": "The provider limits the message rate. Retry later; a retry resumes at the failed step.",
    "provider_5xx": "Check the provider's status page, then retry. A retry resumes at the failed step.",
    "auth": "The webhook endpoint rejected the request. Fix its key or URL, then retry.",
    "invalid": "Fix the step or the contact's address. A retry stays on this version: publish, then trigger again.",
    "blocked": "The same text would be rejected again. Change the prompt or the text, then trigger again.",
    "expired": "The message expired before it could be sent. Trigger again if it is still relevant.",
    "window_closed": "The contact must message you first. Their next message opens the window.",
    "bug": "Retry once. If it fails again, report it with this execution's id. The log has the stack trace.",
    "quarantined": "It crashed three workers in a row. Check the worker logs before a retry.",
    "configuration": "Fix the credentials. It then continues automatically; nothing is lost for 24 hours.",
}

#: The remedies in a few words, for lists.
SHORT_ERRORS = {
    "network": "Retry when the provider responds",
    "timeout": "Retry when the provider responds",
    "rate_limit": "Retry when the rate limit allows",
    "provider_5xx": "Retry when the provider recovers",
    "auth": "Fix the webhook's key, then retry",
    "invalid": "Fix the problem, then trigger again",
    "blocked": "Change the prompt or the text, then trigger again",
    "expired": "Trigger again if still relevant",
    "window_closed": "The contact must message first",
    "bug": "Retry once, then report it",
    "quarantined": "Check the log before a retry",
    "configuration": "Fix the credentials",
    "unknown_outcome": "Decide whether it was sent",
}

#: The remedy of each rule that skips, and where to apply it.
RULES = {
    "automation_off": ("Turn the automation on, then trigger again. Skipped executions do not resume.", _AUTOMATION),
    "automation_deleted": ("The automation was deleted while this execution was active.", None),
    "cancelled": ("An operator cancelled it. Trigger again to start over.", None),
    "comment_answered": ("Meta allows one private reply per comment, and this comment already has one.", None),
    "comment_deleted": ("The author deleted the comment, so it cannot be replied to.", None),
    "comment_too_old": ("Meta allows private replies only within seven days of the comment.", None),
    "contact_daily_limit": ("The limit resets at midnight. It is set in the rules.", _AUTOMATION),
    "contact_deleted": ("The contact was deleted while this execution was active.", None),
    "daily_limit": ("The limit resets at midnight. It is set in the rules.", _AUTOMATION),
    "discarded": ("It failed, and an operator discarded it. Trigger again to start over.", None),
    "frequency_cap": ("Triggers pass again once earlier messages leave the period. The cap is set in the rules.",
                      _AUTOMATION),
    "active_hours": ("To wait for active hours instead of skipping, set outside_hours: wait in the rules.",
                     _AUTOMATION),
    "no_address": ("Give the contact an address for this channel, then trigger again.", _CONTACT),
    "no_comment": ("reply_comment needs the trigger instagram.comment.", _AUTOMATION),
    "no_contact": ("Name a contact in the trigger.", None),
    "reentry": ("The automation admits a contact once, or one execution at a time: see reentry in its rules.",
                _AUTOMATION),
    "rejected": ("A reviewer rejected the message.", None),
    "suppressed": ("The contact's page shows when and why. You can lift the suppression there.", _CONTACT),
    "tags": ("Compare the contact's tags with the automation's rules.", _CONTACT),
    "where": ("Compare the contact and the payload with the condition in the rules.", _AUTOMATION),
    "window_closed": ("The contact must message you first. Their next message opens the window.", _CONTACT),
}  # fmt: skip


@dataclass(frozen=True)
class Remedy:
    """What to do, and a link to the page for it."""

    text: str
    link: str | None = None
    label: str = ""


def find_remedy(execution: Mapping[str, Any]) -> Remedy | None:
    """The remedy for an execution from `reports.executions.fetch_detail`; None where none applies."""
    error, reason = labels.find_current_error(execution), execution["skipped_because"]
    if error is not None:
        return Remedy(ERRORS[error["class"]]) if error["class"] in ERRORS else None
    if reason is None or reason["rule"] not in RULES:
        return None
    text, target = RULES[reason["rule"]]
    if target == _CONTACT and execution["contact_id"]:
        return Remedy(text, f"/contacts/{execution['contact_id']}", "Go to contact")
    if target == _AUTOMATION:
        return Remedy(text, f"/automations/{execution['automation_id']}", "Go to automation")
    return Remedy(text)
