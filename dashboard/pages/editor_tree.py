"""The steps of a definition as the tree of the workflow editor, with the path of each step and of each gap.

Reads a draft tolerantly: what is no step is left out. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.pages import labels
from dashboard.pages.editor_labels import describe_action, describe_trigger_type
from dashboard.pages.path import describe_rules
from rules.actions import ACTIONS
from rules.problems import Problem, is_within, shorten

#: The parts that are no steps.
TRIGGER, RULES = "trigger", "rules"
_ARM_LABELS = {
    ("branch", "then"): "True", ("branch", "else"): "False", ("wait_until", "then"): "Arrived",
    ("wait_until", "else"): "Timed out",
}  # fmt: skip
#: A step's path, such as `steps[2].then[0]` or `steps[1].variants[0].steps[3]`.
_STEP_PATH = re.compile(r"(steps(?:\[\d{1,3}\](?:\.with)?\.(?:then|else|variants\[\d{1,3}\]\.steps))*)\[(\d{1,3})\]")


@dataclass(frozen=True)
class TreeArm:
    """One path of a branch, a split or a wait: its label, the path of its list, and its steps."""

    label: str
    path: str
    nodes: tuple[TreeNode, ...]


@dataclass(frozen=True)
class TreeNode:
    """One step, or the trigger or the rules: what the tree shows of it."""

    path: str
    title: str
    text: str
    icon: str
    stage: str
    problems: int = 0
    warnings: int = 0
    arms: tuple[TreeArm, ...] = ()
    #: Whether it can be moved up or down within its list.
    may_rise: bool = False
    may_sink: bool = False
    step_id: str = ""


def find_icon(name: object) -> tuple[str, str]:
    """The icon of an action, and the stage whose colour it has."""
    action = ACTIONS.get(name) if isinstance(name, str) else None
    if action is None:
        return "warning", "failed"
    stage = action.icon if action.icon in labels.STAGES else "sending" if action.queue == "sending" else "queued"
    if action.channel:
        return f"channel_{action.channel}", stage
    if action.reaches_contact:
        return "speech", stage
    return "link" if action.call_channel == "webhook" else action.icon, stage


def build_heads(
    document: Mapping[str, Any], problems: Sequence[Problem], warnings: Sequence[Problem]
) -> list[TreeNode]:
    """The nodes of the trigger and of the rules."""
    trigger = document.get("trigger")
    fields = trigger if isinstance(trigger, Mapping) else {}
    rules = document.get("rules")
    return [
        TreeNode(
            TRIGGER, describe_trigger_type(fields.get("type")), _describe_trigger(fields), "play", "checking",
            _count(problems, TRIGGER), _count(warnings, TRIGGER),
        ),
        TreeNode(
            RULES, "Rules", describe_rules(rules if isinstance(rules, Mapping) else {}), "eligible",
            "eligible", _count(problems, RULES), _count(warnings, RULES),
        ),
    ]  # fmt: skip


def build_steps(
    steps: object, problems: Sequence[Problem], warnings: Sequence[Problem], path: str = "steps"
) -> tuple[TreeNode, ...]:
    """The nodes of a list of steps."""
    rows = steps if isinstance(steps, list) else []
    return tuple(
        _build_node(step, f"{path}[{index}]", problems, warnings, index > 0, index < len(rows) - 1)
        for index, step in enumerate(rows)
        if isinstance(step, Mapping)
    )


def _build_node(
    step: Mapping[str, Any], path: str, problems: Sequence[Problem], warnings: Sequence[Problem], may_rise: bool,
    may_sink: bool,
) -> TreeNode:  # fmt: skip
    arms = tuple(
        TreeArm(label, arm_path, build_steps(steps, problems, warnings, arm_path))
        for label, arm_path, steps in list_arms(step, path)
    )
    icon, stage = find_icon(step.get("action"))
    own = _count(problems, path) - sum(_count(problems, arm.path) for arm in arms)
    step_id = step.get("id")
    return TreeNode(
        path, describe_action(step.get("action")), summarize(step), icon, stage, max(0, own),
        _count_of_step(warnings, step_id), arms, may_rise, may_sink,
        str(step_id or ""),
    )  # fmt: skip


def list_arms(step: Mapping[str, Any], path: str) -> list[tuple[str, str, object]]:
    """The paths of a step that forks: each with its label, the path of its list, and the list."""
    action, with_ = step.get("action"), step.get("with")
    inner = with_ if isinstance(with_, Mapping) else {}
    if action == "split":
        is_inner = "variants" not in step and "variants" in inner
        value = (inner if is_inner else step).get("variants")
        variants = value if isinstance(value, list) else []
        place = f"{path}.with.variants" if is_inner else f"{path}.variants"
        return [
            (_label_variant(variant, variants), f"{place}[{index}].steps", variant.get("steps"))
            for index, variant in enumerate(variants)
            if isinstance(variant, Mapping)
        ]
    if not isinstance(action, str) or action not in ACTIONS or not ACTIONS[action].is_fork:
        return []
    arms = []
    for name in ("then", "else"):
        is_inner = name not in step and name in inner
        place = f"{path}.with.{name}" if is_inner else f"{path}.{name}"
        arms.append((_ARM_LABELS.get((action, name), name), place, (inner if is_inner else step).get(name)))
    return arms


def _label_variant(variant: Mapping[str, Any], variants: Sequence[Any]) -> str:
    weights = [row.get("weight", 1) for row in variants if isinstance(row, Mapping)]
    name, weight = str(variant.get("name", "?")), variant.get("weight", 1)
    if not all(isinstance(number, int) for number in weights) or not sum(weights):
        return name
    return f"{name} · {100 * weight / sum(weights):.0f}%"


def summarize(step: Mapping[str, Any]) -> str:
    """The line under a step's name: what it says or does."""
    with_ = step.get("with")
    fields: Mapping[str, Any] = with_ if isinstance(with_, Mapping) else {}
    action = step.get("action")
    if action == "branch":
        return f"If {shorten(str(step.get('if', '…')), 80)}"
    if action == "wait":
        return f"For {_spell(fields.get('for'))}"
    if action == "wait_until":
        return f"{fields.get('event', '…')}, up to {_spell(fields.get('timeout'))}"
    if action == "split":
        return f"{len(list_arms(step, ''))} variants"
    if action == "update_contact":
        return _summarize_update(fields)
    text = next(
        (fields[name] for name in ("subject", "body", "text", "prompt", "title", "url") if fields.get(name)), ""
    )
    channel = labels.CHANNELS.get(str(fields.get("channel", "")), "")
    quoted = f"“{shorten(' '.join(text.split()), 80)}”" if isinstance(text, str) and text else ""
    return " · ".join(part for part in (channel, quoted) if part) or str(step.get("id", ""))


def _summarize_update(fields: Mapping[str, Any]) -> str:
    parts = [
        f"{words} {', '.join(map(str, tags))}"
        for name, words in (("add_tags", "Add"), ("remove_tags", "Remove"))
        if isinstance(tags := fields.get(name), list) and tags
    ]
    if isinstance(fields.get("set"), Mapping):
        parts.append(f"Set {', '.join(map(str, fields['set']))}")
    return shorten(" · ".join(parts), 80)


def _spell(duration: object) -> str:
    match = re.fullmatch(r"(\d{1,9})([smhdw])", duration) if isinstance(duration, str) else None
    units = {"s": "s", "m": "min", "h": "h", "d": "d", "w": "weeks"}
    return f"{match[1]} {units[match[2]]}" if match else "…"


def _describe_trigger(trigger: Mapping[str, Any]) -> str:
    with_ = trigger.get("with")
    fields: Mapping[str, Any] = with_ if isinstance(with_, Mapping) else {}
    posts, keywords = fields.get("posts"), fields.get("keywords")
    parts = [
        f"{len(posts)} {'post' if len(posts) == 1 else 'posts'}" if isinstance(posts, list) and posts else "",
        f"Keywords: {', '.join(map(str, keywords))}" if isinstance(keywords, list) and keywords else "",
        f"If {trigger['where']}" if trigger.get("where") else "",
        f"{fields['days']} days" if fields.get("days") else "",
        str(fields.get("cron", "")),
    ]
    return shorten(" · ".join(part for part in parts if part), 90) or "Every event"


def _count(problems: Sequence[Problem], path: str) -> int:
    return sum(is_within(problem.path, path) for problem in problems)


def _count_of_step(warnings: Sequence[Problem], step_id: object) -> int:
    return sum(is_within(warning.path, f"steps.{step_id}") for warning in warnings)


def find_step_path(text: str) -> tuple[str, int] | None:
    """The list's path and the index of a step's path, or None where the text is no path of a step."""
    match = _STEP_PATH.fullmatch(text)
    return (match[1], int(match[2])) if match else None


def iter_nodes(nodes: Sequence[TreeNode]) -> Iterator[TreeNode]:
    """Yield every node, each before those within it."""
    for node in nodes:
        yield node
        for arm in node.arms:
            yield from iter_nodes(arm.nodes)


def resolve(document: object, path: str) -> Any:
    """The value at a path of the document, or None."""
    value = document
    for name, index in re.findall(r"([A-Za-z_][A-Za-z0-9_-]*)|\[(\d{1,3})\]", path):
        if name:
            value = value.get(name) if isinstance(value, Mapping) else None
        else:
            value = value[int(index)] if isinstance(value, list) and int(index) < len(value) else None
    return value
