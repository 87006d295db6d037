"""What to do about a failed or skipped execution: the remedy of its error class or of its rule, and the page for it.

The error's own message says what happened; a remedy (`rules/errors.py`) says what its class calls for. A skip is not a
fault and often needs no action.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dashboard.pages import labels
from rules.errors import BY_CLASS

_CONTACT, _AUTOMATION = "contact", "automation"

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
    "merged": ("The contact was merged with one that was in the automation. The older execution continues.", None),
    "contact_erased": ("The contact was erased while this execution was active.", None),
    "daily_limit": ("The limit resets at midnight. It is set in the rules.", _AUTOMATION),
    "discarded": ("It failed, and an operator discarded it. Trigger again to start over.", None),
    "frequency_cap": ("Triggers pass again once earlier messages leave the period. The cap is set in the rules.",
                      _AUTOMATION),
    "active_hours": ("To wait for active hours instead of skipping, set outside_hours: wait in the rules.",
                     _AUTOMATION),
    "loop": ("Another program seems to answer the messages. The automation answers again 10 minutes after its last "
             "message, or when the contact taps a button.", _CONTACT),
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
        error_type = BY_CLASS.get(error["class"])
        return Remedy(error_type.remedy) if error_type and error_type.remedy else None
    if reason is None or reason["rule"] not in RULES:
        return None
    text, target = RULES[reason["rule"]]
    if target == _CONTACT and execution["contact_id"]:
        return Remedy(text, f"/contacts/{execution['contact_id']}", "Go to contact")
    if target == _AUTOMATION:
        return Remedy(text, f"/automations/{execution['automation_id']}", "Go to automation")
    return Remedy(text)
