"""Validates a definition for publication: reports every problem with its path and a message for the author.

    steps[2].then[0].with.channel: unknown channel "fax"; known: discord, slack

The checks run in this order: conditions that make traversal unsafe (nesting, size, characters), field types by the
tables, and constraints on the whole document: ids, variables, sizes. `validate` never raises for any JSON value. What
applies only to playbooks is in `rules/playbooks`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from rules import playbooks, scope
from rules.actions import ACTIONS, MOVABLE_FIELDS, Action, check_event_name
from rules.field_types import MAX_PROBLEMS, Report
from rules.json_text import format_json
from rules.language import (
    AUTOMATION_TYPES,
    DOCUMENT,
    MAX_BYTES,
    MAX_LEVELS,
    MAX_STEPS,
    PAGE_TRIGGER,
    PLAYBOOK,
    PLAYBOOK_DOCUMENT,
    RESERVED_FAMILIES,
    TRIGGERS,
    TRIGGERS_OF_TYPE,
    VARIANT,
    build_step_object,
    build_trigger_object,
    list_actions,
)
from rules.outbound_urls import Networks
from rules.parsing import MAX_NESTING, MAX_VALUES
from rules.problems import Problem, check_characters, describe_type, format_unknown, join_path
from rules.scope import Scope
from rules.templating import Segments

__all__ = ["Problem", "validate"]


def validate(document: object, *, automation_type: str = "workflow", networks: Networks = ()) -> list[Problem]:
    """Return the problems of a definition for an automation of this type; an empty list means that it can be published.

    `networks` are the private networks that outbound URLs may point to.
    """
    problems = _find_type_problems(automation_type) + _find_raw_problems(document)
    if problems or not isinstance(document, dict):
        return problems[:MAX_PROBLEMS] or [Problem("", f"must be an object, not {describe_type(document)}")]
    validator = _Validator(automation_type, networks)
    if automation_type == PLAYBOOK:
        document = playbooks.refuse_document_fields(document, validator.report)
    # The trigger is checked below, since its type decides its fields.
    shape = PLAYBOOK_DOCUMENT if automation_type == PLAYBOOK else DOCUMENT
    shape.check({**document, "trigger": {}}, "", validator.report)
    validator.check_variables(scope.AT_RULES)
    validator.check_trigger(document)
    validator.check_trigger_type(document.get("trigger"), automation_type)
    if isinstance(document.get("steps"), list):
        if not document["steps"]:
            validator.report.add("steps", "must have at least one step")
        validator.check_steps(document["steps"], "steps", scope.AT_STEPS, 1)
    validator.check_step_count()
    return validator.report.problems[:MAX_PROBLEMS]


def _find_type_problems(automation_type: str) -> list[Problem]:
    if automation_type not in AUTOMATION_TYPES:
        return [Problem("type", format_unknown("automation type", automation_type, AUTOMATION_TYPES))]
    return []


def _find_raw_problems(document: object) -> list[Problem]:
    """Return the problems that prevent further checks: not JSON, too deep, too large, unstorable characters."""
    problems: list[Problem] = []
    stack: list[tuple[object, str, int]] = [(document, "", 1)]
    count = 0
    while stack:
        value, path, level = stack.pop()
        count += 1 + (len(value) if isinstance(value, dict) else 0)
        if count > MAX_VALUES:
            return [Problem("", f"has more than {MAX_VALUES:,} values")]
        if level > MAX_NESTING:
            return [Problem(path[:200], f"is nested deeper than {MAX_NESTING} levels")]
        fault = _check_raw_value(value)
        if fault:
            problems.append(Problem(path, fault))
        if isinstance(value, dict):
            for name, item in value.items():
                if not isinstance(name, str):
                    problems.append(Problem(path, "has a field name that is not a string"))
                elif check_characters(name):
                    problems.append(Problem(path, f"has an invalid field name: it {check_characters(name)}"))
                else:
                    stack.append((item, join_path(path, name), level + 1))
        elif isinstance(value, list):
            stack.extend((item, f"{path}[{index}]", level + 1) for index, item in enumerate(value))
    if not problems and len(format_json(document).encode()) > MAX_BYTES:
        problems.append(Problem("", f"is larger than {MAX_BYTES // 1024} KiB"))
    return sorted(problems, key=lambda problem: problem.path)


def _check_raw_value(value: object) -> str | None:
    if isinstance(value, str):
        return check_characters(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "must be a finite number"
    if isinstance(value, int) and value.bit_length() > 63:
        return "is too large for an integer"
    if value is None or isinstance(value, (bool, int, float, dict, list)):
        return None
    return f"must be JSON, not {describe_type(value)}"


class _Validator:
    """One pass through a document, with the findings so far."""

    def __init__(self, automation_type: str, networks: Networks) -> None:
        self.is_playbook = automation_type == PLAYBOOK
        self.action_names = list_actions(automation_type)
        self.report = Report(networks=networks)
        #: The path of the first step with each id.
        self.ids: dict[str, str] = {}
        self.step_count = 0

    def check_variables(self, current_scope: Scope) -> None:
        """Check the variables of the sources found since the last call against `current_scope`."""
        for path, variables in self.report.sources:
            for fault in self._find_faults(variables, current_scope):
                self.report.add(path, fault)
        self.report.sources.clear()

    def _find_faults(self, variables: Iterable[Segments], current_scope: Scope) -> dict[str, None]:
        """The faults of a source, each once and no more than are reported: each is compared with the known names."""
        faults: dict[str, None] = {}
        for variable in variables:
            if len(self.report.problems) + len(faults) >= MAX_PROBLEMS:
                break
            fault = current_scope.check(variable)
            if fault:
                faults[fault] = None
        return faults

    def check_trigger(self, document: dict[str, Any]) -> None:
        trigger = document.get("trigger")
        if not isinstance(trigger, dict):
            message = f"must be an object, not {describe_type(trigger)}" if "trigger" in document else "is required"
            self.report.add("trigger", message)
            return
        type_ = trigger.get("type")
        if isinstance(type_, str) and not check_event_name(type_):
            self._check_known_trigger(type_)
        shape = build_trigger_object(type_ if isinstance(type_, str) else "")
        shape.check(_drop_null_with(trigger), "trigger", self.report)
        contact_sources = [source for source in self.report.sources if source[0] == "trigger.with.contacts"]
        self.report.sources = [source for source in self.report.sources if source not in contact_sources]
        self.check_variables(scope.AT_TRIGGER)
        self.report.sources = contact_sources
        self.check_variables(scope.AT_CONTACT_SELECTION)

    def _check_known_trigger(self, type_: str) -> None:
        if type_ not in TRIGGERS and type_.startswith(RESERVED_FAMILIES):
            self.report.add("trigger.type", format_unknown("trigger", type_, TRIGGERS))

    def check_trigger_type(self, trigger: object, automation_type: str) -> None:
        """Report a trigger that automations of this type do not support."""
        trigger_types = TRIGGERS_OF_TYPE.get(automation_type)
        type_ = trigger.get("type") if isinstance(trigger, dict) else None
        if trigger_types and isinstance(type_, str) and type_ not in trigger_types:
            self.report.add("trigger.type", f"must be {' or '.join(trigger_types)} for this type of automation")
        if type_ == PAGE_TRIGGER and not self.is_playbook:
            self.report.add("trigger.type", 'starts playbooks only: the automation must have the type "playbook"')

    def check_steps(self, steps: list[Any], path: str, current_scope: Scope, level: int) -> Scope:
        """Check one list of steps; return the scope after it."""
        if level > MAX_LEVELS:
            self.report.add(path, f"is nested deeper than {MAX_LEVELS} levels of steps")
            return current_scope
        for index, step in enumerate(steps):
            self.step_count += 1
            current_scope = self.check_step(step, f"{path}[{index}]", current_scope, level)
        return current_scope

    def check_step(self, step: object, path: str, current_scope: Scope, level: int) -> Scope:
        if not isinstance(step, dict):
            self.report.add(path, f"must be an object, not {describe_type(step)}")
            return current_scope
        action = self._find_action(step, path)
        if action is None:
            return current_scope
        with_fields = step["with"] if isinstance(step.get("with"), dict) else {}
        if self.is_playbook:
            step = playbooks.refuse_step_fields(step, path, self.report)
            playbooks.check_step(action, with_fields, path, self.report)
        build_step_object(action, with_fields).check(step, path, self.report)
        self.check_variables(current_scope.with_roots(action.variables))
        self._check_duplicate_fields(step, with_fields, action, path)
        id_ = step.get("id")
        if not isinstance(id_, str):
            return current_scope
        if id_ in self.ids:
            self.report.add(join_path(path, "id"), f'"{id_}" is already the id of {self.ids[id_]}')
        self.ids.setdefault(id_, path)
        next_scope = current_scope.with_step(id_, action.outputs)
        return self._check_arms(step, with_fields, action, path, next_scope, level)

    def _find_action(self, step: dict[str, Any], path: str) -> Action | None:
        name = step.get("action")
        if not isinstance(name, str):
            message = f"must be a string, not {describe_type(name)}" if "action" in step else "is required"
            self.report.add(join_path(path, "action"), message)
            return None
        if name not in ACTIONS:
            self.report.add(join_path(path, "action"), format_unknown("action", name, self.action_names))
            return None
        if name in self.action_names:
            return ACTIONS[name]
        reason = (
            "is not available in a playbook, which runs in the visitor's browser"
            if self.is_playbook
            else 'changes a page in the visitor\'s browser: only automations of the type "playbook" have it'
        )
        self.report.add(join_path(path, "action"), f'"{name}" {reason}')
        return None

    def _check_duplicate_fields(
        self, step: dict[str, Any], with_fields: dict[str, Any], action: Action, path: str
    ) -> None:
        for name in sorted(MOVABLE_FIELDS & set(action.step_fields) & set(step) & set(with_fields)):
            self.report.add(join_path(path, name), "is set both here and under with: remove one")

    def _check_arms(
        self,
        step: dict[str, Any],
        with_fields: dict[str, Any],
        action: Action,
        path: str,
        outer_scope: Scope,
        level: int,
    ) -> Scope:
        """Check a step's arms. After it, the steps of every arm may have run; within an arm, only that arm's steps."""
        next_scope = outer_scope
        for container, base_path in ((step, path), (with_fields, join_path(path, "with"))):
            for name in ("then", "else"):
                if name in action.step_fields and isinstance(container.get(name), list):
                    next_scope = _merge(
                        next_scope,
                        self.check_steps(container[name], join_path(base_path, name), outer_scope, level + 1),
                    )
            if "variants" in action.step_fields and isinstance(container.get("variants"), list):
                next_scope = self._check_variants(
                    container["variants"], join_path(base_path, "variants"), outer_scope, next_scope, level
                )
        return next_scope

    def _check_variants(
        self, variants: list[Any], path: str, outer_scope: Scope, next_scope: Scope, level: int
    ) -> Scope:
        if not 2 <= len(variants) <= 20:
            self.report.add(path, f"must have between 2 and 20 variants, not {len(variants)}")
        names: set[str] = set()
        for index, variant in enumerate(variants):
            variant_path = f"{path}[{index}]"
            VARIANT.check(variant, variant_path, self.report)
            if not isinstance(variant, dict):
                continue
            name = variant.get("name")
            if isinstance(name, str) and name in names:
                self.report.add(
                    join_path(variant_path, "name"), f'"{name}" is already the name of a variant of this step'
                )
            names.add(name if isinstance(name, str) else "")
            if isinstance(variant.get("steps"), list):
                next_scope = _merge(
                    next_scope,
                    self.check_steps(variant["steps"], join_path(variant_path, "steps"), outer_scope, level + 1),
                )
        return next_scope

    def check_step_count(self) -> None:
        if self.step_count > MAX_STEPS:
            self.report.add("steps", f"has {self.step_count} steps; at most {MAX_STEPS} are allowed")


def _drop_null_with(trigger: dict[str, Any]) -> dict[str, Any]:
    """Return the trigger without a null `with`, which is an empty `with:` in YAML."""
    return {name: value for name, value in trigger.items() if name != "with" or value is not None}


def _merge(left: Scope, right: Scope) -> Scope:
    return Scope(left.roots, {**left.steps, **right.steps})
