"""The workflow as the path that an execution took: what it passed, where it stands, and what lies ahead.

Pure: it walks the definition beside the steps on record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from dashboard.pages import words

State = Literal["passed", "current", "failed", "skipped", "ahead", "untaken"]


@dataclass(frozen=True)
class Node:
    """One step of the path: its icon and colour (a stage's), its words, and the ways that lead on from it."""

    title: str
    words: str
    stage: str
    state: State
    arms: tuple[Arm, ...] = field(default=())


@dataclass(frozen=True)
class Arm:
    """One way of a branch, a split or a wait for an event."""

    name: str
    taken: bool | None
    nodes: tuple[Node, ...]


#: The stage whose icon and colour an action bears.
_LOOKS = {
    "generate_message": "generating", "send_email": "sending", "send_sms": "sending", "send_message": "sending",
    "reply_comment": "sending", "notify": "sending", "call_webhook": "sending", "wait": "queued",
    "wait_until": "queued", "branch": "branch", "split": "branch", "check_follow": "checking",
    "update_contact": "contact", "create_task": "flag", "stop": "skipped",
}  # fmt: skip


def path(definition: Mapping[str, Any] | None, found: Mapping[str, Any]) -> list[Node]:
    """The nodes from the trigger on; empty where the definition is not there any more."""
    if not definition:
        return []
    steps = {step["id"]: step for step in found["steps"] if step["round"] == 0}
    trigger = Node(
        f"Trigger: {definition['trigger']['type']}", words.trigger(definition["trigger"]), "eligible", "passed"
    )
    walked = _walk(definition["steps"], steps, found, None)
    return [trigger, _judged(definition.get("rules") or {}, found), *walked, *_follow_ups(found)]


def _follow_ups(found: Mapping[str, Any]) -> list[Node]:
    """How often whoever does not answer is written to again, where that is wanted."""
    count, most = found["follow_up"]["count"], found["follow_up"]["max"]
    if not most:
        return []
    because = found["follow_up_ended_because"]
    begun = found["round"] > 0 or found["waiting_for"] == "follow_up"
    state: State = "current" if begun else "ahead"
    if found["status"] in ("succeeded", "skipped", "cancelled"):
        state = "passed" if begun else "untaken"
    elif found["stage"] == "failed" and begun:
        state = "failed"
    gist = f"{count} of {most} sent" + (f" · {words.why(because)}" if because else "")
    return [Node("Follow-ups", gist, "failed" if state == "failed" else "queued", state)]


def _judged(rules: Mapping[str, Any], found: Mapping[str, Any]) -> Node:
    entered = {stage["stage"] for stage in found["stages"]}
    because = found["skipped_because"]
    state: State = "passed" if entered & {"eligible", "generating", "ready_to_send", "sent", "completed"} else "ahead"
    text = ", ".join(_rule(name, given) for name, given in rules.items() if name != "outside_hours") or "no rules set"
    if found["status"] == "skipped" and because:
        return Node("Eligible?", str((because["detail"] or {}).get("words") or because["rule"]), "skipped", "skipped")
    if found["waiting_for"] == "window":
        return Node("Eligible?", text, "eligible", "current")
    if state == "ahead" and found["stage"] in ("checking", "failed"):
        return Node("Eligible?", text, "checking", "failed" if found["stage"] == "failed" else "current")
    return Node("Eligible?", text, "eligible", state)


def _rule(name: str, given: Any) -> str:
    if name == "tags":
        return "tags " + ", ".join(f"{kind} {' '.join(tags)}" for kind, tags in given.items() if tags)
    if name == "active_hours":
        return f"{given.get('start')}–{given.get('end')}"
    if name == "frequency_cap":
        return f"at most {given.get('max')} in {given.get('per')}"
    if name == "follow_ups":
        return f"{given.get('max', 0)} follow-ups"
    plain = {"daily_limit": "daily", "contact_daily_limit": "a contact daily", "where": "if", "reentry": "re-entry"}
    return f"{plain.get(name, name)} {given}"


def _walk(
    listed: Sequence[Mapping[str, Any]], steps: Mapping[str, Any], found: Mapping[str, Any], taken: bool | None
) -> list[Node]:
    return [_node(step, steps.get(step["id"]), steps, found, taken) for step in listed]


def _node(
    step: Mapping[str, Any], row: Mapping[str, Any] | None, steps: Mapping[str, Any], found: Mapping[str, Any],
    taken: bool | None,
) -> Node:  # fmt: skip
    state = _state(row, found, taken)
    output = (row or {}).get("output") or {}
    arms = tuple(
        Arm(name, _took(output, name, state), tuple(_walk(inner, steps, found, _took(output, name, state))))
        for name, inner in _arms(step).items()
    )
    look = _LOOKS.get(step["action"], "queued")
    stage = {"failed": "failed", "skipped": "skipped"}.get(state, look)
    return Node(f"{step['id']} · {step['action']}", _gist(step, output), stage, state, arms)


def _state(row: Mapping[str, Any] | None, found: Mapping[str, Any], taken: bool | None) -> State:
    if row is None:
        is_over = found["status"] in ("succeeded", "skipped", "cancelled")
        return "untaken" if taken is False or is_over else "ahead"
    if row["status"] == "failed" and found["stage"] != "failed" and found["status"] in ("running", "waiting"):
        return "current"
    known: dict[str, State] = {"succeeded": "passed", "skipped": "skipped", "failed": "failed"}
    return known.get(row["status"], "current")


def _took(output: Mapping[str, Any], name: str, state: State) -> bool | None:
    """Whether the way was taken; None while that is open."""
    if output.get("taken") is None:
        return False if state == "untaken" else None
    return bool(output["taken"] == name)


def _arms(step: Mapping[str, Any]) -> dict[str, Sequence[Mapping[str, Any]]]:
    if step["action"] == "split":
        variants = step.get("variants") or (step.get("with") or {}).get("variants") or ()
        return {variant["name"]: variant.get("steps") or () for variant in variants}
    return {name: step[name] for name in ("then", "else") if step.get(name)}


def _gist(step: Mapping[str, Any], output: Mapping[str, Any]) -> str:
    """What a step is about, in a few words."""
    given = step.get("with") or {}
    if step["action"] == "generate_message":
        model = output.get("model") or given.get("model") or "the workspace's model"
        tokens = output.get("outputTokens")
        return f"{model}, {tokens} tokens" if tokens is not None else str(model)
    if step["action"] == "branch":
        return f"if {step.get('if') or given.get('if', '')}"
    channel = words.CHANNELS.get(str(given.get("channel", "")), "")
    texts = {
        "wait": f"for {given.get('for', '')}",
        "wait_until": f"until {given.get('event', '')}",
        "send_email": "E-mail",
        "send_sms": "SMS",
        "notify": channel,
        "send_message": channel,
        "create_task": "a task for a person",
        "update_contact": "tags and attributes",
        "call_webhook": "another system",
    }
    return texts.get(step["action"], "")
