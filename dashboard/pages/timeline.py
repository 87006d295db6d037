"""An execution's timeline, and its time by activity: queue, processing, AI, provider, scheduled waits.

Both are computed from the stages, steps and messages of the report.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any

from dashboard.pages import labels
from models.reports.executions import ExecutionDetail, MessageItem, StepItem
from rules.actions import ACTIONS
from rules.channels import CONTACT_CHANNELS
from rules.json_text import format_json
from rules.retries import MAX_RETRIES


@dataclass(frozen=True)
class TimelineEvent:
    """One line of the timeline, under the icon of `stage`; only the entry into a stage has a title."""

    at: datetime
    stage: str
    title: str
    text: str
    ms: int | None = None
    #: The output of a step or its failure as JSON, collapsed on the page.
    detail: str = ""


@dataclass(frozen=True)
class TimeShare:
    """A share of the time. `kind` is queue, processing, ai, provider or wait; `start` and `width` are thousandths."""

    kind: str
    label: str
    seconds: float
    start: float
    width: float


def build_timeline(execution: ExecutionDetail) -> list[TimelineEvent]:
    """All lines of the timeline, in order of time."""
    stages = [_build_stage_event(index, execution) for index in range(len(execution["stages"]))]
    failures = [event for step in execution["steps"] for event in _build_failure_events(step)]
    done = [event for step in execution["steps"] for event in _build_step_events(step)]
    look_ups = [event for message in execution["messages"] for event in _build_look_up_events(message)]
    clicks = [event for message in execution["messages"] for event in _build_click_events(message)]
    return sorted([*stages, *failures, *done, *look_ups, *clicks], key=lambda event: event.at)


def _build_click_events(message: MessageItem) -> list[TimelineEvent]:
    """The first click on each counted link of a message."""
    return [
        TimelineEvent(link["clicked_at"], "completed", "", f"Clicked {link['url']}")
        for link in message["links"]
        if link["clicked_at"]
    ]


def _build_look_up_events(message: MessageItem) -> list[TimelineEvent]:
    """The look-ups of a message of unknown outcome at its provider."""
    provider = labels.PROVIDERS.get(message["provider"], message["provider"])
    return [
        TimelineEvent(datetime.fromisoformat(entry["at"]), "checking", "", _describe_look_up(provider, entry))
        for entry in message["lookups"]
    ]


def _describe_look_up(provider: str, entry: Mapping[str, Any]) -> str:
    if entry.get("reported"):
        return (
            f"{provider} reported on a message to {entry['asked']} with this text. It may be another one of unknown "
            "outcome, so nothing changed"
        )
    answers = {True: "found", False: "no record", None: "no answer"}
    by_operator = ", by an operator" if entry.get("requested") else ""
    error = f" ({entry['error']})" if entry.get("error") else ""
    return f"Asked {provider} for the message to {entry['asked']}{by_operator}: {answers[entry['found']]}{error}"


def _build_stage_event(index: int, execution: ExecutionDetail) -> TimelineEvent:
    stage = execution["stages"][index]
    following = execution["stages"][index + 1]["stage"] if index + 1 < len(execution["stages"]) else None
    name = stage["stage"]
    text = _describe_stage(name, index, following, execution)
    ms = stage["duration_ms"]
    return TimelineEvent(stage["entered_at"], name, labels.STAGES[name], text, ms)


def _describe_stage(name: str, index: int, following: str | None, execution: ExecutionDetail) -> str:
    if name == "queued":
        return "Trigger accepted"
    if name == "checking":
        texts = {"eligible": "All rules passed", "skipped": "Not eligible", "completed": "Not eligible"}
        return texts.get(following or "", "")
    if name == "eligible":
        return _describe_eligible(following, execution)
    if name == "ready_to_send":
        return "Message stored" + ("" if following or execution["waiting_for"] != "configuration" else ", not sent yet")
    if name == "sent":
        return _describe_sent(index, execution)
    if name == "completed" and execution["follow_up_ended_because"]:
        return f"No more follow-ups: {labels.describe_reason(execution['follow_up_ended_because'])}"
    if name == "failed":
        return _describe_failed(following, execution)
    if name == "skipped":
        reason = execution["skipped_because"]
        return str((reason["detail"] or {}).get("words") or reason["rule"]) if reason else ""
    return ""


def _describe_eligible(following: str | None, execution: ExecutionDetail) -> str:
    if following == "checking" or (following is None and execution["waiting_for"] == "window"):
        return "Waiting for active hours"
    return "Nothing to send" if following == "completed" and not execution["messages"] else ""


def _describe_sent(index: int, execution: ExecutionDetail) -> str:
    """The acceptance of one message: the n-th "sent" stage belongs to the n-th message sent."""
    position = sum(stage["stage"] == "sent" for stage in execution["stages"][:index])
    sent = [
        (sent_at, row)
        for row in execution["messages"]
        if (sent_at := row["sent_at"]) and row["channel"] in CONTACT_CHANNELS
    ]
    ordered = sorted(sent, key=itemgetter(0))
    if position >= len(ordered):
        return ""
    _, message = ordered[position]
    environment = " in the sandbox" if message["sandbox"] else ""
    provider_id = f" as {message['provider_message_id']}" if message["provider_message_id"] else ""
    return f"Accepted by {message['provider'].title()}{environment}{provider_id}"


def _describe_failed(following: str | None, execution: ExecutionDetail) -> str:
    if following:
        return {"sent": "Confirmed as sent", "skipped": "Discarded"}.get(following, "Retried")
    if execution["status"] == "waiting":
        return f"Retry {min(execution['attempt'], MAX_RETRIES)} of {MAX_RETRIES} scheduled"
    is_checked = any(row["next_look_up_at"] for row in execution["messages"])
    return "Being checked" if is_checked else "Needs a decision"


def _build_failure_events(step: StepItem) -> list[TimelineEvent]:
    """The failed attempts of a step."""
    return [
        TimelineEvent(
            datetime.fromisoformat(failure["at"]),
            _find_icon(step["action"], ("generating", "sending"), "failed"),
            "",
            f"{_format_step(step)}, attempt {number} · {labels.ERRORS.get(failure['class'], failure['class'])}: "
            f"{failure['message']}",
            detail=_format_json(failure),
        )
        for number, failure in enumerate(step["failures"], 1)
    ]


def _build_step_events(step: StepItem) -> list[TimelineEvent]:
    """The outcome of a step, where no stage shows it."""
    started_at = step["started_at"]
    if ACTIONS[step["action"]].is_wait and step["status"] == "running" and started_at is not None:
        return [TimelineEvent(started_at, "queued", "", f"{_format_step(step)} · waiting")]
    if step["finished_at"] is None or step["status"] == "failed":
        return []
    if ACTIONS[step["action"]].reaches_contact and step["status"] == "succeeded":
        return []
    stage = _find_icon(step["action"], ("generating", "sending", "queued"), "eligible")
    stage = "skipped" if step["status"] == "skipped" else stage
    ms = step["execution_time_ms"]
    return [
        TimelineEvent(
            step["finished_at"],
            stage,
            "",
            f"{_format_step(step)} · {_describe_outcome(step)}",
            ms,
            _format_json(step["output"]),
        )
    ]


def _find_icon(action: str, icons: Collection[str], default: str) -> str:
    """The action's icon where it is one of these."""
    icon = ACTIONS[action].icon
    return icon if icon in icons else default


def _format_step(step: StepItem) -> str:
    return f"{step['id']}, follow-up {step['round']}" if step["round"] else str(step["id"])


def _describe_outcome(step: StepItem) -> str:
    output = step["output"] or {}
    attempts = f"attempt {step['attempts']} · " if step["attempts"] > 1 else ""
    if step["status"] == "skipped":
        return str((output.get("skipped") or {}).get("words") or "skipped")
    if step["action"] == "generate_message":
        return attempts + _describe_generation(output)
    if "taken" in output:
        return f"took “{output['taken']}”"
    return attempts + ACTIONS[step["action"]].outcome


def _describe_generation(output: Mapping[str, Any]) -> str:
    if output.get("fallback"):
        return f"fallback text, because {output.get('fallbackBecause') or 'the model returned no text'}"
    facts = [output.get("model"), f"{output.get('outputTokens')} tokens", f"finish {output.get('finishReason')}"]
    return " · ".join(str(fact) for fact in facts if fact)


def _format_json(value: Any) -> str:
    return format_json(value, indent=2) if value else ""


def build_time_shares(execution: ExecutionDetail, now: datetime) -> list[TimeShare]:
    """The time so far by activity, in the order of `_LABELS`; shares below 0.5 ms are left out."""
    seconds = dict.fromkeys(("queue", "processing", "ai", "provider", "wait"), 0.0)
    stages = execution["stages"]
    for index, stage in enumerate(stages):
        following = stages[index + 1]["stage"] if index + 1 < len(stages) else None
        left_at = stage["left_at"] or (None if execution["finished_at"] else now)
        if left_at is not None:
            seconds[_classify(stage["stage"], following, execution)] += (left_at - stage["entered_at"]).total_seconds()
    _move_waits(seconds, execution["steps"])
    return _build_shares({kind: spent for kind, spent in seconds.items() if spent >= 0.0005})


def _classify(stage: str, following: str | None, execution: ExecutionDetail) -> str:
    if stage == "failed" or (stage in ("eligible", "sent") and following == "checking"):
        return "wait"
    if following is None and execution["status"] == "waiting" and execution["waiting_for"] != "retry":
        return "wait"
    return {"queued": "queue", "ready_to_send": "queue", "generating": "ai", "sending": "provider"}.get(
        stage, "processing"
    )


def _move_waits(seconds: dict[str, float], steps: Sequence[StepItem]) -> None:
    """Move finished waits from processing to wait: a wait does not change the stage."""
    waited = sum(
        (step["finished_at"] - step["started_at"]).total_seconds()
        for step in steps
        if ACTIONS[step["action"]].is_wait and step["finished_at"] and step["started_at"]
    )
    moved = min(waited, seconds["processing"])
    seconds["processing"] -= moved
    seconds["wait"] += moved


_LABELS = {"queue": "queue", "processing": "processing", "ai": "AI", "provider": "provider", "wait": "scheduled wait"}
#: The least width of a share, in thousandths.
_MIN_WIDTH = 8.0


def _build_shares(seconds: Mapping[str, float]) -> list[TimeShare]:
    total = sum(seconds.values())
    widths = {kind: max(_MIN_WIDTH, 1000 * spent / total) for kind, spent in seconds.items()} if total else {}
    scale = 1000 / sum(widths.values()) if widths else 1
    start, shares = 0.0, []
    for kind, width in widths.items():
        shares.append(TimeShare(kind, _LABELS[kind], seconds[kind], round(start, 1), round(width * scale - 2, 1)))
        start += width * scale
    return shares
