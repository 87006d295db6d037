"""An execution's story in time, and its time by what it went to: the queue, the AI, the provider, waits, ourselves.

Pure: both are made of the stages, steps and messages that the report found.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dashboard.pages import words
from rules.retries import MAX_RETRIES

Row = Mapping[str, Any]

_GENERATING, _WAITING = ("generate_message",), ("wait", "wait_until")
#: Steps whose success the stage "sent" already tells.
_TOLD_BY_SENT = ("send_email", "send_sms", "send_message", "reply_comment")
#: Steps whose outside call is a message to somebody.
_SENDING = (*_TOLD_BY_SENT, "notify", "call_webhook")
#: Channels that do not reach the contact.
_NOTICES = ("slack", "discord", "webhook")


@dataclass(frozen=True)
class Event:
    """One line: when, under which stage's icon, what (a stage has a title, what happens in it has none), how long."""

    at: datetime
    stage: str
    title: str
    words: str
    ms: int | None = None
    #: What a step gave back or why it failed, folded away.
    folded: str = ""


@dataclass(frozen=True)
class Part:
    """A share of the time: `kind` is queue, ours, ai, provider or wait; `start` and `width` are in thousandths."""

    kind: str
    label: str
    seconds: float
    start: float
    width: float


def tell(found: Row) -> list[Event]:
    """Every line of the story, in the order of time."""
    stages = [_stage(index, found) for index in range(len(found["stages"]))]
    tries = [event for step in found["steps"] for event in _tries(step)]
    done = [event for step in found["steps"] for event in _done(step)]
    return sorted([*stages, *tries, *done], key=lambda event: event.at)


def _stage(index: int, found: Row) -> Event:
    stage = found["stages"][index]
    following = found["stages"][index + 1]["stage"] if index + 1 < len(found["stages"]) else None
    name = stage["stage"]
    text = _about(name, index, following, found)
    ms = stage["duration_ms"]
    return Event(stage["entered_at"], name, words.STAGES[name], text, ms)


def _about(name: str, index: int, following: str | None, found: Row) -> str:
    if name == "queued":
        return "trigger accepted"
    if name == "checking":
        passed = {"eligible": "every rule passed", "skipped": "a rule said no", "completed": "a rule said no"}
        return passed.get(following or "", "")
    if name == "eligible":
        return _eligible(following, found)
    if name == "ready_to_send":
        return "message stored" + ("" if following or found["waiting_for"] != "configuration" else ", not sent yet")
    if name == "sent":
        return _accepted(index, found)
    if name == "completed" and found["follow_up_ended_because"]:
        return f"no more follow-ups: {words.why(found['follow_up_ended_because'])}"
    if name == "failed":
        return _failed(following, found)
    if name == "skipped":
        because = found["skipped_because"]
        return str((because["detail"] or {}).get("words") or because["rule"]) if because else ""
    return ""


def _eligible(following: str | None, found: Row) -> str:
    if following == "checking" or (following is None and found["waiting_for"] == "window"):
        return "waits until its hours open"
    return "nothing to send" if following == "completed" and not found["messages"] else ""


def _accepted(index: int, found: Row) -> str:
    """The message whose acceptance this stage is: the n-th "sent" belongs to the n-th message that left."""
    nth = sum(stage["stage"] == "sent" for stage in found["stages"][:index])
    left = [one for one in found["messages"] if one["sent_at"] and one["channel"] not in _NOTICES]
    contacted = sorted(left, key=lambda one: one["sent_at"])
    if nth >= len(contacted):
        return ""
    message = contacted[nth]
    through = " in the sandbox" if message["sandbox"] else ""
    known_as = f" as {message['provider_message_id']}" if message["provider_message_id"] else ""
    return f"accepted by {message['provider'].title()}{through}{known_as}"


def _failed(following: str | None, found: Row) -> str:
    if following:
        return {"sent": "found to have been sent after all", "skipped": "put away"}.get(following, "tried again")
    if found["status"] == "waiting":
        return f"retry {min(found['attempt'], MAX_RETRIES)} of {MAX_RETRIES} is to come"
    return "at rest until somebody decides"


def _tries(step: Row) -> list[Event]:
    """Every failed try of a step."""
    return [
        Event(
            datetime.fromisoformat(failure["at"]),
            "generating" if step["action"] in _GENERATING else "sending" if step["action"] in _SENDING else "failed",
            "",
            f"{_named(step)}, attempt {number} · {words.ERRORS.get(failure['class'], failure['class'])}: "
            f"{failure['message']}",
            folded=_pretty(failure),
        )
        for number, failure in enumerate(step["failures"], 1)
    ]


def _done(step: Row) -> list[Event]:
    """What a step came to, where no stage tells it."""
    if step["action"] in _WAITING and step["status"] == "running":
        return [Event(step["started_at"], "queued", "", f"{_named(step)} · waits")]
    if step["finished_at"] is None or step["status"] == "failed":
        return []
    if step["action"] in _TOLD_BY_SENT and step["status"] == "succeeded":
        return []
    stage = {"generate_message": "generating", "wait": "queued", "wait_until": "queued", "notify": "sending",
             "call_webhook": "sending"}.get(step["action"], "eligible")  # fmt: skip
    stage = "skipped" if step["status"] == "skipped" else stage
    ms = step["execution_time_ms"]
    return [Event(step["finished_at"], stage, "", f"{_named(step)} · {_came_to(step)}", ms, _pretty(step["output"]))]


def _named(step: Row) -> str:
    return f"{step['id']}, follow-up {step['round']}" if step["round"] else str(step["id"])


def _came_to(step: Row) -> str:
    output = step["output"] or {}
    tries = f"attempt {step['attempts']} · " if step["attempts"] > 1 else ""
    if step["status"] == "skipped":
        return str((output.get("skipped") or {}).get("words") or "skipped")
    if step["action"] == "generate_message":
        return tries + _written(output)
    if "taken" in output:
        return f"took “{output['taken']}”"
    said = {"wait": "waited", "notify": "told", "update_contact": "contact changed", "create_task": "task made",
            "call_webhook": "called", "stop": "stopped here"}  # fmt: skip
    return tries + said.get(step["action"], "done")


def _written(output: Row) -> str:
    if output.get("fallback"):
        return f"the fallback text, because {output.get('fallbackBecause') or 'the model wrote none'}"
    facts = [output.get("model"), f"{output.get('outputTokens')} tokens", f"finish {output.get('finishReason')}"]
    return " · ".join(str(one) for one in facts if one)


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str) if value else ""


def parts(found: Row, now: datetime) -> list[Part]:
    """The time so far by what it went to, in the order queue, ours, AI, provider, wait; nothing of no length."""
    seconds = dict.fromkeys(("queue", "ours", "ai", "provider", "wait"), 0.0)
    stages = found["stages"]
    for index, stage in enumerate(stages):
        following = stages[index + 1]["stage"] if index + 1 < len(stages) else None
        left = stage["left_at"] or (None if found["finished_at"] else now)
        if left is not None:
            seconds[_kind(stage["stage"], following, found)] += (left - stage["entered_at"]).total_seconds()
    _move_waits(seconds, found["steps"])
    return _shares({kind: spent for kind, spent in seconds.items() if spent >= 0.0005})


def _kind(stage: str, following: str | None, found: Row) -> str:
    if stage == "failed" or (stage in ("eligible", "sent") and following == "checking"):
        return "wait"
    if following is None and found["status"] == "waiting" and found["waiting_for"] != "retry":
        return "wait"
    return {"queued": "queue", "ready_to_send": "queue", "generating": "ai", "sending": "provider"}.get(stage, "ours")


def _move_waits(seconds: dict[str, float], steps: Sequence[Row]) -> None:
    """The time of finished waits was counted as ours, because a wait keeps the stage that it finds."""
    waited = sum(
        (step["finished_at"] - step["started_at"]).total_seconds()
        for step in steps
        if step["action"] in _WAITING and step["finished_at"] and step["started_at"]
    )
    moved = min(waited, seconds["ours"])
    seconds["ours"] -= moved
    seconds["wait"] += moved


_LABELS = {"queue": "queue", "ours": "ours", "ai": "AI", "provider": "provider", "wait": "deliberate wait"}
#: Thousandths that even the shortest share is drawn with.
_LEAST = 8.0


def _shares(seconds: Mapping[str, float]) -> list[Part]:
    total = sum(seconds.values())
    widths = {kind: max(_LEAST, 1000 * spent / total) for kind, spent in seconds.items()} if total else {}
    scale = 1000 / sum(widths.values()) if widths else 1
    start, found = 0.0, []
    for kind, width in widths.items():
        found.append(Part(kind, _LABELS[kind], seconds[kind], round(start, 1), round(width * scale - 2, 1)))
        start += width * scale
    return found
