"""Whether a definition can be published: every problem with its path, in words for whoever wrote it.

    steps[2].then[0].with.channel: unknown channel "fax"; known: discord, slack

First what would make the walk itself unsafe (nesting, size, characters), then shapes by the tables, then what only the
whole shows: ids, variables, sizes. `validate` never raises, whatever JSON it is given. What this version cannot run
yet is refused by `rules/not_yet`.
"""

from __future__ import annotations

import json
import math
from typing import Any

from rules import not_yet, scope
from rules.actions import ACTIONS, EITHER_PLACE, Action, event_fault
from rules.language import (
    ACTION_NAMES,
    AUTOMATION_TYPES,
    DOCUMENT,
    MOST_BYTES,
    MOST_LEVELS,
    MOST_STEPS,
    RESERVED_FAMILIES,
    TRIGGERS,
    TRIGGERS_OF_TYPE,
    VARIANT,
    step_shape,
    trigger_shape,
)
from rules.outbound_urls import Networks
from rules.problems import Problem, below, character_fault, kind_of, unknown
from rules.scope import Scope
from rules.shapes import Report

__all__ = ["Problem", "validate"]

#: JSON levels that any document may have; steps eight levels deep with a body within stay far below.
MOST_NESTING = 64
#: Problems that are listed; a document with more is answered with the first.
MOST_PROBLEMS = 100


def validate(document: object, *, automation_type: str = "workflow", networks: Networks = ()) -> list[Problem]:
    """The problems of a definition of an automation of this type; an empty list means that it can be published.

    `networks` are the private networks that the URLs which Beckon calls may lead to.
    """
    problems = _type_problems(automation_type) + _raw_problems(document)
    if problems or not isinstance(document, dict):
        return problems[:MOST_PROBLEMS] or [Problem("", f"must be an object, not {kind_of(document)}")]
    walk = _Walk(networks)
    # The trigger has its own walk below, since its type decides its shape.
    DOCUMENT.check({**document, "trigger": {}}, "", walk.report)
    walk.name_variables(scope.AT_RULES)
    walk.trigger(document)
    walk.type_fits(document.get("trigger"), automation_type)
    if isinstance(document.get("steps"), list):
        if not document["steps"]:
            walk.report.add("steps", "must have at least one step")
        walk.steps(document["steps"], "steps", scope.AT_STEPS, 1)
    walk.count()
    return walk.report.problems[:MOST_PROBLEMS]


def _type_problems(automation_type: str) -> list[Problem]:
    if automation_type not in AUTOMATION_TYPES:
        return [Problem("type", unknown("automation type", automation_type, AUTOMATION_TYPES))]
    if automation_type in not_yet.AUTOMATION_TYPES:
        return [Problem("type", not_yet.words(f'automations of the type "{automation_type}"'))]
    return []


def _raw_problems(document: object) -> list[Problem]:
    """What forbids to look closer: no JSON, too deep, too large, characters that no database keeps."""
    problems: list[Problem] = []
    waiting: list[tuple[object, str, int]] = [(document, "", 1)]
    while waiting:
        value, at, level = waiting.pop()
        if level > MOST_NESTING:
            return [Problem(at[:200], f"is nested deeper than {MOST_NESTING} levels")]
        fault = _raw_fault(value)
        if fault:
            problems.append(Problem(at, fault))
        if isinstance(value, dict):
            for name, one in value.items():
                if not isinstance(name, str):
                    problems.append(Problem(at, "has a field whose name is not a text"))
                elif character_fault(name):
                    problems.append(Problem(at, f"has a field whose name {character_fault(name)}"))
                else:
                    waiting.append((one, below(at, name), level + 1))
        elif isinstance(value, list):
            waiting.extend((one, f"{at}[{index}]", level + 1) for index, one in enumerate(value))
    if not problems and len(json.dumps(document, ensure_ascii=False).encode()) > MOST_BYTES:
        problems.append(Problem("", f"is larger than {MOST_BYTES // 1024} KiB"))
    return sorted(problems, key=lambda problem: problem.path)


def _raw_fault(value: object) -> str | None:
    if isinstance(value, str):
        return character_fault(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "must be a finite number"
    if isinstance(value, int) and value.bit_length() > 63:
        return "is too large a number"
    if value is None or isinstance(value, (bool, int, float, dict, list)):
        return None
    return f"must be JSON, not {kind_of(value)}"


class _Walk:
    """One pass through a document: what was found so far."""

    def __init__(self, networks: Networks) -> None:
        self.report = Report(networks=networks)
        #: The path at which each step id was first seen.
        self.ids: dict[str, str] = {}
        self.steps_seen = 0

    def name_variables(self, where: Scope) -> None:
        """Judge the variables of the sources met since the last call, which stand in the scope `where`."""
        for at, variables in self.report.sources:
            faults = dict.fromkeys(fault for variable in variables if (fault := where.fault(variable)))
            for fault in faults:
                self.report.add(at, fault)
        self.report.sources.clear()

    def trigger(self, document: dict[str, Any]) -> None:
        trigger = document.get("trigger")
        if not isinstance(trigger, dict):
            words = f"must be an object, not {kind_of(trigger)}" if "trigger" in document else "is required"
            self.report.add("trigger", words)
            return
        type_ = trigger.get("type")
        if isinstance(type_, str) and not event_fault(type_):
            self._trigger_type(type_)
        shape = trigger_shape(type_ if isinstance(type_, str) else "")
        shape.check(_without_null_with(trigger), "trigger", self.report)
        of_contacts = [source for source in self.report.sources if source[0] == "trigger.with.contacts"]
        self.report.sources = [source for source in self.report.sources if source not in of_contacts]
        self.name_variables(scope.AT_TRIGGER)
        self.report.sources = of_contacts
        self.name_variables(scope.AT_CHOICE)

    def _trigger_type(self, type_: str) -> None:
        if type_ in not_yet.TRIGGERS:
            self.report.add("trigger.type", not_yet.words(f'the trigger "{type_}"'))
        elif type_ not in TRIGGERS and type_.startswith(RESERVED_FAMILIES):
            self.report.add("trigger.type", unknown("trigger", type_, TRIGGERS))

    def type_fits(self, trigger: object, automation_type: str) -> None:
        """Whether the trigger is one that automations of this type are started by."""
        fitting = TRIGGERS_OF_TYPE.get(automation_type)
        type_ = trigger.get("type") if isinstance(trigger, dict) else None
        if fitting and isinstance(type_, str) and type_ not in fitting:
            self.report.add("trigger.type", f"must be {' or '.join(fitting)} in an automation of this type")

    def steps(self, steps: list[Any], at: str, where: Scope, level: int) -> Scope:
        """Walk through one list of steps; the answer is the scope behind it."""
        if level > MOST_LEVELS:
            self.report.add(at, f"is nested deeper than {MOST_LEVELS} levels of steps")
            return where
        for index, step in enumerate(steps):
            self.steps_seen += 1
            where = self.step(step, f"{at}[{index}]", where, level)
        return where

    def step(self, step: object, at: str, where: Scope, level: int) -> Scope:
        if not isinstance(step, dict):
            self.report.add(at, f"must be an object, not {kind_of(step)}")
            return where
        action = self._action(step, at)
        if action is None:
            return where
        within = step["with"] if isinstance(step.get("with"), dict) else {}
        step_shape(action, within).check(step, at, self.report)
        self.name_variables(where.also("conversation") if action.name == "generate_message" else where)
        self._twice(step, within, action, at)
        id_ = step.get("id")
        if not isinstance(id_, str):
            return where
        if id_ in self.ids:
            self.report.add(below(at, "id"), f'"{id_}" is already the id of {self.ids[id_]}')
        self.ids.setdefault(id_, at)
        behind = where.after(id_, action.outputs)
        return self._arms(step, within, action, at, behind, level)

    def _action(self, step: dict[str, Any], at: str) -> Action | None:
        name = step.get("action")
        if not isinstance(name, str):
            words = f"must be a text, not {kind_of(name)}" if "action" in step else "is required"
            self.report.add(below(at, "action"), words)
            return None
        if name not in ACTIONS:
            self.report.add(below(at, "action"), unknown("action", name, ACTION_NAMES))
            return None
        if name in not_yet.ACTIONS:
            self.report.add(below(at, "action"), not_yet.words(f'the action "{name}"'))
        return ACTIONS[name]

    def _twice(self, step: dict[str, Any], within: dict[str, Any], action: Action, at: str) -> None:
        for name in sorted(EITHER_PLACE & set(action.beside) & set(step) & set(within)):
            self.report.add(below(at, name), "stands here and under with; one place is enough")

    def _arms(
        self, step: dict[str, Any], within: dict[str, Any], action: Action, at: str, before: Scope, level: int
    ) -> Scope:
        """Walk through what a step holds. Behind it the steps of every arm may have run, within an arm its own."""
        behind = before
        for written, path in ((step, at), (within, below(at, "with"))):
            for name in ("then", "else"):
                if name in action.beside and isinstance(written.get(name), list):
                    behind = _joined(behind, self.steps(written[name], below(path, name), before, level + 1))
            if "variants" in action.beside and isinstance(written.get("variants"), list):
                behind = self._variants(written["variants"], below(path, "variants"), before, behind, level)
        return behind

    def _variants(self, variants: list[Any], at: str, before: Scope, behind: Scope, level: int) -> Scope:
        if not 2 <= len(variants) <= 20:
            self.report.add(at, f"must have between 2 and 20 variants, not {len(variants)}")
        names: set[str] = set()
        for index, variant in enumerate(variants):
            here = f"{at}[{index}]"
            VARIANT.check(variant, here, self.report)
            if not isinstance(variant, dict):
                continue
            name = variant.get("name")
            if isinstance(name, str) and name in names:
                self.report.add(below(here, "name"), f'"{name}" is already the name of a variant of this step')
            names.add(name if isinstance(name, str) else "")
            if isinstance(variant.get("steps"), list):
                behind = _joined(behind, self.steps(variant["steps"], below(here, "steps"), before, level + 1))
        return behind

    def count(self) -> None:
        if self.steps_seen > MOST_STEPS:
            self.report.add("steps", f"has {self.steps_seen} steps in all; at most {MOST_STEPS}")


def _without_null_with(trigger: dict[str, Any]) -> dict[str, Any]:
    """The trigger without a `with` that is null: `with:` and nothing behind it, in YAML."""
    return {name: value for name, value in trigger.items() if name != "with" or value is not None}


def _joined(one: Scope, other: Scope) -> Scope:
    return Scope(one.roots, {**one.steps, **other.steps})
