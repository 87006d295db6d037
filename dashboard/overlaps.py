"""Names the automations of a workspace that answer the same comments or messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.ids import new_id
from models.reports import automations as report
from models.reports.automations import AnsweringRow
from rules.choice import is_answered_once
from rules.definition import WorkflowTrigger
from rules.overlaps import AnsweringAutomation, Overlap, list_overlaps
from rules.problems import Problem

#: Overlaps that are named at most.
_MAX_NAMED = 5
_OUTCOMES = {
    "answers": "this automation answers those that both match, because it is more specific or older",
    "yields": "that one answers those that both match, because it is more specific or older",
    "both": "both start",
}


def list_overlap_warnings(workspace_id: str, document: Any, automation_id: str | None = None) -> list[Problem]:
    """Return a warning for each enabled automation that a valid definition overlaps with; without an id it is a new
    one."""
    trigger = _parse_trigger(document["trigger"])
    if not is_answered_once(trigger.type):
        return []
    own = AnsweringAutomation(automation_id or new_id(), "", trigger, document.get("exclusive", True))
    overlaps = list_overlaps(own, _list_answering(workspace_id))
    return [Problem("trigger", describe_overlap(overlap)) for overlap in overlaps[:_MAX_NAMED]]


def fetch_overlaps(workspace_id: str, automation_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return what to say of the overlaps of these automations, by id; those that are off have none."""
    answering = _list_answering(workspace_id)
    return {
        own.automation_id: [describe_overlap(overlap) for overlap in list_overlaps(own, answering)[:_MAX_NAMED]]
        for own in answering
        if own.automation_id in automation_ids
    }


def describe_overlap(overlap: Overlap) -> str:
    """Say with which automation another one overlaps, and which of them starts."""
    kind = overlap.other.trigger.type.partition(".")[2]
    events = "story replies" if kind == "story_reply" else f"{kind}s"
    return f'"{overlap.other.name}" also matches such {events}: {_OUTCOMES[overlap.relation]}.'


def _list_answering(workspace_id: str) -> list[AnsweringAutomation]:
    return [_build(row) for row in report.list_answering(workspace_id)]


def _build(row: AnsweringRow) -> AnsweringAutomation:
    return AnsweringAutomation(row["id"], row["name"], _parse_trigger(row["trigger"]), row["exclusive"])


def _parse_trigger(document: dict[str, Any]) -> WorkflowTrigger:
    return WorkflowTrigger(document["type"], document.get("where"), dict(document.get("with") or {}))
