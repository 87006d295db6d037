"""Says which automations answer the same comments or messages, and which of two starts.

Two overlap if they have a post in common, or one of them names none, and a keyword in common, or one of them matches
any text. A default is for texts that no keyword matches, so it overlaps only with these and with another default.
Conditions (`where`) are not compared.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from rules.choice import is_answered_once, rank_trigger
from rules.definition import WorkflowTrigger
from rules.matching import normalise

#: What happens to an event that both match: this automation answers it, the other one does, or both start.
Relation = Literal["answers", "yields", "both"]


@dataclass(frozen=True, slots=True)
class AnsweringAutomation:
    """An automation that may answer; ids grow with the time of creation."""

    automation_id: str
    name: str
    trigger: WorkflowTrigger
    exclusive: bool = True

    @property
    def is_default(self) -> bool:
        """Whether it matches texts that no keyword does."""
        return self.trigger.with_.get("default") is True

    @property
    def keywords(self) -> frozenset[str]:
        """Its keywords, comparable with those of others."""
        return frozenset(map(normalise, self.trigger.keywords))


@dataclass(frozen=True, slots=True)
class Overlap:
    """Another automation that matches the same events."""

    other: AnsweringAutomation
    relation: Relation


def list_overlaps(own: AnsweringAutomation, others: Iterable[AnsweringAutomation]) -> list[Overlap]:
    """Return the overlaps of an automation with others of its workspace, in their order."""
    if not is_answered_once(own.trigger.type):
        return []
    return [Overlap(other, _compare(own, other)) for other in others if _do_overlap(own, other)]


def _do_overlap(own: AnsweringAutomation, other: AnsweringAutomation) -> bool:
    if other.automation_id == own.automation_id or other.trigger.type != own.trigger.type:
        return False
    return _share(own.trigger.posts, other.trigger.posts) and _share_texts(own, other)


def _share(some: Iterable[str], others: Iterable[str]) -> bool:
    mine, theirs = set(some), set(others)
    return not mine or not theirs or not mine.isdisjoint(theirs)


def _share_texts(own: AnsweringAutomation, other: AnsweringAutomation) -> bool:
    if own.is_default and other.is_default:
        return True
    match_any = [not item.keywords and not item.is_default for item in (own, other)]
    return any(match_any) or not own.keywords.isdisjoint(other.keywords)


def _compare(own: AnsweringAutomation, other: AnsweringAutomation) -> Relation:
    if not (own.exclusive and other.exclusive):
        return "both"
    return "answers" if _rank(own) < _rank(other) else "yields"


def _rank(automation: AnsweringAutomation) -> tuple[tuple[bool, bool], str]:
    by_keyword = bool(automation.keywords)
    return rank_trigger(automation.trigger, by_keyword=by_keyword), automation.automation_id
