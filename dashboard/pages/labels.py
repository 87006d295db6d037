"""Labels and short texts of the pages: durations, triggers, stages, and what happens next with an execution.

Pure: the current time comes in as an argument.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from providers import registry
from rules import channels
from rules.choice import Because
from rules.definition import REPLIED
from rules.durations import format_duration as format_duration
from rules.durations import format_rough_duration as format_rough_duration
from rules.errors import BY_CLASS
from rules.language import PAGE_TRIGGER, PLAYBOOK
from rules.retries import MAX_RETRIES

#: Why a matching automation left an event to another.
NOT_CHOSEN: dict[Because, str] = {"less_specific": "less specific", "newer": "newer"}
#: The label of each stage. Its icon and colour have the stage's name.
STAGES = {
    "queued": "Queued", "checking": "Checking", "eligible": "Eligible", "generating": "Generating",
    "ready_to_send": "Ready", "sending": "Sending", "sent": "Sent", "completed": "Completed", "failed": "Failed",
    "skipped": "Skipped",
}  # fmt: skip
STATUSES = {
    "pending": "Pending", "running": "Running", "waiting": "Waiting", "succeeded": "Succeeded", "failed": "Failed",
    "skipped": "Skipped", "cancelled": "Cancelled",
}  # fmt: skip
RULES = {
    "automation_off": "automation off", "suppressed": "suppressed", "no_address": "no address",
    "no_contact": "no contact", "tags": "tags", "where": "conditions", "frequency_cap": "frequency cap",
    "active_hours": "outside hours", "daily_limit": "daily limit", "contact_daily_limit": "daily limit per contact",
    "reentry": "already entered", "replied": "replied", "unsubscribed": "unsubscribed", "stopped": "stopped",
    "rejected": "rejected", "window_closed": "window closed", "no_comment": "no comment",
    "comment_too_old": "comment too old", "comment_answered": "comment answered",
    "cancelled": "cancelled", "discarded": "discarded", "automation_deleted": "automation deleted",
    "contact_deleted": "contact deleted", "contact_erased": "contact erased", "merged": "contact merged",
     "comment_deleted": "comment deleted",
    "loop": "message loop",
}  # fmt: skip
MESSAGE_KINDS = {"private_reply": "private reply", "comment_reply": "public reply"}
MESSAGES = {
    "pending": "Not sent yet", "review": "Waiting for approval", "sending": "Sending", "sent": "Accepted",
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
ERRORS = {name: error.label for name, error in BY_CLASS.items()}
PROVIDERS = {entry.name: entry.label for entry in registry.PROVIDERS.values()}

#: The kinds of failures, as tabs.
FAILURES = {
    "any": "All failures", "decision": "Need a decision", "automatic": "Automatic", "unknown": "Unknown outcome",
}  # fmt: skip
WAITS = {
    "time": "a time", "window": "active hours", "event": "an event", "follow_up": "a follow-up", "retry": "a retry",
    "rate_limit": "a rate limit", "provider": "a provider", "review": "approval", "pause": "the end of a pause",
    "configuration": "credentials",
}  # fmt: skip

SUPPRESSED = {
    "bounced": "bounced", "complained": "reported as spam", "unsubscribed": "unsubscribed",
    "stopped": "opted out by word", "blocked": "blocked", "operator": "by an operator",
}  # fmt: skip
RECEIVED = {
    "message": "message", "story_reply": "story reply", "story_mention": "story mention",
    "comment": "comment", "postback": "button click", "reaction": "reaction",
}  # fmt: skip

_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")


def format_relative_time(moment: datetime, now: datetime) -> str:
    """`3 min ago`; `in 3 min` for a time in the future."""
    seconds = (now - moment).total_seconds()
    if seconds < -1:
        return f"in {format_duration(-seconds) if seconds <= -3600 else format_rough_duration(-seconds)}"
    text = format_rough_duration(seconds)
    return text if text == "now" else f"{text} ago"


def format_day(moment: datetime, now: datetime, zone: ZoneInfo) -> str:
    """The day of a moment in this zone: `Today`, `Yesterday`, or the date. `static/live-counts.js` writes the same."""
    days = (now.astimezone(zone).date() - moment.astimezone(zone).date()).days
    return {0: "Today", 1: "Yesterday"}.get(days, f"{moment.astimezone(zone):%-d %b %Y}")


def format_contact_name(row: Mapping[str, Any]) -> str:
    """The contact's name, else its first address."""
    name = " ".join(part for part in (row["first_name"], row["last_name"]) if part)
    fallbacks = ("username", "email", "phone", "external_id", "instagram_id", "facebook_id")
    return name or next((row[column] for column in fallbacks if row[column]), "Unnamed")


def describe_trigger(document: Mapping[str, Any] | None) -> str:
    """What starts an automation: `On contact.created`, `Every day at 09:00`, `Webhook`."""
    if not document:
        return "Not published"
    kind, arguments = str(document.get("type", "")), document.get("with") or {}
    if kind == "schedule":
        return _describe_cron(str(arguments.get("cron", "")))
    if kind == "contact.inactive":
        return f"After {arguments.get('days', '?')} days of inactivity"
    if kind == PAGE_TRIGGER:
        return describe_page_visit(document)
    plain = {"manual": "Manual", "hook": "Webhook"}
    suffix = " (filtered)" if document.get("where") else ""
    return plain.get(kind) or f"On {kind}{suffix}"


def describe_page_visit(trigger: Mapping[str, Any]) -> str:
    """The conditions of a playbook in words: `On /pricing*, on mobile, utm source newsletter, scrolled 50%`."""
    with_ = {**trigger, **(trigger.get("with") or {})}
    utm = with_.get("utm") or {}
    visitors = {True: "returning visitors", False: "new visitors", None: ""}
    parts = (
        f"on {' or '.join(with_['device'])}" if with_.get("device") else "",
        *(f"utm_{name}={value}" for name, value in utm.items()),
        f"scrolled {with_['scroll_depth']}%" if with_.get("scroll_depth") else "",
        f"after {with_['time_on_page']}" if with_.get("time_on_page") else "",
        "on exit intent" if with_.get("exit_intent") else "",
        visitors[with_.get("returning")],
        f"event {with_['event']}" if with_.get("event") else "",
    )
    return ", ".join([f"On {with_.get('url') or 'every page'}", *filter(None, parts)])


def describe_frequency(frequency: Mapping[str, int] | None) -> str:
    """How often a visitor sees a playbook: `At most once per visitor in 7 d`."""
    if frequency is None:
        return "On every visit"
    times = "once" if frequency["max"] == 1 else f"{frequency['max']} times"
    return f"At most {times} per visitor in {format_duration(frequency['perMs'] / 1000)}"


def _describe_cron(cron: str) -> str:
    """A cron line in words where it names one time of every day or of one weekday; else the line itself."""
    match = re.fullmatch(r"(\d{1,2}) (\d{1,2}) \* \* (\*|[0-7])", cron)
    if match is None:
        return f"Schedule: {cron}"
    day = "day" if match[3] == "*" else _WEEKDAYS[int(match[3]) % 7]
    return f"Every {day} at {int(match[2]):02d}:{match[1]:0>2}"


def find_current_error(execution: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The error that stops an execution now; None for errors that a later attempt got past."""
    is_stopped = execution["stage"] == "failed" or execution.get("waiting_for") == "configuration"
    error: Mapping[str, Any] | None = execution["error"] if is_stopped else None
    return error


def find_resume_time(execution: Mapping[str, Any]) -> datetime | None:
    """When an execution continues without an operator: its next retry, or the end of its wait; else None."""
    at: datetime | None = execution["next_retry_at"] if execution["stage"] == "failed" else execution["resume_at"]
    return at


def describe_next(execution: Mapping[str, Any], now: datetime) -> str:
    """What happens next with an execution, or its outcome, in one line."""
    status = execution["status"]
    if status == "waiting":
        return _describe_waiting(execution, now)
    if status == "pending":
        return f"Queued for {format_rough_duration(max(1.0, (now - execution['created_at']).total_seconds()))}"
    if status == "running":
        return {"generating": "AI is writing the message", "sending": "Sending to the provider"}.get(
            execution["stage"], "Being processed"
        )
    error = find_current_error(execution)
    if error:
        return str(error["message"] or ERRORS.get(error["class"], "Failed"))
    reason = execution.get("skipped_because")
    if reason:
        return _capitalize(describe_reason(reason))
    end_reason = execution.get("follow_up_ended_because")
    if end_reason:
        return f"No more follow-ups: {describe_reason(end_reason)}"
    return (
        f"Done in {format_duration(execution['execution_time_ms'] / 1000)}"
        if execution.get("execution_time_ms") is not None
        else ""
    )


def describe_reason(reason: Mapping[str, Any]) -> str:
    """Why a rule or an operator skipped or ended something."""
    return str((reason["detail"] or {}).get("words") or RULES.get(reason["rule"], reason["rule"]))


def compare_with_last_week(count: int, before: int, now: datetime) -> str:
    """How a count compares with the one of the same weekday last week: `+4% on last Tue`; empty without that one."""
    if not before:
        return ""
    return f"{round(100 * (count - before) / before):+d}% on last {now:%a}"


def describe_look_up(provider: str, at: datetime, now: datetime) -> str:
    """When a message of unknown outcome is reconciled next, or sent again where nobody can be asked."""
    time = format_relative_time(at, now) if at > now else "now"
    label = PROVIDERS.get(provider, provider)
    if can_look_up(provider):
        return f"Checking with {label}, next look-up {time}"
    return f"{label} cannot be asked: sent again {time}, perhaps a second time"


def can_look_up(provider: str) -> bool:
    """Whether the provider can be asked about a message."""
    return provider in registry.SENDERS and registry.SENDERS[provider].can_reconcile


def _describe_follow_up(execution: Mapping[str, Any], now: datetime) -> str:
    at, count, max_count = find_resume_time(execution), execution["follow_up"]["count"], execution["follow_up"]["max"]
    if execution["round"] >= max_count:
        return f"Waiting for a reply to the last follow-up{_format_time(', completes', at, now)}"
    return f"Follow-up {count + 1} of {max_count}{_format_time('', at, now)} unless the contact replies"


def _describe_waiting(execution: Mapping[str, Any], now: datetime) -> str:
    waiting_for, at = execution.get("waiting_for"), find_resume_time(execution)
    if waiting_for == "pause":
        return "Paused"
    if waiting_for == "review":
        return "Waiting for approval"
    if waiting_for == "configuration":
        return f"Waiting for credentials{_format_time(', next attempt', at, now)}"
    if waiting_for == "provider":
        name = PROVIDERS.get(execution["provider"] or "", "The provider")
        return f"{name} does not answer{_format_time(', next attempt', at, now)}"
    if waiting_for == "event":
        event = "a reply" if execution["wait_event"] == REPLIED else execution["wait_event"]
        return f"Waiting for {event}{_format_time(', times out', at, now)}"
    if at is not None and at <= now:
        return "Due now"
    if waiting_for == "follow_up":
        return _describe_follow_up(execution, now)
    if execution["stage"] == "failed":
        return f"Retry {min(execution['attempt'], MAX_RETRIES)} of {MAX_RETRIES}{_format_time('', at, now)}"
    texts = {"window": "Active hours begin", "rate_limit": "Rate limited by the provider, continues"}
    default = "Sends" if execution["stage"] == "ready_to_send" else "Continues"
    return f"{texts.get(str(waiting_for), default)}{_format_time('', at, now)}"


def _capitalize(text: str) -> str:
    return text[:1].upper() + text[1:]


def _format_time(before: str, at: datetime | None, now: datetime) -> str:
    return f"{before} {format_relative_time(at, now)}" if at is not None else ""


def describe_switch(row: Mapping[str, Any]) -> str:
    """What the switch of an automation will do, with what becomes of its active executions."""
    is_playbook = row["type"] == PLAYBOOK
    if not row["enabled"]:
        if not row["version"]:
            return "Publish a version first. Without one nothing can start"
        return "Turn on: pages execute this playbook" if is_playbook else "Turn on: triggers start this automation"
    if is_playbook:
        return "Turn off: pages stop executing this playbook within a minute"
    active = row["in_flight"]
    rest = " Those not past checking are skipped, the others finish." if active else ""
    count = f" {active:,} active execution{'' if active == 1 else 's'}." if active else ""
    return f"Turn off: triggers no longer start this automation.{count}{rest}"


def describe_off(row: Mapping[str, Any]) -> str:
    """What an automation that is off does."""
    if not row["version"]:
        return "Not published yet"
    if row["type"] == PLAYBOOK:
        return "Off: pages do not execute it"
    return "Off: triggers are ignored" + ("; active executions finish" if row["in_flight"] else "")
