"""A snapshot of the monitor as the API and the page have it: the contract's names, and an operator's words beside them.

Pure but for `read`: the rows are those of `models/reports/monitor`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dashboard.answers import camel
from dashboard.pages import remedies, words
from models.database import Row
from models.reports import monitor, monitor_past

#: Characters of a message that are shown.
PREVIEW = 140

#: Where executions come to rest: these stages count what did in the last 24 hours.
AT_REST = ("completed", "failed", "skipped")

#: The keys of feeds: workspace, automation, and whether tests alone or none of them are asked for.
Key = tuple[str, str, bool | None]


def read(key: Key) -> dict[str, Any] | None:
    """The snapshot now; None where the workspace has no such automation."""
    workspace_id, automation_id, test = key
    found = monitor.snapshot(workspace_id, automation_id, test=test)
    return None if found is None else told(found)


def read_past(key: Key, at: datetime) -> dict[str, Any] | None:
    """The snapshot as it was at a moment of the last six hours."""
    workspace_id, automation_id, test = key
    found = monitor_past.snapshot(workspace_id, automation_id, at, test=test)
    return None if found is None else told(found)


def told(found: Row) -> dict[str, Any]:
    """The snapshot under the API's names."""
    at = found["at"]
    return {
        "at": at,
        "automation": found["automation"],
        "stages": [_stage(one, found["totals"]) for one in found["stages"]],
        "contacts": [_contact(one, at) for one in found["contacts"]],
        "totals": {camel(name): count for name, count in found["totals"].items()} | {"says": _result(found["totals"])},
        "skipped": [_skipped(one) for one in found["skipped"]],
        "backlog": _backlog(found["backlog"], found["stages"]),
    }


def _result(totals: Mapping[str, int]) -> str:
    """What became of the executions of the last day: `10 sent, 5 skipped, 0 failed`."""
    unknown = f", {totals['unknown']} unknown" if totals["unknown"] else ""
    return f"{totals['sent']} sent, {totals['skipped']} skipped, {totals['failed']} failed{unknown}"


def _stage(one: Row, totals: Mapping[str, int]) -> dict[str, Any]:
    average = one["average_seconds"]
    if one["stage"] in AT_REST:
        says = "last 24 h"
    elif one["stage"] == "sent":
        says = f"{totals['sent']:,} in 24 h"
    else:
        says = "no average yet" if average is None else f"avg {words.span(average)}"
    return {
        "stage": one["stage"], "title": words.STAGES[one["stage"]], "count": one["count"],
        "averageSeconds": average, "says": says, "trend": one["trend"],
    }  # fmt: skip


def _contact(one: Row, at: datetime) -> dict[str, Any]:
    error = _error(one)
    preview = shortened(one["message"])
    scheduled = one["scheduled_for"]
    return {
        "executionId": one["execution_id"],
        "contactId": one["contact_id"],
        "name": one["name"] or "Nobody",
        "test": one["test"],
        "status": one["status"],
        "inMotion": _moves(one),
        "stage": one["stage"],
        "title": _title(one),
        "stageSince": one["stage_since"],
        "secondsInStage": max(0, int((at - one["stage_since"]).total_seconds())),
        "sendsInSeconds": None if scheduled is None else max(0, round((scheduled - at).total_seconds())),
        "messagePreview": preview,
        "generationMs": one["generation_ms"],
        "error": error,
        "followUp": {
            "count": one["follow_up_count"], "max": one["follow_up_max"], "nextCheckAt": one["next_check_at"],
        },
        "says": _says(one, error, preview),
        "next": _next(one, at),
    }  # fmt: skip


def _moves(one: Row) -> bool:
    """Whether it is not at rest. Of a past moment the status is not known: a failure may have waited for a retry."""
    if one["status"] is None:
        return one["stage"] not in AT_REST
    return one["status"] in ("pending", "running", "waiting")


def _title(one: Row) -> str:
    if one["status"] == "cancelled":
        return "Cancelled"
    if one["status"] == "failed" and one["error_class"] == "unknown_outcome":
        return "Unknown"
    return words.STAGES[one["stage"]]


def shortened(text: str | None) -> str | None:
    """The text on one line, cut at a word."""
    if text is None:
        return None
    line = " ".join(text.split())
    if len(line) <= PREVIEW:
        return line
    return line[:PREVIEW].rsplit(" ", 1)[0] + "…"


def _error(one: Row) -> str | None:
    """What holds it, in words: what happened and what to do."""
    holds = one["stage"] == "failed" or one["waiting_for"] == "configuration"
    if not holds or one["error_class"] is None:
        return None
    title, message = words.ERRORS.get(one["error_class"], "Failed"), str(one["error_message"] or "")
    if message.lower().startswith(title.lower()):
        return message
    return f"{title}: {message}" if message else title


def _says(one: Row, error: str | None, preview: str | None) -> str:
    if error is not None:
        return error
    if one["silent"]:
        return "Its worker fell silent; another takes it over"
    if one["skipped_rule"] is not None:
        rule, detail = str(one["skipped_rule"]), one["skipped_detail"] or {}
        return str(detail.get("words") or words.RULES.get(rule, rule).capitalize())
    if one["waiting_for"] == "window":
        return "Passed the rules, waits for its hours"
    if preview is not None and one["stage"] in ("ready_to_send", "sending", "sent", "completed"):
        channel = words.CHANNELS.get(one["channel"], one["channel"])
        return f"{channel}: “{preview}”" if one["stage"] == "sending" else f"“{preview}”"
    if one["next_check_at"] is not None:
        return "Sent. Watches for a reply"
    return _AT_STAGE[one["stage"]]


_AT_STAGE = {
    "queued": "Waits for a worker",
    "checking": "Tags, limits and hours are looked at",
    "eligible": "Passed every rule",
    "generating": "AI writing the message",
    "ready_to_send": "Message ready",
    "sending": "Handed to the provider",
    "sent": "The provider took it",
    "completed": "Done",
    "failed": "Failed",
    "skipped": "Skipped",
}


def _next(one: Row, at: datetime) -> str:
    if one["status"] == "failed":
        return remedies.BRIEFLY.get(one["error_class"], "")
    if one["status"] != "waiting":
        return ""
    if one["next_check_at"] is not None and one["next_check_at"] > at:
        return f"checks again {words.ago(one['next_check_at'], at)}"
    found = {
        **one, "resume_at": one["due_at"], "error": None, "skipped_because": None,
        "follow_up": {"count": one["follow_up_count"], "max": one["follow_up_max"]},
    }  # fmt: skip
    return words.next_for(found, at)


def _skipped(one: Row) -> dict[str, Any]:
    return {
        "rule": one["rule"],
        "title": words.RULES.get(one["rule"], str(one["rule"]).replace("_", " ")).capitalize(),
        "words": one["words"] or "",
        "count": one["count"],
    }


def _backlog(found: Row, stages: list[Row]) -> dict[str, Any]:
    count, pace, seconds = found["count"], found["a_minute"], found["seconds"]
    told = {"count": count, "aMinute": pace, "measuredSeconds": found["measured_seconds"], "seconds": seconds}
    contacts = "1 contact" if count == 1 else f"{count:,} contacts"
    if not count:
        return {**told, "title": "Nothing waits", "words": "Everybody who may go on has gone on."}
    if seconds is None:
        return {**told, "title": "Not known yet", "words": f"{contacts}; none arrived in the last 10 minutes."}
    slowest, over = _slowest(stages), words.span(found["measured_seconds"])
    words_ = f"{contacts} at the pace of the last {over} ({pace:,.3g} a minute).{slowest}"
    return {**told, "title": f"≈ {words.span(seconds)}", "words": words_}


def _slowest(stages: list[Row]) -> str:
    timed = [one for one in stages if one["stage"] in ("checking", "generating", "sending") and one["average_seconds"]]
    if not timed:
        return ""
    slowest = max(timed, key=lambda one: one["average_seconds"])
    return f" Slowest stage: {words.STAGES[slowest['stage']].lower()}, {words.span(slowest['average_seconds'])}."
