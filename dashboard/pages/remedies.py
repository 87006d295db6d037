"""What to do about an execution that failed or was skipped: a sentence for each class of error and each rule, and the
page on which it is done.

The error's own message says what happened; here stands only what follows from its class. A rule that said no is no
fault: often there is nothing to do but to know why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dashboard.pages import labels

_CONTACT, _AUTOMATION = "contact", "automation"

#: For each class of error.
ERRORS = {
    "network": "Look whether this machine reaches the provider; a retry goes on from the failed step.",
    "timeout": "The provider was too slow; a retry goes on from the failed step.",
    "rate_limit": "The provider wants fewer messages; a retry later goes on from the failed step.",
    "provider_5xx": "Look at the provider's status page; a retry goes on from the failed step.",
    "auth": "The webhook's receiver refused the request: mend its key or address, then retry.",
    "invalid": "Mend the step or the contact's address. A retry stays on this version: publish, and trigger again.",
    "blocked": "The same text would be refused again: change the prompt or the text, then trigger again.",
    "expired": "It was too late to be sent; trigger again if it still matters.",
    "window_closed": "The contact has to write first; their next message opens the window.",
    "bug": "Retry once. If it fails again, report it with this execution's id; the log has the trace.",
    "quarantined": "It ended three workers in a row. Look into their log before a retry.",
    "configuration": "It goes on by itself once the credentials are set right; nothing is lost for 24 hours.",
}

#: The same in a few words, where a list has no room for a sentence.
SHORT_ERRORS = {
    "network": "retry it when the provider answers",
    "timeout": "retry it when the provider answers",
    "rate_limit": "retry it when the provider lets it through",
    "provider_5xx": "retry it when the provider is well",
    "auth": "mend the webhook's key, then retry",
    "invalid": "mend what it names, then trigger again",
    "blocked": "change the prompt or the text, then trigger again",
    "expired": "trigger again if it still matters",
    "window_closed": "the contact has to write first",
    "bug": "retry it once, then report it",
    "quarantined": "look into the log before a retry",
    "configuration": "set the credentials right",
    "unknown_outcome": "open it: say whether it was sent",
}

#: For each rule that skips: what to do, and where.
RULES = {
    "automation_off": ("Switch it on, then trigger again: what was skipped is not taken up by itself.", _AUTOMATION),
    "automation_deleted": ("The automation was deleted while this was in flight.", None),
    "cancelled": ("An operator ended it. Trigger again to start anew.", None),
    "comment_answered": ("Meta allows one private reply to a comment, and it had one already.", None),
    "comment_deleted": ("Its author took the comment back, so nothing answers it any more.", None),
    "comment_too_old": ("Meta allows a private reply within seven days of the comment.", None),
    "contact_daily_limit": ("From midnight on there is room again; the limit is in the rules.", _AUTOMATION),
    "contact_deleted": ("The contact was deleted while this was in flight.", None),
    "daily_limit": ("From midnight on there is room again; the limit is in the rules.", _AUTOMATION),
    "discarded": ("It had failed, and an operator put it away. Trigger again to start anew.", None),
    "frequency_cap": ("Later triggers pass once the older messages are out of the span; the cap is in the rules.",
                      _AUTOMATION),
    "active_hours": ("To wait for the hours instead of skipping, set outside_hours: wait in the rules.", _AUTOMATION),
    "no_address": ("Give the contact an address for this channel, then trigger again.", _CONTACT),
    "no_comment": ("A reply to a comment needs a trigger that is one: instagram.comment.", _AUTOMATION),
    "no_contact": ("Name a contact in the trigger.", None),
    "reentry": ("The automation lets a contact in once, or one at a time: reentry in its rules.", _AUTOMATION),
    "rejected": ("Whoever reviewed the message said no.", None),
    "suppressed": ("Since when and why is on the contact's page, and it can be lifted there.", _CONTACT),
    "tags": ("The contact's tags are on its page; which are asked for is in the automation's rules.", _CONTACT),
    "where": ("The values are on the contact's page and in the payload; the condition is in the rules.", _AUTOMATION),
    "window_closed": ("The contact has to write first; their next message opens the window.", _CONTACT),
}  # fmt: skip


@dataclass(frozen=True)
class Remedy:
    """What to do, and a link to where."""

    text: str
    link: str | None = None
    label: str = ""


def find_remedy(execution: Mapping[str, Any]) -> Remedy | None:
    """What to do about an execution as `reports.executions.detail` has it; None where nothing is wrong."""
    error, reason = labels.find_current_error(execution), execution["skipped_because"]
    if error is not None:
        return Remedy(ERRORS[error["class"]]) if error["class"] in ERRORS else None
    if reason is None or reason["rule"] not in RULES:
        return None
    text, target = RULES[reason["rule"]]
    if target == _CONTACT and execution["contact_id"]:
        return Remedy(text, f"/contacts/{execution['contact_id']}", "To the contact")
    if target == _AUTOMATION:
        return Remedy(text, f"/automations/{execution['automation_id']}", "To the automation")
    return Remedy(text)
