"""An execution's story in time, and its time by what it went to: the queue, the AI, the provider, waits, ourselves.

Pure: both are made of the stages, steps and messages that the report found.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dashboard.pages import labels
from rules.actions import ACTIONS
from rules.channels import CONTACT_CHANNELS
from rules.retries import MAX_RETRIES

Row = Mapping[str, Any]


@dataclass(frozen=True)
class TimelineEvent:
    """One line: when, under which stage's icon, what (a stage has a title, what happens in it has none), how long."""

    at: datetime
    stage: str
    title: str
    words: str
    ms: int | None = None
    #: What a step gave back or why it failed, folded away.
    folded: str = ""


@dataclass(frozen=True)
class TimeShare:
    """A share of the time: `kind` is queue, ours, ai, provider or wait; `start` and `width` are in thousandths."""

    kind: str
    label: str
    seconds: float
    start: float
    width: float


def build_timeline(execution: Row) -> list[TimelineEvent]:
    """Every line of the story, in the order of time."""
    stages = [_build_stage_event(index, execution) for index in range(len(execution["stages"]))]
    failures = [event for step in execution["steps"] for event in _build_failure_events(step)]
    done = [event for step in execution["steps"] for event in _build_step_events(step)]
    return sorted([*stages, *failures, *done], key=lambda event: event.at)


def _build_stage_event(index: int, execution: Row) -> TimelineEvent:
    stage = execution["stages"][index]
    following = execution["stages"][index + 1]["stage"] if index + 1 < len(execution["stages"]) else None
    name = stage["stage"]
    text = _describe_stage(name, index, following, execution)
    ms = stage["duration_ms"]
    return TimelineEvent(stage["entered_at"], name, labels.STAGES[name], text, ms)


def _describe_stage(name: str, index: int, following: str | None, execution: Row) -> str:
    if name == "queued":
        return "trigger accepted"
    if name == "checking":
        texts = {"eligible": "every rule passed", "skipped": "a rule said no", "completed": "a rule said no"}
        return texts.get(following or "", "")
    if name == "eligible":
        return _describe_eligible(following, execution)
    if name == "ready_to_send":
        return "message stored" + ("" if following or execution["waiting_for"] != "configuration" else ", not sent yet")
    if name == "sent":
        return _describe_sent(index, execution)
    if name == "completed" and execution["follow_up_ended_because"]:
        return f"no more follow-ups: {labels.why(execution['follow_up_ended_because'])}"
    if name == "failed":
        return _describe_failed(following, execution)
    if name == "skipped":
        reason = execution["skipped_because"]
        return str((reason["detail"] or {}).get("words") or reason["rule"]) if reason else ""
    return ""


def _describe_eligible(following: str | None, execution: Row) -> str:
    if following == "checking" or (following is None and execution["waiting_for"] == "window"):
        return "waits until its hours open"
    return "nothing to send" if following == "completed" and not execution["messages"] else ""


def _describe_sent(index: int, execution: Row) -> str:
    """The message whose acceptance this stage is: the n-th "sent" belongs to the n-th message that left."""
    position = sum(stage["stage"] == "sent" for stage in execution["stages"][:index])
    sent = [row for row in execution["messages"] if row["sent_at"] and row["channel"] in CONTACT_CHANNELS]
    ordered = sorted(sent, key=lambda row: row["sent_at"])
    if position >= len(ordered):
        return ""
    message = ordered[position]
    environment = " in the sandbox" if message["sandbox"] else ""
    provider_id = f" as {message['provider_message_id']}" if message["provider_message_id"] else ""
    return f"accepted by {message['provider'].title()}{environment}{provider_id}"


def _describe_failed(following: str | None, execution: Row) -> str:
    if following:
        return {"sent": "found to have been sent after all", "skipped": "put away"}.get(following, "tried again")
    if execution["status"] == "waiting":
        return f"retry {min(execution['attempt'], MAX_RETRIES)} of {MAX_RETRIES} is to come"
    return "at rest until somebody decides"


def _build_failure_events(step: Row) -> list[TimelineEvent]:
    """Every failed try of a step."""
    return [
        TimelineEvent(
            datetime.fromisoformat(failure["at"]),
            _find_icon(step["action"], ("generating", "sending"), "failed"),
            "",
            f"{_format_step(step)}, attempt {number} · {labels.ERRORS.get(failure['class'], failure['class'])}: "
            f"{failure['message']}",
            folded=_format_json(failure),
        )
        for number, failure in enumerate(step["failures"], 1)
    ]


def _build_step_events(step: Row) -> list[TimelineEvent]:
    """What a step came to, where no stage tells it."""
    if ACTIONS[step["action"]].is_wait and step["status"] == "running":
        return [TimelineEvent(step["started_at"], "queued", "", f"{_format_step(step)} · waits")]
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


def _format_step(step: Row) -> str:
    return f"{step['id']}, follow-up {step['round']}" if step["round"] else str(step["id"])


def _describe_outcome(step: Row) -> str:
    output = step["output"] or {}
    attempts = f"attempt {step['attempts']} · " if step["attempts"] > 1 else ""
    if step["status"] == "skipped":
        return str((output.get("skipped") or {}).get("words") or "skipped")
    if step["action"] == "generate_message":
        return attempts + _describe_generation(output)
    if "taken" in output:
        return f"took “{output['taken']}”"
    return attempts + ACTIONS[step["action"]].outcome


def _describe_generation(output: Row) -> str:
    if output.get("fallback"):
        return f"the fallback text, because {output.get('fallbackBecause') or 'the model wrote none'}"
    facts = [output.get("model"), f"{output.get('outputTokens')} tokens", f"finish {output.get('finishReason')}"]
    return " · ".join(str(fact) for fact in facts if fact)


def _format_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str) if value else ""


def build_time_shares(execution: Row, now: datetime) -> list[TimeShare]:
    """The time so far by what it went to, in the order queue, ours, AI, provider, wait; nothing of no length."""
    seconds = dict.fromkeys(("queue", "ours", "ai", "provider", "wait"), 0.0)
    stages = execution["stages"]
    for index, stage in enumerate(stages):
        following = stages[index + 1]["stage"] if index + 1 < len(stages) else None
        left_at = stage["left_at"] or (None if execution["finished_at"] else now)
        if left_at is not None:
            seconds[_classify(stage["stage"], following, execution)] += (left_at - stage["entered_at"]).total_seconds()
    _move_waits(seconds, execution["steps"])
    return _build_shares({kind: spent for kind, spent in seconds.items() if spent >= 0.0005})


def _classify(stage: str, following: str | None, execution: Row) -> str:
    if stage == "failed" or (stage in ("eligible", "sent") and following == "checking"):
        return "wait"
    if following is None and execution["status"] == "waiting" and execution["waiting_for"] != "retry":
        return "wait"
    return {"queued": "queue", "ready_to_send": "queue", "generating": "ai", "sending": "provider"}.get(stage, "ours")


def _move_waits(seconds: dict[str, float], steps: Sequence[Row]) -> None:
    """The time of finished waits was counted as ours, because a wait keeps the stage that it finds."""
    waited = sum(
        (step["finished_at"] - step["started_at"]).total_seconds()
        for step in steps
        if ACTIONS[step["action"]].is_wait and step["finished_at"] and step["started_at"]
    )
    moved = min(waited, seconds["ours"])
    seconds["ours"] -= moved
    seconds["wait"] += moved


_LABELS = {"queue": "queue", "ours": "ours", "ai": "AI", "provider": "provider", "wait": "deliberate wait"}
#: Thousandths that even the shortest share is drawn with.
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
