"""What the template of the workflow editor shows: the tree, the form of the selected part, and the problems of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from dashboard.pages.editor_controls import UNITS, Control
from dashboard.pages.editor_labels import describe_action
from dashboard.pages.editor_lengths import describe_length
from dashboard.pages.editor_operations import find_place
from dashboard.pages.editor_parts import EVENT, Part, build_part, list_trigger_choices
from dashboard.pages.editor_tree import (
    RULES,
    TRIGGER,
    TreeNode,
    build_heads,
    build_steps,
    find_icon,
    iter_nodes,
    resolve,
)
from rules.actions import ACTIONS, WORKFLOW_ACTIONS
from rules.language import AutomationType
from rules.problems import Problem, is_within


@dataclass(frozen=True)
class ActionChoice:
    """An action that can be added."""

    name: str
    label: str
    purpose: str
    icon: str
    stage: str


@dataclass(frozen=True)
class EditorView:
    """The editor of one text: `document` is None where the text cannot be parsed."""

    document: Any
    automation_type: AutomationType
    requested_part: str
    problems: Sequence[Problem]
    warnings: Sequence[Problem]
    units: Mapping[str, str] = field(default_factory=lambda: UNITS)

    @property
    def is_readable(self) -> bool:
        """Whether the text is a document that the form can show."""
        return isinstance(self.document, Mapping)

    @property
    def is_choosing(self) -> bool:
        """Whether the form offers the actions of a step to add."""
        return self.is_readable and find_place(self.requested_part) is not None

    @cached_property
    def part(self) -> str:
        """The path of the part whose form is open: the requested one, or the first step, or the trigger."""
        if self.is_choosing:
            return self.requested_part
        for path in (self.requested_part, "steps[0]"):
            if build_part(self.document, path) is not None:
                return path
        return TRIGGER

    @cached_property
    def open_part(self) -> Part | None:
        """The part itself; None while an action is chosen, and for a text that cannot be parsed."""
        return build_part(self.document, self.part) if self.is_readable and not self.is_choosing else None

    @cached_property
    def heads(self) -> list[TreeNode]:
        """The nodes of trigger and rules."""
        return build_heads(self.document, self.problems, self.warnings)

    @cached_property
    def nodes(self) -> tuple[TreeNode, ...]:
        """The nodes of the steps."""
        return build_steps(resolve(self.document, "steps"), self.problems, self.warnings)

    @property
    def step_count(self) -> int:
        """The number of steps, those within others included."""
        return sum(1 for _ in iter_nodes(self.nodes)) if self.is_readable else 0

    @cached_property
    def node(self) -> TreeNode | None:
        """The selected step's node."""
        return next((node for node in iter_nodes(self.nodes) if node.path == self.part), None)

    @property
    def actions(self) -> list[ActionChoice]:
        """The actions that can be added."""
        return [
            ActionChoice(name, describe_action(name), ACTIONS[name].purpose, *find_icon(name))
            for name in WORKFLOW_ACTIONS
        ]

    @property
    def part_warnings(self) -> list[Problem]:
        """The warnings of the selected part that no control shows."""
        controls = self.open_part.all_controls if self.open_part else ()
        placed = [warning for control in controls for warning in self._list_within(control)]
        own = [warning for warning in self.warnings if self._is_of_part(warning)]
        return [warning for warning in own if warning not in placed]

    def _is_of_part(self, warning: Problem) -> bool:
        path = self.find_path(warning)
        arms = [arm.path for arm in self.node.arms] if self.node else []
        return is_within(path, self.part) and not any(is_within(path, arm) for arm in arms)

    @cached_property
    def _step_paths(self) -> dict[str, str]:
        steps = {node.path: resolve(self.document, node.path) for node in iter_nodes(self.nodes)}
        return {str(step["id"]): path for path, step in steps.items() if "id" in step}

    def find_path(self, warning: Problem) -> str:
        """The place of a warning, whose path names a step by its id, in the document."""
        root, _, rest = warning.path.partition(".")
        step_id, dot, field_path = rest.partition(".")
        path = self._step_paths.get(step_id) if root == "steps" else None
        return f"{path}{dot}{field_path}" if path else warning.path

    def find_warnings(self, control: Control) -> list[Problem]:
        """The warnings that a control shows; those of its children they show themselves."""
        inner = [self.get_place(child) for child in _list_children(control)]
        return [
            warning
            for warning in self._list_within(control)
            if not any(is_within(self.find_path(warning), child) for child in inner)
        ]

    def _list_within(self, control: Control) -> list[Problem]:
        place = self.get_place(control)
        return [warning for warning in self.warnings if is_within(self.find_path(warning), place)]

    def describe_length(self, control: Control) -> str | None:
        """How much of what its channel sends a text uses; None where the channel has no limit."""
        step = resolve(self.document, self.part) if self.node else None
        return describe_length(step, control.path, str(resolve(self.document, "trigger.type") or "")) if step else None

    @property
    def unplaced(self) -> list[Problem]:
        """The problems of the selected part that no control shows."""
        if self.open_part is None:
            return []
        places = [self.get_place(control) for control in self.open_part.all_controls]
        places += [arm.path for arm in self.node.arms] if self.node else []
        places += ["trigger.type"] if self.part == TRIGGER else []
        return [
            problem
            for problem in self.problems
            if is_within(problem.path, self.part) and not any(is_within(problem.path, place) for place in places)
        ]

    def get_place(self, control: Control) -> str:
        """The path in the document of a control's value, by which problems are found."""
        return control.path if self.part == RULES else f"{self.part}.{control.path}"

    def find_problems(self, control: Control) -> list[Problem]:
        """The problems that a control shows; those of its children they show themselves."""
        place = self.get_place(control)
        inner = [self.get_place(child) for child in _list_children(control)]
        return [
            problem
            for problem in self.problems
            if is_within(problem.path, place) and not any(is_within(problem.path, child) for child in inner)
        ]

    @property
    def is_more_open(self) -> bool:
        """Whether the folded controls have a problem or a warning."""
        more = self.open_part.more if self.open_part else ()
        paths = [problem.path for problem in self.problems] + [self.find_path(warning) for warning in self.warnings]
        return any(is_within(path, self.get_place(item)) for item in more for path in paths)

    @property
    def trigger_types(self) -> dict[str, str]:
        """The trigger types that the automation may have, and the one that it has."""
        types = list_trigger_choices(self.automation_type)
        return types if EVENT in types else {**types, **({} if self.trigger_event in types else _NOT_ALLOWED)}

    @property
    def trigger_event(self) -> str:
        """The trigger's type, which for events is their name."""
        return str(resolve(self.document, "trigger.type") or "")

    @property
    def trigger_choice(self) -> str:
        """The selected trigger type."""
        if self.trigger_event in self.trigger_types:
            return self.trigger_event
        return EVENT if EVENT in self.trigger_types else ""


#: The choice that leaves a trigger as it is, although automations of this type do not have it.
_NOT_ALLOWED = {"": "Another trigger, which this type does not have"}


def _list_children(control: Control) -> list[Control]:
    if control.kind == "rows":
        return [child for row in control.children for child in row.children]
    return list(control.children)
