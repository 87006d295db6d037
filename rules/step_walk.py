"""Follows every path through the steps of a valid definition: what is sure, and what is possible, before each step.

Times are bounds: a wait lets exactly its duration pass, a `wait_until` anything up to its timeout. Where paths meet,
the bounds are those of all paths. Nothing here decides whether a step may run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rules import conditions
from rules.actions import ACTIONS
from rules.channels import CONVERSATION_CHANNELS
from rules.definition import REPLIED
from rules.direct_messages import MESSAGE_TRIGGERS
from rules.schedule import parse_duration
from rules.source_tree import Path

#: The events that a message of the contact is.
_REPLY_EVENTS = MESSAGE_TRIGGERS | {REPLIED}
_DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Span:
    """The shortest and the longest possible time, in seconds; infinite where an event has not occurred."""

    shortest: float
    longest: float

    def extend(self, shortest: float, longest: float) -> Span:
        """Return the time after another one has passed."""
        return Span(self.shortest + shortest, self.longest + longest)

    def join(self, other: Span) -> Span:
        """Return the bounds of both."""
        return Span(min(self.shortest, other.shortest), max(self.longest, other.longest))


@dataclass(frozen=True, slots=True)
class Pause:
    """A duration that a step waits: the path of its field, and the seconds."""

    path: Path
    seconds: float


@dataclass(frozen=True, slots=True)
class Situation:
    """What holds before a step.

    `silence` is the time since the contact's last message, by channel. `done` are the steps that have certainly run,
    `last_sends` those whose message may be the last one that a follow-up would repeat.
    """

    silence: Mapping[str, Span]
    elapsed: Span = Span(0.0, 0.0)
    pauses: tuple[Pause, ...] = ()
    done: frozenset[str] = frozenset()
    last_sends: frozenset[Path] = frozenset()
    #: Whether the comment certainly, or possibly, has had its private reply.
    is_answered: bool = False
    may_be_answered: bool = False

    def wait(self, shortest: float, longest: float, pause: Pause) -> Situation:
        """Return the situation after a wait."""
        return replace(
            self,
            silence={name: span.extend(shortest, longest) for name, span in self.silence.items()},
            elapsed=self.elapsed.extend(shortest, longest),
            pauses=(*self.pauses, pause),
        )

    def hear(self) -> Situation:
        """Return the situation after a message of the contact."""
        return replace(self, silence=dict.fromkeys(self.silence, Span(0.0, 0.0)), pauses=())

    def join(self, other: Situation) -> Situation:
        """Return what holds on both paths."""
        return Situation(
            {name: span.join(other.silence[name]) for name, span in self.silence.items()},
            self.elapsed.join(other.elapsed),
            max(self.pauses, other.pauses, key=lambda pauses: sum(pause.seconds for pause in pauses)),
            self.done & other.done,
            self.last_sends | other.last_sends,
            self.is_answered and other.is_answered,
            self.may_be_answered or other.may_be_answered,
        )


@dataclass(frozen=True, slots=True)
class Visit:
    """A step with the situation before it; None where no path leads to it.

    `is_last` says that nothing follows it on any path, `guards` are the steps that conditions around it read, and
    `siblings` the list that it is in.
    """

    step: Mapping[str, Any]
    path: Path
    before: Situation | None
    is_last: bool
    guards: frozenset[str]
    siblings: Sequence[Mapping[str, Any]]

    @property
    def id(self) -> str:
        """The step's id."""
        return str(self.step["id"])

    @property
    def action(self) -> str:
        """The name of its action."""
        return str(self.step["action"])

    @property
    def fields(self) -> Mapping[str, Any]:
        """The fields of its `with`."""
        return self.step.get("with") or {}

    @property
    def index(self) -> int:
        """Its index in its list."""
        return int(self.path[-1])

    def name_path(self, *names: str) -> str:
        """Return the path of one of its fields, with its id: `steps.hello.with.body`."""
        return ".".join(("steps", self.id, *names))


@dataclass(frozen=True, slots=True)
class Walk:
    """Every step of a definition, and the situation at its end; None where every path is stopped."""

    visits: tuple[Visit, ...]
    end: Situation | None


def walk(document: Mapping[str, Any]) -> Walk:
    """Follow the paths of a valid definition of a workflow."""
    walker = _Walker()
    end = walker.follow(document["steps"], ("steps",), _begin(document["trigger"]), True, frozenset())
    return Walk(tuple(walker.visits), end)


def _begin(trigger: Mapping[str, Any]) -> Situation:
    """The situation at the trigger. A comment opens no conversation; other events may find one open."""
    channel, _, kind = str(trigger["type"]).partition(".")
    spans = dict.fromkeys(CONVERSATION_CHANNELS, Span(0.0, 0.0))
    if channel in spans and kind == "comment":
        spans[channel] = Span(math.inf, math.inf)
    if trigger["type"] == "contact.inactive":
        silence = float(trigger["with"]["days"]) * _DAY_SECONDS
        spans = dict.fromkeys(spans, Span(silence, silence))
    return Situation(spans)


def list_arms(step: Mapping[str, Any], path: Path) -> list[tuple[str, list[Any], Path]]:
    """Return the arms of a step: each with its name, its steps, and the path of their list."""
    action, fields = ACTIONS[step["action"]], step.get("with") or {}
    if not action.is_fork:
        return []
    place: Path = path if action.name != "split" or "variants" in step else (*path, "with")
    if action.name == "split":
        variants = step.get("variants") or fields.get("variants") or []
        return [
            (str(variant["name"]), variant["steps"], (*place, "variants", index, "steps"))
            for index, variant in enumerate(variants)
        ]
    return [
        (name, step.get(name) or fields.get(name) or [], (*path, name) if name not in fields else (*path, "with", name))
        for name in ("then", "else")
    ]


class _Walker:
    def __init__(self) -> None:
        self.visits: list[Visit] = []

    def follow(
        self, steps: Sequence[Any], path: Path, before: Situation | None, is_last: bool, guards: frozenset[str]
    ) -> Situation | None:
        situation = before
        for index, step in enumerate(steps):
            nothing_follows = is_last and all(later["action"] == "stop" for later in steps[index + 1 :])
            visit = Visit(step, (*path, index), situation, nothing_follows, guards, steps)
            self.visits.append(visit)
            situation = self._run(visit)
        return situation

    def _run(self, visit: Visit) -> Situation | None:
        if visit.action == "stop" or visit.before is None:
            for _, steps, path in list_arms(visit.step, visit.path):
                self.follow(steps, path, None, visit.is_last, visit.guards)
            return None
        arms = list_arms(visit.step, visit.path)
        if arms:
            return self._run_arms(visit, arms)
        return _apply(visit, visit.before)

    def _run_arms(self, visit: Visit, arms: list[tuple[str, list[Any], Path]]) -> Situation | None:
        guards = visit.guards | frozenset(_list_guards(visit))
        ends = [self.follow(steps, path, _enter(visit, name), visit.is_last, guards) for name, steps, path in arms]
        open_ends = [end for end in ends if end is not None]
        if not open_ends:
            return None
        joined = open_ends[0]
        for end in open_ends[1:]:
            joined = joined.join(end)
        return joined


def _list_guards(visit: Visit) -> Iterator[str]:
    condition = visit.step.get("if")
    for path in conditions.list_variables(condition) if isinstance(condition, str) else ():
        if path[0] == "steps":
            yield str(path[1]) if len(path) > 1 else ""


def _enter(visit: Visit, arm: str) -> Situation:
    """The situation at the beginning of an arm."""
    assert visit.before is not None
    situation = replace(visit.before, done=visit.before.done | {visit.id})
    if visit.action != "wait_until":
        return situation
    seconds = parse_duration(visit.fields["timeout"])
    pause = Pause((*visit.path, "with", "timeout"), seconds)
    if arm != "then":
        return situation.wait(seconds, seconds, pause)
    arrived = situation.wait(0.0, seconds, pause)
    return arrived.hear() if visit.fields["event"] in _REPLY_EVENTS else arrived


def _apply(visit: Visit, before: Situation) -> Situation:
    """The situation after a step without arms."""
    after = replace(before, done=before.done | {visit.id})
    if visit.action == "wait":
        seconds = parse_duration(visit.fields["for"])
        return after.wait(seconds, seconds, Pause((*visit.path, "with", "for"), seconds))
    if not ACTIONS[visit.action].reaches_contact or visit.action == "reply_comment":
        return after
    if visit.fields.get("as") == "private_reply":
        after = replace(after, is_answered=True, may_be_answered=True)
    return replace(after, last_sends=frozenset({visit.path}))
