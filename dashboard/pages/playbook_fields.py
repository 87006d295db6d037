"""What the playbook editor shows of the language: each condition and each field of an action, with label and icon.

The language decides which fields an action has (`rules/actions`) and which values are valid (`rules/validation`). This
table only names them for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from rules.actions import ACTIONS, PLAYBOOK_ACTIONS, Action
from rules.field_types import Choice


@dataclass(frozen=True)
class ConditionField:
    """One condition under *When*, and the value that adding it sets."""

    name: str
    label: str
    icon: str
    initial: Any


#: In the order of the form.
CONDITIONS = (
    ConditionField("url", "URL", "link", "/"),
    ConditionField("device", "Device", "system", ["desktop"]),
    ConditionField("utm", "UTM", "tag", {"source": ""}),
    ConditionField("scroll_depth", "Scroll depth", "scroll", 50),
    ConditionField("time_on_page", "Time on page", "queued", "10s"),
    ConditionField("exit_intent", "Exit intent", "leave", True),
    ConditionField("returning", "Returning", "retry", True),
    ConditionField("event", "Event", "pulse", ""),
)
CONDITION_NAMES = tuple(condition.name for condition in CONDITIONS)
DEVICES = {"desktop": "Desktop", "mobile": "Mobile", "tablet": "Tablet"}
UTM_NAMES = ("source", "medium", "campaign", "term", "content")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours"}

#: How often a playbook runs for a visitor, by `max/per`; the empty value is no limit.
FREQUENCIES = {
    "": "On every visit",
    "1/1d": "Once per visitor a day",
    "1/7d": "Once per visitor a week",
    "1/30d": "Once per visitor a month",
    "1/365d": "Once per visitor a year",
}

_TEXT_HINT = "Inserted as text, never as HTML."
#: Label and hint of a field, by `action.field` or by the field's name.
_TEXTS: dict[str, tuple[str, str]] = {
    "selector": ("Element", ""),
    "replace_text.text": ("New text", _TEXT_HINT),
    "insert_banner.text": ("Text", _TEXT_HINT),
    "insert_banner.url": ("Link (optional)", ""),
    "insert_banner.position": ("Position", ""),
    "src": ("Image URL", "An http or https address, or a path of the page's site."),
    "set_attribute.name": ("Attribute", "Such as title, alt or href. Attributes that run scripts are refused."),
    "value": ("Value", _TEXT_HINT),
    "style": ("Styles", ""),
    "redirect.url": ("URL", "Not followed in the preview."),
    "track_event.name": ("Event name", "Not sent in the preview."),
}
#: What adding an action sets, by the field's name.
_INITIAL: dict[str, Any] = {"position": "top", "style": {"background-color": "#fff3bf"}}


@dataclass(frozen=True)
class ActionField:
    """A field of an action's form. `kind` is selector, text, lines, choice or style."""

    name: str
    label: str
    hint: str
    kind: str
    options: tuple[str, ...] = ()


def list_actions() -> list[Action]:
    """The actions of playbooks, in the order of the language."""
    return [ACTIONS[name] for name in PLAYBOOK_ACTIONS]


def format_action(name: str) -> str:
    """The action in words: `Replace text`."""
    return name.replace("_", " ").capitalize()


def find_icon(action: object) -> str:
    """The icon of an action; a warning for one that playbooks don't have."""
    return ACTIONS[action].icon if isinstance(action, str) and action in PLAYBOOK_ACTIONS else "warning"


def list_fields(action: str) -> list[ActionField]:
    """The fields of an action's form; none for an action that playbooks don't have."""
    return [_describe_field(action, name) for name in ACTIONS[action].fields] if action in PLAYBOOK_ACTIONS else []


def _describe_field(action: str, name: str) -> ActionField:
    label, hint = _TEXTS.get(f"{action}.{name}") or _TEXTS.get(name) or (name.capitalize(), "")
    type_ = ACTIONS[action].fields[name]
    if isinstance(type_, Choice):
        return ActionField(name, label, hint, "choice", type_.options)
    kind = "lines" if name == "text" else name if name in ("selector", "style") else "text"
    return ActionField(name, label, hint, kind)


def build_initial_step(action: str, step_id: str) -> dict[str, Any]:
    """A new step with this action."""
    initial = {name: deepcopy(value) for name, value in _INITIAL.items() if name in ACTIONS[action].fields}
    return {"id": step_id, "action": action, "with": initial}


def summarize_step(step: Mapping[str, Any]) -> str:
    """The line under a step's name: its element, and what it sets."""
    with_ = step.get("with")
    fields = with_ if isinstance(with_, Mapping) else {}
    style = fields.get("style")
    styles = " ".join(f"{name} {value}" for name, value in style.items()) if isinstance(style, Mapping) else ""
    position = str(fields.get("position", "")).capitalize()
    parts = [fields.get("selector"), position, styles, fields.get("url"), fields.get("name")]
    if step.get("action") == "insert_banner":
        parts = [position, fields.get("text") and f"“{fields['text']}”"]
    return " · ".join(str(part) for part in parts if part) or "Not set up yet"
