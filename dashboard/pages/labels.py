"""An operator's words for what the rows say: spans of time, triggers, stages, and what happens next.

Pure: the present moment comes in as an argument.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from providers import registry
from rules import channels
from rules.retries import MAX_RETRIES

#: Each stage as it is called on a page; its icon and its colour bear the stage's own name.
STAGES = {
    "queued": "Queued", "checking": "Checking", "eligible": "Eligible", "generating": "Generating",
    "ready_to_send": "Ready", "sending": "Sending", "sent": "Sent", "completed": "Completed", "failed": "Failed",
    "skipped": "Skipped",
}  # fmt: skip
STATUSES = {
    "pending": "Pending", "running": "Running", "waiting": "Waiting", "succeeded": "Succeeded", "failed": "Failed",
    "skipped": "Skipped", "cancelled": "Cancelled",
}  # fmt: skip
ERRORS = {
    "network": "Network", "timeout": "Timeout", "rate_limit": "Rate limit", "provider_5xx": "Provider trouble",
    "auth": "Refused credentials", "invalid": "Invalid", "blocked": "Blocked", "expired": "Expired",
    "window_closed": "Window closed", "bug": "Our fault", "quarantined": "Quarantined",
    "configuration": "Configuration", "unknown_outcome": "Outcome unknown",
}  # fmt: skip
RULES = {
    "automation_off": "automation off", "suppressed": "suppressed", "no_address": "no address", "no_contact": "nobody",
    "tags": "tags", "where": "conditions", "frequency_cap": "messaged enough",
    "active_hours": "outside hours", "daily_limit": "daily limit", "contact_daily_limit": "contact's daily limit",
    "reentry": "already entered", "replied": "answered", "unsubscribed": "unsubscribed", "stopped": "stopped",
    "rejected": "rejected", "window_closed": "window closed", "no_comment": "no comment",
    "comment_too_old": "comment too old", "comment_answered": "comment answered",
    "cancelled": "cancelled", "discarded": "discarded", "automation_deleted": "automation deleted",
    "contact_deleted": "contact deleted", "comment_deleted": "comment deleted",
}  # fmt: skip
WAYS = {"private_reply": "private reply", "comment_reply": "reply in public"}
MESSAGES = {
    "pending": "Not sent yet", "review": "Waits for review", "sending": "Being sent", "sent": "Accepted",
    "delivered": "Delivered", "read": "Read", "bounced": "Bounced", "complained": "Complained", "failed": "Failed",
    "outcome_unknown": "Outcome unknown", "discarded": "Discarded",
}  # fmt: skip
TYPES = {
    "workflow": "Workflow", "comment_to_dm": "Comment to DM", "story_reply": "Story reply",
    "dm_responder": "DM responder", "playbook": "Playbook", "ai_follow_up": "AI follow-up",
}  # fmt: skip
RUNS = {
    "comment_reply": "Comment reply", "opening_dm": "Opening DM", "follow_check": "Follow check", "main_dm": "Main DM",
}  # fmt: skip
CHANNELS = {channel.name: channel.label for channel in channels.CHANNELS.values()}
PROVIDERS = {entry.name: entry.label for entry in registry.PROVIDERS.values()}

SUPPRESSED = {
    "bounced": "bounced", "complained": "complained of as spam", "unsubscribed": "unsubscribed", "blocked": "blocked",
    "operator": "by an operator",
}  # fmt: skip
RECEIVED = {
    "message": "message", "story_reply": "answer to a story", "story_mention": "mention in a story",
    "comment": "comment", "postback": "button", "reaction": "reaction",
}  # fmt: skip

_UNITS = ((86_400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s"))


def span(seconds: float) -> str:
    """`27 ms`, `2.5 s`, `40 s`, `2 m 40 s`, `3 h 5 m`, `2 d 4 h`."""
    seconds = max(0.0, seconds)
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    if seconds < 10:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    for size, unit, smaller, smaller_unit in _UNITS:
        if seconds >= size:
            rest = int(seconds % size) // smaller
            return f"{int(seconds) // size} {unit}" + (f" {rest} {smaller_unit}" if rest else "")
    return f"{int(seconds)} s"


def rough(seconds: float) -> str:
    """The larger unit alone, for ages in lists: `now`, `40 s`, `3 m`, `2 h`, `5 d`."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds) // size} {unit}"
    return f"{int(seconds)} s" if seconds >= 1 else "now"


def ago(moment: datetime, now: datetime) -> str:
    """`3 m ago`; `in 3 m` for what is to come."""
    seconds = (now - moment).total_seconds()
    if seconds < -1:
        return f"in {span(-seconds) if seconds <= -3600 else rough(-seconds)}"
    text = rough(seconds)
    return text if text == "now" else f"{text} ago"


def contact(row: Mapping[str, Any]) -> str:
    """What a contact is called: its name, else the first address that there is."""
    name = " ".join(part for part in (row["first_name"], row["last_name"]) if part)
    fallbacks = ("username", "email", "phone", "external_id", "instagram_id", "facebook_id")
    return name or next((row[column] for column in fallbacks if row[column]), "Unnamed")


def trigger(document: Mapping[str, Any] | None) -> str:
    """What starts an automation: `when contact.created happens`, `at 0 9 * * *`."""
    if not document:
        return "not published yet"
    kind, arguments = str(document.get("type", "")), document.get("with") or {}
    if kind == "schedule":
        return f"on the clock: {arguments.get('cron', '')}"
    if kind == "contact.inactive":
        return f"after {arguments.get('days', '?')} days of silence"
    plain = {"manual": "started by hand", "hook": "called at its secret address", "page": "on a visited page"}
    where = " that meets its condition" if document.get("where") else ""
    return plain.get(kind) or f"on {kind}{where}"


def find_current_error(execution: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The error that holds an execution now; one that it has got past is part of its story alone."""
    is_stopped = execution["stage"] == "failed" or execution.get("waiting_for") == "configuration"
    error: Mapping[str, Any] | None = execution["error"] if is_stopped else None
    return error


def goes_on_at(execution: Mapping[str, Any]) -> datetime | None:
    """When an execution goes on by itself, if it does: its next retry, or the end of its wait."""
    at: datetime | None = execution["next_retry_at"] if execution["stage"] == "failed" else execution["resume_at"]
    return at


def describe_next(execution: Mapping[str, Any], now: datetime) -> str:
    """What happens next with an execution, or what became of it, in one line."""
    status = execution["status"]
    if status == "waiting":
        return _describe_waiting(execution, now)
    if status == "pending":
        return f"in the queue for {rough(max(1.0, (now - execution['created_at']).total_seconds()))}"
    if status == "running":
        return {"generating": "AI writing the message", "sending": "handed to the provider"}.get(
            execution["stage"], "a worker has it"
        )
    error = find_current_error(execution)
    if error:
        return str(error["message"] or ERRORS.get(error["class"], "failed"))
    reason = execution.get("skipped_because")
    if reason:
        return why(reason)
    end_reason = execution.get("follow_up_ended_because")
    if end_reason:
        return f"no more follow-ups: {why(end_reason)}"
    return (
        f"done in {span(execution['execution_time_ms'] / 1000)}"
        if execution.get("execution_time_ms") is not None
        else ""
    )


def why(reason: Mapping[str, Any]) -> str:
    """The rule that skipped or ended something, in words."""
    return str((reason["detail"] or {}).get("words") or RULES.get(reason["rule"], reason["rule"]))


def _describe_follow_up(execution: Mapping[str, Any], now: datetime) -> str:
    at, count, max_count = goes_on_at(execution), execution["follow_up"]["count"], execution["follow_up"]["max"]
    if execution["round"] >= max_count:
        return f"waits for an answer to the last follow-up{_format_time(', done', at, now)}"
    return f"follow-up {count + 1} of {max_count} unless answered{_format_time(',', at, now)}"


def _describe_waiting(execution: Mapping[str, Any], now: datetime) -> str:
    waiting_for, at = execution.get("waiting_for"), goes_on_at(execution)
    if waiting_for == "pause":
        return "held by a pause"
    if waiting_for == "review":
        return "waits for a person's yes"
    if waiting_for == "configuration":
        return f"waits for credentials{_format_time(', tried again', at, now)}"
    if waiting_for == "event":
        return f"waits for the contact{_format_time(', until', at, now)}"
    if at is not None and at <= now:
        return "due now"
    if waiting_for == "follow_up":
        return _describe_follow_up(execution, now)
    if execution["stage"] == "failed":
        return f"retry {min(execution['attempt'], MAX_RETRIES)} of {MAX_RETRIES}{_format_time('', at, now)}"
    verb = {"window": "opens", "rate_limit": "provider asks to wait, goes on"}.get(str(waiting_for))
    return f"{verb or ('sends' if execution['stage'] == 'ready_to_send' else 'goes on')}{_format_time('', at, now)}"


def _format_time(before: str, at: datetime | None, now: datetime) -> str:
    return f"{before} {ago(at, now)}" if at is not None else ""
