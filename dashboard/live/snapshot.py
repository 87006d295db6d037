"""A snapshot of the monitor as the API and the page have it: the contract's names, and an operator's words beside them.

Pure but for `read`: the rows are those of `models/reports/monitor`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dashboard.pages import labels, remedies
from dashboard.responses import to_camel_case
from models.database import Row
from models.reports import monitor, monitor_history

#: Characters of a message that are shown.
PREVIEW_LENGTH = 140

#: Where executions come to rest: these stages count what did in the last 24 hours.
FINAL_STAGES = ("completed", "failed", "skipped")

#: The keys of feeds: workspace, automation, and whether tests alone or none of them are asked for.
Key = tuple[str, str, bool | None]


def read(key: Key) -> dict[str, Any] | None:
    """The snapshot now; None where the workspace has no such automation."""
    workspace_id, automation_id, test = key
    snapshot = monitor.fetch_snapshot(workspace_id, automation_id, test=test)
    return None if snapshot is None else serialize(snapshot)


def read_at(key: Key, at: datetime) -> dict[str, Any] | None:
    """The snapshot as it was at a moment of the last six hours."""
    workspace_id, automation_id, test = key
    snapshot = monitor_history.fetch_snapshot(workspace_id, automation_id, at, test=test)
    return None if snapshot is None else serialize(snapshot)


def serialize(snapshot: Row) -> dict[str, Any]:
    """The snapshot under the API's names."""
    at = snapshot["at"]
    return {
        "at": at,
        "automation": snapshot["automation"],
        "stages": [_build_stage(row, snapshot["totals"]) for row in snapshot["stages"]],
        "contacts": [_build_contact(row, at) for row in snapshot["contacts"]],
        "totals": {to_camel_case(name): count for name, count in snapshot["totals"].items()}
        | {"says": _format_totals(snapshot["totals"])},
        "skipped": [_build_skipped(row) for row in snapshot["skipped"]],
        "backlog": _build_backlog(snapshot["backlog"], snapshot["stages"]),
    }


def _format_totals(totals: Mapping[str, int]) -> str:
    """What became of the executions of the last day: `10 sent, 5 skipped, 0 failed`."""
    unknown = f", {totals['unknown']} unknown" if totals["unknown"] else ""
    return f"{totals['sent']} sent, {totals['skipped']} skipped, {totals['failed']} failed{unknown}"


def _build_stage(row: Row, totals: Mapping[str, int]) -> dict[str, Any]:
    average = row["average_seconds"]
    if row["stage"] in FINAL_STAGES:
        caption = "last 24 h"
    elif row["stage"] == "sent":
        caption = f"{totals['sent']:,} in 24 h"
    else:
        caption = "no average yet" if average is None else f"avg {labels.span(average)}"
    return {
        "stage": row["stage"], "title": labels.STAGES[row["stage"]], "count": row["count"],
        "averageSeconds": average, "says": caption, "trend": row["trend"],
    }  # fmt: skip


def _build_contact(row: Row, at: datetime) -> dict[str, Any]:
    error = _format_error(row)
    preview = shorten(row["message"])
    scheduled = row["scheduled_for"]
    return {
        "executionId": row["execution_id"],
        "contactId": row["contact_id"],
        "name": row["name"] or "Nobody",
        "test": row["test"],
        "status": row["status"],
        "inMotion": _is_in_motion(row),
        "stage": row["stage"],
        "title": _format_title(row),
        "stageSince": row["stage_since"],
        "secondsInStage": max(0, int((at - row["stage_since"]).total_seconds())),
        "sendsInSeconds": None if scheduled is None else max(0, round((scheduled - at).total_seconds())),
        "messagePreview": preview,
        "generationMs": row["generation_ms"],
        "error": error,
        "followUp": {
            "count": row["follow_up_count"], "max": row["follow_up_max"], "nextCheckAt": row["next_check_at"],
        },
        "says": _describe_state(row, error, preview),
        "next": _describe_next(row, at),
    }  # fmt: skip


def _is_in_motion(row: Row) -> bool:
    """Whether it is not at rest. Of a past moment the status is not known: a failure may have waited for a retry."""
    if row["status"] is None:
        return row["stage"] not in FINAL_STAGES
    return row["status"] in ("pending", "running", "waiting")


def _format_title(row: Row) -> str:
    if row["status"] == "cancelled":
        return "Cancelled"
    if row["status"] == "failed" and row["error_class"] == "unknown_outcome":
        return "Unknown"
    return labels.STAGES[row["stage"]]


def shorten(text: str | None) -> str | None:
    """The text on one line, cut at a word."""
    if text is None:
        return None
    line = " ".join(text.split())
    if len(line) <= PREVIEW_LENGTH:
        return line
    return line[:PREVIEW_LENGTH].rsplit(" ", 1)[0] + "…"


def _format_error(row: Row) -> str | None:
    """What holds it, in words: what happened and what to do."""
    is_stopped = row["stage"] == "failed" or row["waiting_for"] == "configuration"
    if not is_stopped or row["error_class"] is None:
        return None
    title, message = labels.ERRORS.get(row["error_class"], "Failed"), str(row["error_message"] or "")
    if message.lower().startswith(title.lower()):
        return message
    return f"{title}: {message}" if message else title


def _describe_state(row: Row, error: str | None, preview: str | None) -> str:
    if error is not None:
        return error
    if row["silent"]:
        return "Its worker fell silent; another takes it over"
    if row["skipped_rule"] is not None:
        rule, detail = str(row["skipped_rule"]), row["skipped_detail"] or {}
        return str(detail.get("words") or labels.RULES.get(rule, rule).capitalize())
    if row["waiting_for"] == "window":
        return "Passed the rules, waits for its hours"
    if preview is not None and row["stage"] in ("ready_to_send", "sending", "sent", "completed"):
        channel = labels.CHANNELS.get(row["channel"], row["channel"])
        return f"{channel}: “{preview}”" if row["stage"] == "sending" else f"“{preview}”"
    if row["next_check_at"] is not None:
        return "Sent. Watches for a reply"
    return _STAGE_TEXTS[row["stage"]]


_STAGE_TEXTS = {
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


def _describe_next(row: Row, at: datetime) -> str:
    if row["status"] == "failed":
        return remedies.SHORT_ERRORS.get(row["error_class"], "")
    if row["status"] != "waiting":
        return ""
    if row["next_check_at"] is not None and row["next_check_at"] > at:
        return f"checks again {labels.ago(row['next_check_at'], at)}"
    execution = {
        **row, "resume_at": row["due_at"], "error": None, "skipped_because": None,
        "follow_up": {"count": row["follow_up_count"], "max": row["follow_up_max"]},
    }  # fmt: skip
    return labels.describe_next(execution, at)


def _build_skipped(row: Row) -> dict[str, Any]:
    return {
        "rule": row["rule"],
        "title": labels.RULES.get(row["rule"], str(row["rule"]).replace("_", " ")).capitalize(),
        "words": row["words"] or "",
        "count": row["count"],
    }


def _build_backlog(backlog: Row, stages: list[Row]) -> dict[str, Any]:
    count, rate, seconds = backlog["count"], backlog["a_minute"], backlog["seconds"]
    measures = {"count": count, "aMinute": rate, "measuredSeconds": backlog["measured_seconds"], "seconds": seconds}
    contacts = "1 contact" if count == 1 else f"{count:,} contacts"
    if not count:
        return {**measures, "title": "Nothing waits", "words": "Everybody who may go on has gone on."}
    if seconds is None:
        return {**measures, "title": "Not known yet", "words": f"{contacts}; none arrived in the last 10 minutes."}
    slowest, period = _describe_slowest(stages), labels.span(backlog["measured_seconds"])
    text = f"{contacts} at the pace of the last {period} ({rate:,.3g} a minute).{slowest}"
    return {**measures, "title": f"≈ {labels.span(seconds)}", "words": text}


def _describe_slowest(stages: list[Row]) -> str:
    timed = [
        stage
        for stage in stages
        if stage["stage"] in ("checking", "generating", "sending") and stage["average_seconds"]
    ]
    if not timed:
        return ""
    slowest = max(timed, key=lambda stage: stage["average_seconds"])
    return f" Slowest stage: {labels.STAGES[slowest['stage']].lower()}, {labels.span(slowest['average_seconds'])}."
