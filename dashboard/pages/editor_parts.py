"""The part of a definition that the workflow editor's form shows: the trigger, the rules, or one step.

Each part has controls for the fields that its action or trigger type has; those that are rarely set are its *more
options*. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from dashboard.pages.editor_controls import Control, Form, Values, build_controls, read_values
from dashboard.pages.editor_labels import TRIGGERS, describe_action, describe_option, describe_trigger_type
from dashboard.pages.editor_tree import RULES, TRIGGER, find_icon, find_step_path, list_arms, resolve
from rules import language
from rules.actions import ACTIONS, COMMON, MOVABLE_FIELDS, Action
from rules.containers import ListOf, Object
from rules.field_types import FieldType
from rules.language import VARIANT, AutomationType
from rules.problems import Problem

#: The choice of a trigger that is an event of the producers.
EVENT = "event"
#: Fields under `with` that are rarely set.
_RARE = frozenset({
    "system", "provider", "model", "max_tokens", "temperature", "fallback", "format", "from", "reply_to", "headers",
    "max_segments", "when_too_long", "quick_replies", "assignee", "reply_comment.channel",
})  # fmt: skip
#: Fields of the document that stand with the rules.
_DOCUMENT_FIELDS: dict[str, FieldType] = {
    name: type_ for name, type_ in language.WORKFLOW_FIELDS.items() if name != RULES
}


@dataclass(frozen=True)
class Part:
    """What the form shows of one part: its heading, its controls, and those that are folded away."""

    path: str
    title: str
    icon: str
    stage: str
    controls: tuple[Control, ...]
    more: tuple[Control, ...] = ()
    is_step: bool = False

    @property
    def all_controls(self) -> tuple[Control, ...]:
        """Both kinds of controls."""
        return (*self.controls, *self.more)

    @property
    def more_text(self) -> str:
        """The folded fields that are set, in one line."""
        words = [_describe_value(control) for control in self.more if control.is_set]
        return " · ".join(words) or "None set"


def _describe_value(control: Control) -> str:
    if control.kind == "flag":
        return control.label
    if control.kind == "choice":
        return f"{control.label}: {describe_option(control.value).lower()}"
    if control.kind in ("number", "line") and len(control.value) <= 30:
        return f"{control.label}: {control.value}"
    if control.kind == "group" and len(control.children) == 1:
        return _describe_value(control.children[0])
    return control.label


def build_part(document: object, path: str) -> Part | None:
    """The part at a path, or None where the document has none."""
    if path == TRIGGER:
        return _build_trigger(resolve(document, TRIGGER))
    if path == RULES:
        return _build_rules(document)
    step = resolve(document, path) if find_step_path(path) else None
    return _build_step(step, path) if isinstance(step, Mapping) else None


def _build_trigger(trigger: object) -> Part:
    values = trigger if isinstance(trigger, Mapping) else {}
    type_ = values.get("type")
    declared = language.TRIGGERS.get(type_) if isinstance(type_, str) else None
    inner = declared.fields if declared else {}
    controls = [
        *build_controls(inner, values.get("with"), declared.required if declared else (), path="with", owner=TRIGGER),
        *build_controls({"where": language.TRIGGER_FIELDS["where"]}, values, path="", owner=TRIGGER),
    ]
    return Part(TRIGGER, f"Starts on: {describe_trigger_type(type_)}", "play", "checking", tuple(controls))


def _build_rules(document: object) -> Part:
    controls = build_controls(language.RULES.fields, resolve(document, RULES), path=RULES, owner=RULES)
    more = build_controls(_DOCUMENT_FIELDS, document, path="", owner="document")
    return Part(RULES, "Rules", "eligible", "eligible", tuple(controls), tuple(more))


def _build_step(step: Mapping[str, Any], path: str) -> Part:
    name = step.get("action")
    icon, stage = find_icon(name)
    action = ACTIONS.get(name) if isinstance(name, str) else None
    identity = build_controls({"id": COMMON["id"]}, step, ("id",), path="", owner="step")
    if action is None:
        return Part(path, describe_action(name), icon, stage, tuple(identity), is_step=True)
    controls = [*_build_fields(action, step), *_build_variants(step)]
    common = [control for control in controls if not _is_rare(action, control)]
    rare = [control for control in controls if _is_rare(action, control)]
    return Part(path, describe_action(name), icon, stage, tuple(common), (*identity, *rare), is_step=True)


def _build_fields(action: Action, step: Mapping[str, Any]) -> list[Control]:
    with_ = step.get("with")
    inner: Mapping[str, Any] = with_ if isinstance(with_, Mapping) else {}
    controls = build_controls(action.fields, inner, action.required, path="with", owner=action.name)
    for name, type_ in action.step_fields.items():
        is_inner = name in MOVABLE_FIELDS and name in inner and name not in step
        controls += build_controls(
            {name: type_}, inner if is_inner else step, action.required_step_fields,
            path="with" if is_inner else "", owner=action.name,
        )  # fmt: skip
    return controls


def _build_variants(step: Mapping[str, Any]) -> list[Control]:
    """Names and weights of a split's variants, whose steps are in the tree."""
    if step.get("action") != "split" or not isinstance(step.get("variants"), list):
        return []
    fields = {name: type_ for name, type_ in VARIANT.fields.items() if name != "steps"}
    row = Object(fields, required=frozenset({"name"}))
    return build_controls({"variants": ListOf(row, max_items=20)}, step, path="", owner="split")


def _is_rare(action: Action, control: Control) -> bool:
    name = control.path.split(".")[-1]
    if name in action.required_step_fields or control.is_required or name == "variants":
        return False
    return not control.path.startswith("with.") or name in _RARE or f"{action.name}.{name}" in _RARE


def read_part(form: Form, part: Part, document: object) -> tuple[Any, list[Problem]]:
    """The part as the form describes it, for rules the whole document; and the controls that cannot be read."""
    base = document if part.path == RULES else resolve(document, part.path)
    before: Values = dict(base) if isinstance(base, Mapping) else {}
    if part.path == RULES:
        return _read_nested(form, part.all_controls, before, RULES)
    return _read_nested(form, part.all_controls, before, "with")


def _read_nested(form: Form, controls: Sequence[Control], before: Values, holder: str) -> tuple[Values, list[Problem]]:
    """Read controls of an object, and those of the object in its field `holder`, which goes where it becomes empty."""
    inner = [control for control in controls if control.path.startswith(f"{holder}.")]
    outer = [control for control in controls if not control.path.startswith(f"{holder}.")]
    values, problems = read_values(form, outer, before)
    if not inner:
        return values, problems
    nested, inner_problems = read_values(form, inner, before.get(holder))
    if nested or (holder in before and before[holder] == nested):
        values[holder] = nested
    else:
        values.pop(holder, None)
    return values, [*problems, *inner_problems]


def list_trigger_choices(automation_type: AutomationType) -> dict[str, str]:
    """The trigger types that an automation of this type may have, with their labels."""
    allowed = language.TRIGGERS_OF_TYPE.get(automation_type)
    if allowed is not None:
        return {name: TRIGGERS[name] for name in allowed}
    return {EVENT: "An event of your systems", **TRIGGERS}


def change_trigger_type(trigger: object, type_: str) -> Values:
    """A trigger of another type: of its fields those stay that the new type has too."""
    before = trigger if isinstance(trigger, Mapping) else {}
    declared = language.TRIGGERS.get(type_)
    with_ = before.get("with")
    kept = {
        name: value
        for name, value in (with_ if isinstance(with_, Mapping) else {}).items()
        if declared and name in declared.fields
    }
    if declared:
        kept |= {name: _INITIAL_TRIGGER[name] for name in declared.required if name not in kept}
    changed: Values = {**before, "type": type_}
    changed.pop("with", None)
    return {**changed, "with": kept} if kept else changed


def find_allowed_trigger(document: object, automation_type: AutomationType) -> object:
    """The document with a trigger that automations of this type may have: its own, or else the type's first."""
    allowed = language.TRIGGERS_OF_TYPE.get(automation_type, ())
    if not isinstance(document, Mapping) or not allowed or resolve(document, "trigger.type") in allowed:
        return document
    return {**document, TRIGGER: change_trigger_type(document.get(TRIGGER), allowed[0])}


_INITIAL_TRIGGER: Values = {"cron": "0 9 * * *", "days": 30}


def build_initial_step(action: str, step_id: str) -> Values:
    """A new step with this action."""
    return {"id": step_id, "action": action, **deepcopy(dict(ACTIONS[action].initial))}


def choose_step_id(base: str, document: object, more: Collection[str] = ()) -> str:
    """An id for a new step that no other step of the document has, and none of `more` is."""
    taken = {*_list_ids(resolve(document, "steps")), *more}
    names = (base, *(f"{base[:58]}_{number}" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)


def _list_ids(steps: object) -> list[str]:
    ids: list[str] = []
    for step in steps if isinstance(steps, list) else []:
        if isinstance(step, Mapping):
            ids.append(str(step.get("id")))
            for _, _, inner in list_arms(step, ""):
                ids += _list_ids(inner)
    return ids
