"""The workflow as an execution ran through it: finished, current and upcoming steps.

Pure: it walks the definition beside the recorded steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from dashboard.pages import labels
from dashboard.pages.playbook_fields import format_action
from rules.actions import ACTIONS, PLAYBOOK_ACTIONS
from rules.problems import shorten

State = Literal["passed", "current", "failed", "skipped", "ahead", "untaken"]


@dataclass(frozen=True)
class Node:
    """One step of the path: title, text, the stage whose icon and colour it has, and its arms."""

    title: str
    text: str
    stage: str
    state: State
    arms: tuple[Arm, ...] = field(default=())


@dataclass(frozen=True)
class Arm:
    """One arm of a branch, a split or a wait for an event."""

    name: str
    taken: bool | None
    nodes: tuple[Node, ...]


def build_path(definition: Mapping[str, Any] | None, execution: Mapping[str, Any]) -> list[Node]:
    """The nodes, beginning with the trigger; empty where the definition was deleted."""
    if not definition:
        return []
    steps = {step["id"]: step for step in execution["steps"] if step["round"] == 0}
    trigger = Node(
        f"Trigger: {definition['trigger']['type']}",
        labels.describe_trigger(definition["trigger"]),
        "eligible",
        "passed",
    )
    nodes = _walk(definition["steps"], steps, execution, None)
    return [
        trigger,
        _build_eligibility(definition.get("rules") or {}, execution),
        *nodes,
        *_build_follow_ups(execution),
    ]


def build_steps(definition: Mapping[str, Any] | None) -> list[Node]:
    """The steps of a workflow before any execution, without the trigger; empty where nothing is published."""
    if not definition:
        return []
    return _walk(definition["steps"], {}, {"status": "pending", "stage": "queued"}, None)


def _build_follow_ups(execution: Mapping[str, Any]) -> list[Node]:
    """The follow-ups sent, where the automation has follow-ups."""
    count, max_count = execution["follow_up"]["count"], execution["follow_up"]["max"]
    if not max_count:
        return []
    reason = execution["follow_up_ended_because"]
    has_begun = execution["round"] > 0 or execution["waiting_for"] == "follow_up"
    state: State = "current" if has_begun else "ahead"
    if execution["status"] in ("succeeded", "skipped", "cancelled"):
        state = "passed" if has_begun else "untaken"
    elif execution["stage"] == "failed" and has_begun:
        state = "failed"
    text = f"{count} of {max_count} sent" + (f" · {labels.describe_reason(reason)}" if reason else "")
    return [Node("Follow-ups", text, "failed" if state == "failed" else "queued", state)]


def _build_eligibility(rules: Mapping[str, Any], execution: Mapping[str, Any]) -> Node:
    entered = {stage["stage"] for stage in execution["stages"]}
    reason = execution["skipped_because"]
    state: State = "passed" if entered & {"eligible", "generating", "ready_to_send", "sent", "completed"} else "ahead"
    text = describe_rules(rules)
    if execution["status"] == "skipped" and reason:
        return Node("Eligible?", str((reason["detail"] or {}).get("words") or reason["rule"]), "skipped", "skipped")
    if execution["waiting_for"] == "window":
        return Node("Eligible?", text, "eligible", "current")
    if state == "ahead" and execution["stage"] in ("checking", "failed"):
        return Node("Eligible?", text, "checking", "failed" if execution["stage"] == "failed" else "current")
    return Node("Eligible?", text, "eligible", state)


def describe_rules(rules: Mapping[str, Any]) -> str:
    """The rules in one line: `daily limit 200, 09:00–21:00`."""
    parts = (_format_rule(name, config) for name, config in rules.items() if name != "outside_hours")
    return ", ".join(part for part in parts if part) or "No rules set"


def _format_rule(name: str, config: Any) -> str:
    if name in ("tags", "active_hours", "frequency_cap", "follow_ups") and not isinstance(config, Mapping):
        return ""
    if name == "tags":
        return "tags " + ", ".join(f"{kind} {' '.join(tags)}" for kind, tags in config.items() if tags)
    if name == "active_hours":
        return f"{config.get('start')}–{config.get('end')}"
    if name == "frequency_cap":
        return f"at most {config.get('max')} per {config.get('per')}"
    if name == "follow_ups":
        return f"{config.get('max', 0)} follow-ups"
    plain = {
        "daily_limit": "daily limit", "contact_daily_limit": "daily limit per contact", "where": "if",
        "reentry": "re-entry",
    }  # fmt: skip
    return f"{plain.get(name, name)} {config}"


def _walk(
    step_definitions: Sequence[Mapping[str, Any]],
    steps: Mapping[str, Any],
    execution: Mapping[str, Any],
    taken: bool | None,
) -> list[Node]:
    return [_build_node(step, steps.get(step["id"]), steps, execution, taken) for step in step_definitions]


def _build_node(
    step: Mapping[str, Any], row: Mapping[str, Any] | None, steps: Mapping[str, Any], execution: Mapping[str, Any],
    taken: bool | None,
) -> Node:  # fmt: skip
    state = _determine_state(row, execution, taken)
    output = (row or {}).get("output") or {}
    arms = tuple(
        Arm(
            name,
            _was_taken(output, name, state),
            tuple(_walk(inner, steps, execution, _was_taken(output, name, state))),
        )
        for name, inner in _list_arms(step).items()
    )
    action_stage = ACTIONS[step["action"]].icon if step["action"] in ACTIONS else "queued"
    stage = {"failed": "failed", "skipped": "skipped"}.get(state, action_stage)
    return Node(_name_step(step), _describe_step(step, output), stage, state, arms)


def _name_step(step: Mapping[str, Any]) -> str:
    """The step's name; for an action of a playbook, whose editor shows no names of steps, the action in words."""
    action = step["action"]
    return format_action(action) if action in PLAYBOOK_ACTIONS else f"{step['id']} · {action}"


def _determine_state(row: Mapping[str, Any] | None, execution: Mapping[str, Any], taken: bool | None) -> State:
    if row is None:
        is_over = execution["status"] in ("succeeded", "skipped", "cancelled")
        return "untaken" if taken is False or is_over else "ahead"
    if row["status"] == "failed" and execution["stage"] != "failed" and execution["status"] in ("running", "waiting"):
        return "current"
    states: dict[str, State] = {"succeeded": "passed", "skipped": "skipped", "failed": "failed"}
    return states.get(row["status"], "current")


def _was_taken(output: Mapping[str, Any], name: str, state: State) -> bool | None:
    """Whether the arm was taken; None while that is undecided."""
    if output.get("taken") is None:
        return False if state == "untaken" else None
    return bool(output["taken"] == name)


def _list_arms(step: Mapping[str, Any]) -> dict[str, Sequence[Mapping[str, Any]]]:
    if step["action"] == "split":
        variants = step.get("variants") or (step.get("with") or {}).get("variants") or ()
        return {variant["name"]: variant.get("steps") or () for variant in variants}
    return {name: step[name] for name in ("then", "else") if step.get(name)}


def _describe_step(step: Mapping[str, Any], output: Mapping[str, Any]) -> str:
    """A short description of a step."""
    arguments = step.get("with") or {}
    if step["action"] == "generate_message":
        model = output.get("model") or arguments.get("model") or "workspace model"
        tokens = output.get("outputTokens")
        return f"{model}, {tokens} tokens" if tokens is not None else str(model)
    if step["action"] == "branch":
        return f"if {step.get('if') or arguments.get('if', '')}"
    if step["action"] == "wait":
        return f"for {arguments.get('for', '')}"
    if step["action"] == "wait_until":
        return f"until {arguments.get('event', '')}"
    if step["action"] in PLAYBOOK_ACTIONS:
        return _describe_page_change(arguments)
    subject = ACTIONS[step["action"]].subject if step["action"] in ACTIONS else ""
    return subject or labels.CHANNELS.get(str(arguments.get("channel", "")), "")


def _describe_page_change(arguments: Mapping[str, Any]) -> str:
    """Which element a playbook's action changes, and to what."""
    style = arguments.get("style") or {}
    parts = (
        arguments.get("selector") or str(arguments.get("position", "")).capitalize(),
        arguments.get("name"),
        arguments.get("text") or arguments.get("src") or arguments.get("value"),
        ", ".join(f"{name} {value}" for name, value in style.items()) if isinstance(style, Mapping) else "",
        arguments.get("url"),
    )
    return " · ".join(shorten(str(part), 80) for part in parts if part)
