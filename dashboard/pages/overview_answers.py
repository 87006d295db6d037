"""The five answers of the overview: is it sending, is it late, what is broken, who is stuck, what changed last.

Pure: each is one line that is a link, computed from what the page has read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from dashboard.pages import counts, labels
from dashboard.pages.changes import Change
from models.lateness import Lateness
from models.reports.overview import StuckReason, StuckRow
from models.stuck import LATE_AFTER
from rules.channels import CHANNELS
from tasks.health.measurement import Health

#: The page behind what is broken.
_HEALTH = "/health"
#: `good` needs nothing, `warn` deserves a look, `bad` needs somebody now.
Tone = Literal["good", "warn", "bad", "plain"]


@dataclass(frozen=True)
class Answer:
    """One answer: its question in a word, a state, a line of detail, and the page behind it."""

    label: str
    icon: str
    tone: Tone
    title: str
    detail: str
    path: str


def describe_sending(bar: Mapping[str, Any], recent: int, usual: float, lateness: Lateness, path: str) -> Answer:
    """Whether messages are sent: `recent` in the last ten minutes, `usual` in a minute of the window."""
    detail = f"{_format_rate(recent / 10)} a minute, on average {_format_rate(usual)}"
    blocked = _list_blocked_channels(bar)
    if bar["threads"] == 0:
        return Answer("Sending", "failed", "bad", "No", "No live workers", path)
    if not recent and (lateness["due_seconds"] >= LATE_AFTER.total_seconds() or blocked):
        return Answer("Sending", "failed", "bad", "No", detail, path)
    if blocked:
        return Answer("Sending", "warning", "warn", f"Yes, except {' and '.join(blocked)}", detail, path)
    if not recent:
        return Answer("Sending", "eligible", "plain", "Nothing due", f"On average {_format_rate(usual)} a minute", path)
    return Answer("Sending", "eligible", "good", "Yes", detail, path)


def _format_rate(per_minute: float) -> str:
    return "under 0.1" if 0 < per_minute < 0.05 else f"{per_minute:.1f}"


def _list_blocked_channels(bar: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(name_channel(pause["name"]) for pause in bar["pauses"] if pause["kind"] == "provider"))


def name_channel(provider: str) -> str:
    """The channel that a provider serves, in an operator's words."""
    channel = next((channel for channel in CHANNELS.values() if channel.provider == provider), None)
    return channel.label if channel else "AI texts"


def describe_lateness(bar: Mapping[str, Any], lateness: Lateness) -> Answer:
    """How late what is due or held by a provider is; the longest decides."""
    due, held = lateness["due_seconds"], lateness["held_seconds"]
    limit, stuck = LATE_AFTER.total_seconds(), counts.build_path("stuck")
    due_text = f"oldest due {labels.format_rough_duration(due)}" if due else "nothing is due"
    if held >= limit and held >= due:
        pause = next((row for row in bar["pauses"] if row["reason"] == "configuration" and row["waiting"]), None)
        path = counts.build_held_path(pause["held_by"]) if pause else stuck
        name = name_channel(pause["name"]) if pause else "A provider"
        rest = f"All else on time, {due_text}" if due < limit else f"Others too, {due_text}"
        return Answer("Late", "queued", "bad", f"{name}: {labels.format_rough_duration(held)}", rest, path)
    if due >= limit:
        return Answer("Late", "queued", "bad", labels.format_rough_duration(due), "Longest delay of what is due", stuck)
    return Answer("Late", "queued", "good", "On time", due_text.capitalize(), counts.build_path("pending"))


def describe_broken(health: Health, now: datetime) -> Answer:
    """The parts of Health that do not work, worst first."""
    broken = [problem for problem in health.problems if problem.severity == "critical"]
    names = list(dict.fromkeys(health.find_part(problem.part).label for problem in broken))
    if not names:
        detail = f"{health.urgent:,} to look at" if health.urgent else f"{len(health.parts)} parts measured"
        return Answer("Broken", "eligible", "warn" if health.urgent else "good", "Nothing", detail, _HEALTH)
    since = min((problem.since for problem in broken if problem.since), default=None)
    title = names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
    detail = f"{len(names)} of {len(health.parts)} parts"
    if since:
        detail += f", for {labels.format_rough_duration(max(1.0, (now - since).total_seconds()))}"
    return Answer("Broken", "failed", "bad", title, detail, _HEALTH)


def describe_stuck_row(row: StuckRow) -> str:
    """Why one execution is stuck, in a few words."""
    provider = labels.PROVIDERS.get(row["provider"] or "", row["provider"] or "a provider")
    if row["status"] == "failed":
        return "outcome unknown"
    if row["waiting_for"] == "review":
        return "waits for approval"
    if row["waiting_for"] == "configuration":
        return f"waits for {provider}"
    if row["waiting_for"] == "pause":
        return "paused"
    return "its worker does not answer" if row["status"] == "running" else "overdue"


def describe_stuck(reasons: Sequence[StuckReason], bar: Mapping[str, Any]) -> Answer:
    """How many executions are stuck, and why."""
    total = sum(row["count"] for row in reasons)
    path = counts.build_path("stuck")
    if not total:
        return Answer("Stuck", "contacts", "good", "None", "Every execution moves or has its time", path)
    parts: dict[str, int] = {}
    for row in reasons:
        text = _describe_reason(row, bar)
        parts[text] = parts.get(text, 0) + row["count"]
    detail = ", ".join(f"{count:,} {text}" for text, count in sorted(parts.items(), key=lambda item: -item[1]))
    return Answer("Stuck", "contacts", "warn", f"{total:,} execution{'' if total == 1 else 's'}", detail, path)


def _describe_reason(row: StuckReason, bar: Mapping[str, Any]) -> str:
    if row["status"] == "failed":
        return "of unknown outcome"
    if row["waiting_for"] == "review":
        return "to review"
    if row["waiting_for"] == "configuration":
        refused = [pause["name"] for pause in bar["pauses"] if pause["reason"] == "configuration"]
        return f"for {labels.PROVIDERS.get(refused[0], refused[0])}" if len(refused) == 1 else "for credentials"
    return "paused" if row["waiting_for"] == "pause" else "overdue"


def describe_last_change(changes: Sequence[Change], zone: ZoneInfo, now: datetime) -> Answer:
    """The newest change that may explain what is seen."""
    if not changes:
        return Answer("Last change", "tag", "plain", "None", "Nothing was changed in 7 days", "#changes")
    change = changes[0]
    title = f"{format_time(change.at, zone, now)}, {change.title}"
    return Answer("Last change", change.icon, "plain", title, change.detail, change.path or "#changes")


def format_time(moment: datetime, zone: ZoneInfo, now: datetime) -> str:
    """The time of day, with the weekday before today: `11:12`, `Mon 17:20`."""
    local = moment.astimezone(zone)
    return f"{local:%H:%M}" if local.date() == now.astimezone(zone).date() else f"{local:%a %H:%M}"
