"""Monitor snapshots for the API and the page: the contract's fields, with texts for operators.

`read` and `read_at` query `models/reports`; the rest is pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dashboard.live.skip_reasons import describe_group
from dashboard.pages import labels
from dashboard.responses import to_camel_case
from models.reports import monitor, monitor_history
from models.reports.monitor_snapshot import Backlog, ContactRow, SkippedRow, Snapshot, StageSummary, Totals
from rules.errors import BY_CLASS

#: Characters of a message preview.
PREVIEW_LENGTH = 140

#: Titles of cards that differ from a contact's label, as the monitoring document has them.
CARD_TITLES = {"ready_to_send": "Ready to send"}
#: Final stages: they count the executions that finished in the last 24 hours.
FINAL_STAGES = ("completed", "failed", "skipped")

#: The key of a feed: workspace, automation, and whether only tests, no tests (False) or all (None) are included.
Key = tuple[str, str, bool | None]


def read(key: Key) -> dict[str, Any] | None:
    """The current snapshot; None where the workspace has no such automation."""
    workspace_id, automation_id, test = key
    snapshot = monitor.fetch_snapshot(workspace_id, automation_id, test=test)
    return None if snapshot is None else serialize(snapshot)


def read_at(key: Key, at: datetime) -> dict[str, Any] | None:
    """The snapshot at a time in the last six hours."""
    workspace_id, automation_id, test = key
    snapshot = monitor_history.fetch_snapshot(workspace_id, automation_id, at, test=test)
    return None if snapshot is None else serialize(snapshot)


def serialize(snapshot: Snapshot) -> dict[str, Any]:
    """The snapshot with the API's field names."""
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


def _format_totals(totals: Totals) -> str:
    """The outcomes of the last 24 hours: `10 sent, 5 skipped, 0 failed`."""
    unknown = f", {totals['unknown']} unknown" if totals["unknown"] else ""
    return f"{totals['sent']} sent, {totals['skipped']} skipped, {totals['failed']} failed{unknown}"


def _build_stage(row: StageSummary, totals: Totals) -> dict[str, Any]:
    average = row["average_seconds"]
    if row["stage"] in FINAL_STAGES:
        caption = "Last 24 h"
    elif row["stage"] == "sent":
        caption = f"{totals['sent']:,} in 24 h"
    else:
        caption = "No average yet" if average is None else f"Avg {labels.format_duration(average)}"
    return {
        "stage": row["stage"], "title": CARD_TITLES.get(row["stage"], labels.STAGES[row["stage"]]),
        "count": row["count"],
        "averageSeconds": average, "says": caption, "trend": row["trend"],
    }  # fmt: skip


def _build_contact(row: ContactRow, at: datetime) -> dict[str, Any]:
    error = _format_error(row)
    preview = shorten(row["message"])
    scheduled = row["scheduled_for"]
    return {
        "executionId": row["execution_id"],
        "contactId": row["contact_id"],
        "name": row["name"] or "No contact",
        "test": row["test"],
        "demo": row["demo"],
        "status": row["status"],
        "inMotion": _is_active(row),
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


def _is_active(row: ContactRow) -> bool:
    """Whether it is not finished. A past snapshot has no status: a failure then may have waited for a retry."""
    if row["status"] is None:
        return row["stage"] not in FINAL_STAGES
    return row["status"] in ("pending", "running", "waiting")


def _format_title(row: ContactRow) -> str:
    if row["status"] == "cancelled":
        return "Cancelled"
    if row["status"] == "failed" and row["error_class"] == "unknown_outcome":
        return "Unknown outcome"
    return labels.STAGES[row["stage"]]


def shorten(text: str | None) -> str | None:
    """The text on one line, cut at a word boundary."""
    if text is None:
        return None
    line = " ".join(text.split())
    if len(line) <= PREVIEW_LENGTH:
        return line
    return line[:PREVIEW_LENGTH].rsplit(" ", 1)[0] + "…"


def _format_error(row: ContactRow) -> str | None:
    """The error that stops the execution: its class and message."""
    is_stopped = row["stage"] == "failed" or row["waiting_for"] == "configuration"
    if not is_stopped or row["error_class"] is None:
        return None
    title, message = labels.ERRORS.get(row["error_class"], "Failed"), str(row["error_message"] or "")
    if message.lower().startswith(title.lower()):
        return message
    return f"{title}: {message}" if message else title


def _describe_state(row: ContactRow, error: str | None, preview: str | None) -> str:
    if error is not None:
        return error
    if row["silent"]:
        return "Worker lost; another worker takes over"
    if row["skipped_rule"] is not None:
        rule, detail = str(row["skipped_rule"]), row["skipped_detail"] or {}
        return str(detail.get("words") or labels.RULES.get(rule, rule).capitalize())
    if row["waiting_for"] == "window":
        return "All rules passed; waiting for active hours"
    if preview is not None and row["stage"] in ("ready_to_send", "sending", "sent", "completed"):
        channel = labels.CHANNELS.get(row["channel"] or "", row["channel"])
        return f"{channel}: “{preview}”" if row["stage"] == "sending" else f"“{preview}”"
    if row["next_check_at"] is not None:
        return "Sent; waiting for a reply"
    return _STAGE_TEXTS[row["stage"]]


_STAGE_TEXTS = {
    "queued": "Waiting for a worker",
    "checking": "Checking tags, limits and hours",
    "eligible": "All rules passed",
    "generating": "AI is writing the message",
    "ready_to_send": "Message ready",
    "sending": "Sending to the provider",
    "sent": "Accepted by the provider",
    "completed": "Completed",
    "failed": "Failed",
    "skipped": "Skipped",
}


def _describe_next(row: ContactRow, at: datetime) -> str:
    if row["status"] == "failed":
        error_type = BY_CLASS.get(row["error_class"] or "")
        return error_type.short_remedy if error_type else ""
    if row["status"] != "waiting":
        return ""
    if row["next_check_at"] is not None and row["next_check_at"] > at:
        return f"Next check {labels.format_relative_time(row['next_check_at'], at)}"
    execution = {
        **row, "resume_at": row["due_at"], "error": None, "skipped_because": None,
        "follow_up": {"count": row["follow_up_count"], "max": row["follow_up_max"]},
    }  # fmt: skip
    return labels.describe_next(execution, at)


def _build_skipped(row: SkippedRow) -> dict[str, Any]:
    return {
        "rule": row["rule"],
        "title": labels.RULES.get(row["rule"], str(row["rule"]).replace("_", " ")).capitalize(),
        "words": describe_group(row["rule"], row["words"] or "", row["count"]),
        "count": row["count"],
    }


def _build_backlog(backlog: Backlog, stages: Sequence[StageSummary]) -> dict[str, Any]:
    count, rate, seconds = backlog["count"], backlog["a_minute"], backlog["seconds"]
    measures = {"count": count, "aMinute": rate, "measuredSeconds": backlog["measured_seconds"], "seconds": seconds}
    contacts = "1 contact" if count == 1 else f"{count:,} contacts"
    if not count:
        return {**measures, "title": "No backlog", "words": "Everything that can move has moved."}
    if seconds is None:
        return {**measures, "title": "Unknown", "words": f"{contacts}; none arrived in the last 10 minutes."}
    slowest, period = _describe_slowest(stages), labels.format_duration(backlog["measured_seconds"])
    text = f"{contacts} at the rate of the last {period} ({rate:,.3g} per minute).{slowest}"
    return {**measures, "title": f"≈ {labels.format_duration(seconds)}", "words": text}


def _describe_slowest(stages: Sequence[StageSummary]) -> str:
    averages = {
        stage["stage"]: stage["average_seconds"]
        for stage in stages
        if stage["stage"] in ("checking", "generating", "sending") and stage["average_seconds"]
    }
    if not averages:
        return ""
    slowest = max(averages, key=averages.__getitem__)
    return f" Slowest stage: {labels.STAGES[slowest].lower()}, {labels.format_duration(averages[slowest])}."
