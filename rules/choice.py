"""Decides which of the automations that match one event start: one answers a comment or a message.

The most specific automation answers: one that names posts, then one by a keyword, then the others; the older of equals.
An automation with `exclusive: false` starts beside it. Rules and cool-down come later: where they stop the one that
answers, no other steps in. An event of any other type starts all that match.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from rules.definition import WorkflowTrigger
from rules.language import RESERVED_FAMILIES
from rules.matching import Match

#: Why a matching automation does not start.
Because = Literal["less_specific", "newer"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """An automation and how its trigger matches; ids grow with the time of creation."""

    automation_id: str
    trigger: WorkflowTrigger
    match: Match
    exclusive: bool = True


@dataclass(frozen=True, slots=True)
class NotChosen:
    """An automation that matches and does not start, because another one answers."""

    automation_id: str
    because: Because


@dataclass(frozen=True, slots=True)
class Choice:
    """The ids of the automations that start, and the others that match."""

    started: Collection[str]
    not_chosen: Sequence[NotChosen] = ()


def is_answered_once(trigger_type: str) -> bool:
    """Whether one automation answers an event of this type: a comment, a story reply or a message."""
    return trigger_type.startswith(RESERVED_FAMILIES)


def choose(candidates: Sequence[Candidate], *, answered: bool) -> Choice:
    """Choose what starts. Defaults match only if no keyword does and no wait was `answered`."""
    matching = _exclude_defaults(candidates, answered=answered)
    rivals = [item for item in matching if item.exclusive and is_answered_once(item.trigger.type)]
    if not rivals:
        return Choice({item.automation_id for item in matching})
    answering = min(rivals, key=_rank)
    others = [item for item in rivals if item is not answering]
    not_chosen = [NotChosen(item.automation_id, _explain(item, answering)) for item in others]
    return Choice({item.automation_id for item in matching} - {item.automation_id for item in others}, not_chosen)


def rank_trigger(trigger: WorkflowTrigger, *, by_keyword: bool) -> tuple[bool, bool]:
    """Return how specific a trigger is; lower is more specific."""
    return not trigger.posts, not by_keyword


def _exclude_defaults(candidates: Sequence[Candidate], *, answered: bool) -> list[Candidate]:
    is_taken = answered or any(item.match is Match.KEYWORD for item in candidates)
    excluded = {Match.NO, Match.DEFAULT} if is_taken else {Match.NO}
    return [item for item in candidates if item.match not in excluded]


def _rank(candidate: Candidate) -> tuple[tuple[bool, bool], str]:
    return _measure(candidate), candidate.automation_id


def _measure(candidate: Candidate) -> tuple[bool, bool]:
    return rank_trigger(candidate.trigger, by_keyword=candidate.match is Match.KEYWORD)


def _explain(other: Candidate, answering: Candidate) -> Because:
    return "newer" if _measure(other) == _measure(answering) else "less_specific"
