"""Playbooks: workflows that a visitor's browser executes. What a definition must not have, and what the browser gets.

A playbook has one flat list of browser actions. Everything that belongs to a message to a contact is refused: rules,
conditions on contacts, retries, follow-ups, branches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rules.actions import PLAYBOOK_ACTIONS, Action
from rules.field_types import Report
from rules.language import BESIDE_WITH, CONSENT
from rules.playbook_values import check_attribute_name, check_attribute_value, check_changed_elements
from rules.problems import join_path
from rules.schedule import parse_duration
from rules.selectors import check_selector

_RUNS_IN_BROWSER = "a playbook runs in the visitor's browser"
#: Parts of workflows that a playbook does not have, and why.
_DOCUMENT_FIELDS = {
    "rules": f"is not available in a playbook: {_RUNS_IN_BROWSER} and messages no contact; use frequency"
} | dict.fromkeys(CONSENT, f"is not available in a playbook: {_RUNS_IN_BROWSER} and sends no e-mail")
_TRIGGER_FIELDS = {"where": f"is not available in a playbook: {_RUNS_IN_BROWSER} and knows no contact"}
_STEP_FIELDS = dict.fromkeys(
    ("retry", "on_unknown", "send_at", "review"), f"is not available in a playbook: {_RUNS_IN_BROWSER} at once"
) | dict.fromkeys(
    ("if", "then", "else", "variants"), "is not available in a playbook: its actions run one after the other"
)


def refuse_document_fields(document: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """Report the parts of a workflow in a playbook's document; return the document without them."""
    trigger = document.get("trigger")
    if isinstance(trigger, Mapping):
        document = {**document, "trigger": _refuse(trigger, _TRIGGER_FIELDS, "trigger", report)}
        _report_repeated(trigger, document, report)
    return _refuse(document, _DOCUMENT_FIELDS, "", report)


def refuse_step_fields(step: Mapping[str, Any], path: str, report: Report) -> dict[str, Any]:
    """Report the fields of a message in a playbook's step; return the step without them."""
    return _refuse(step, _STEP_FIELDS, path, report)


def _refuse(fields: Mapping[str, Any], refused: Mapping[str, str], path: str, report: Report) -> dict[str, Any]:
    for name in refused.keys() & fields.keys():
        report.add(join_path(path, name), refused[name])
    return {name: value for name, value in fields.items() if name not in refused}


def _report_repeated(trigger: Mapping[str, Any], document: Mapping[str, Any], report: Report) -> None:
    """Report a condition that stands in two of the places where it may stand."""
    with_ = trigger.get("with")
    places = (("trigger.with", with_ if isinstance(with_, Mapping) else {}), ("trigger", trigger), ("", document))
    for name in BESIDE_WITH:
        paths = [join_path(path, name) for path, fields in places if name in fields]
        if len(paths) > 1:
            report.add(paths[-1], f"is already set as {paths[0]}: remove one")


def check_step(action: Action, with_: Mapping[str, Any], path: str, report: Report) -> None:
    """Check what one action does as a whole: which element it reaches, and the value that its attribute gets."""
    selector, name, value = with_.get("selector"), with_.get("name"), with_.get("value")
    if action.changes_content and isinstance(selector, str) and not check_selector(selector):
        fault = check_changed_elements(selector)
        if fault:
            report.add(join_path(path, "with.selector"), fault)
    if action.name != "set_attribute" or not isinstance(name, str) or not isinstance(value, str):
        return
    fault = None if check_attribute_name(name) else check_attribute_value(name, value)
    if fault:
        report.add(join_path(path, "with.value"), fault)


def format_action(action: str) -> str:
    """Return the name under which an action is tracked: `replace_text` is `Replace Text`."""
    return action.replace("_", " ").title()


def build_trigger(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the conditions of a valid playbook as the browser script gets them; absent ones are absent."""
    trigger = document["trigger"]
    with_ = {**{name: trigger[name] for name in BESIDE_WITH if name in trigger}, **(trigger.get("with") or {})}
    served = {
        "url": with_.get("url"),
        "device": with_.get("device"),
        "utm": with_.get("utm"),
        "scrollDepth": with_.get("scroll_depth"),
        "timeOnPageMs": _to_ms(with_.get("time_on_page")),
        "exitIntent": with_.get("exit_intent"),
        "returning": with_.get("returning"),
        "event": with_.get("event"),
    }
    return {name: value for name, value in served.items() if value is not None}


def build_frequency(document: Mapping[str, Any]) -> dict[str, int] | None:
    """Return how often a visitor sees a valid playbook, `{"max", "perMs"}`, or None without a limit."""
    trigger = document["trigger"]
    places = (trigger.get("with") or {}, trigger, document)
    frequency = next((place["frequency"] for place in places if place.get("frequency")), None)
    return None if frequency is None else {"max": frequency["max"], "perMs": _to_ms(frequency["per"]) or 0}


def build_actions(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the actions of a valid playbook as the browser script gets them; the values of styles are texts."""
    return [
        {
            "id": step["id"],
            "action": step["action"],
            "name": format_action(step["action"]),
            "with": _to_texts(step.get("with") or {}),
        }
        for step in document["steps"]
        if step["action"] in PLAYBOOK_ACTIONS
    ]


def _to_texts(with_: Mapping[str, Any]) -> dict[str, Any]:
    style = with_.get("style")
    if not isinstance(style, Mapping):
        return dict(with_)
    return {**with_, "style": {name: str(value) for name, value in style.items()}}


def _to_ms(duration: str | None) -> int | None:
    return None if duration is None else int(parse_duration(duration) * 1000)
