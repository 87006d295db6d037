"""Warns of variables that have no value where they are used, and of conditions that compare with an impossible value.

An output of a missing variable fails its step, so an output that uses `default` is not warned of, and neither is one in
a template whose tags test the variable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from rules import conditions, templating
from rules.definition_warnings import DefinitionWarning, Fix, build_change, warn
from rules.direct_messages import MESSAGE_TRIGGERS
from rules.problems import join_path
from rules.source_tree import Path
from rules.step_walk import Visit, Walk, list_arms
from rules.variable_uses import VariablePath, list_in_condition, list_required

_MESSAGE = frozenset({"id", "text", "payload", "attachments", "at"})
_COMMENT = frozenset({"id", "text", "media_id", "parent_id", "live", "at", "from"})
#: The fields of an event, by trigger; None for a field with contents of its own. Other triggers have any payload.
_PAYLOADS: dict[str, Mapping[str, frozenset[str] | None]] = {
    "schedule": {"scheduledFor": None},
    "contact.inactive": {"scheduledFor": None},
    **{name: {"comment": _COMMENT, "account": None} for name in ("instagram.comment", "facebook.comment")},
    **{name: {"message": _MESSAGE, "account": None} for name in MESSAGE_TRIGGERS},
    "instagram.story_reply": {"message": _MESSAGE, "story": frozenset({"id", "url"}), "account": None},
}
_FOLLOWING = (True, False, "unknown")
_ARM_FIELDS = ("then", "else", "variants")


@dataclass(frozen=True)
class _Source:
    """A template or condition: where it is, its text, and the step that it belongs to."""

    path: Path
    name: str
    text: str
    is_condition: bool = False
    visit: Visit | None = None


def list_variable_warnings(document: Mapping[str, Any], walk: Walk) -> Iterator[DefinitionWarning]:
    """Yield the warnings of the templates and conditions of a valid definition of a workflow."""
    trigger = str(document["trigger"]["type"])
    arms = {visit.id: [name for name, _, _ in list_arms(visit.step, visit.path)] for visit in walk.visits}
    actions = {visit.id: visit.action for visit in walk.visits}
    for source in _iter_sources(document, walk):
        for variable in _list_variables(source):
            if variable[0] == "payload":
                yield from _check_payload(source, variable, trigger)
            elif variable[0] == "steps":
                yield from _check_step(source, variable)
        if source.is_condition:
            yield from _check_values(source, arms, actions)


def list_used_steps(document: Mapping[str, Any], walk: Walk) -> frozenset[str]:
    """Return the ids of the steps whose outputs a template or condition reads; of all, where a name is computed."""
    used: set[str] = set()
    for source in _iter_sources(document, walk):
        paths = (
            conditions.list_variables(source.text) if source.is_condition else templating.list_variables(source.text)
        )
        for path in paths:
            if path[0] == "steps":
                used |= {str(path[1])} if len(path) > 1 and isinstance(path[1], str) else {v.id for v in walk.visits}
    return frozenset(used)


def _iter_sources(document: Mapping[str, Any], walk: Walk) -> Iterator[_Source]:
    for part in ("trigger", "rules"):
        text = (document.get(part) or {}).get("where")
        if isinstance(text, str):
            yield _Source((part, "where"), f"{part}.where", text, is_condition=True)
    for visit in walk.visits:
        own = {name: value for name, value in visit.step.items() if name not in ("id", "action", *_ARM_FIELDS)}
        if visit.action == "branch":
            text = own.pop("if")
            yield _Source((*visit.path, "if"), visit.name_path("if"), text, is_condition=True, visit=visit)
        for path, text in _iter_texts(own, ()):
            if path[:1] == ("with",) and path[1:2] and path[1] in _ARM_FIELDS:
                continue
            if templating.is_template(text) and not templating.check(text):
                yield _Source((*visit.path, *path), _join(visit.name_path(), path), text, visit=visit)


def _iter_texts(value: object, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _iter_texts(item, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _iter_texts(item, (*path, index))


def _join(name: str, path: Path) -> str:
    for part in path:
        name = f"{name}[{part}]" if isinstance(part, int) else join_path(name, part)
    return name


def _list_variables(source: _Source) -> list[VariablePath]:
    if not source.is_condition:
        return list(dict.fromkeys(list_required(source.text)))
    return list(dict.fromkeys(use.path for use in list_in_condition(source.text)))


def _check_payload(source: _Source, variable: VariablePath, trigger: str) -> Iterator[DefinitionWarning]:
    fields = _PAYLOADS.get(trigger)
    if fields is None or len(variable) < 2 or variable[1] == "size":
        return
    inner = fields.get(str(variable[1]), frozenset())
    if str(variable[1]) in fields and (inner is None or len(variable) < 3 or variable[2] in inner):
        return
    nearest = _find_nearest(variable, fields)
    name = ".".join(map(str, variable))
    effect = "so the condition never sees one" if source.is_condition else "so this step fails"
    hint = f" Did you mean {nearest}?" if nearest else ""
    yield warn(
        source.name,
        f"The trigger {trigger} gives no {name}, {effect}.{hint}",
        _fix_name(source, name, nearest) if nearest else _fix_missing(source, name),
    )


def _find_nearest(variable: VariablePath, fields: Mapping[str, frozenset[str] | None]) -> str | None:
    """Return the field that was probably meant: one of the same name in an object, or one that is written alike."""
    last = str(variable[-1])
    options = {f"payload.{name}": name for name, inner in fields.items() if inner is None}
    options |= {f"payload.{name}.{field}": field for name, inner in fields.items() for field in inner or ()}
    same = [path for path, name in options.items() if name == last]
    if same:
        return same[0]
    alike = get_close_matches(last, list(options.values()), n=1, cutoff=0.8)
    return next((path for path, name in options.items() if name in alike), None)


def _check_step(source: _Source, variable: VariablePath) -> Iterator[DefinitionWarning]:
    """Yield a warning for a step's output that is missing on one of the paths."""
    visit = source.visit
    if visit is None or visit.before is None or source.is_condition or len(variable) < 2:
        return
    step = str(variable[1])
    if step in visit.before.done or visit.guards:
        return
    name = ".".join(map(str, variable))
    yield warn(
        source.name,
        f"Not every path that leads here runs the step {step}. On the others {name} is missing, so this step fails.",
        _fix_missing(source, name),
    )


def _fix_name(source: _Source, name: str, nearest: str) -> Fix:
    text = re.sub(rf"(?<![\w.]){re.escape(name)}(?![\w-])", nearest, source.text)
    return build_change(f"Use {nearest}", text, *source.path)


def _fix_missing(source: _Source, name: str) -> Fix | None:
    """The fix that outputs nothing where the variable is missing."""
    if source.is_condition:
        return None
    text = re.sub(rf"(\{{\{{-?\s*{re.escape(name)})(?=\s*[|}}-])", r"\1 | default: ''", source.text)
    if text == source.text or name in {".".join(map(str, path)) for path in list_required(text)}:
        return None
    return build_change("Leave it empty where it is missing", text, *source.path)


def _check_values(
    source: _Source, arms: Mapping[str, list[str]], actions: Mapping[str, str]
) -> Iterator[DefinitionWarning]:
    for use in list_in_condition(source.text):
        if use.path[0] != "steps" or len(use.path) != 3 or use.operator not in ("eq", "ne"):
            continue
        step, output = str(use.path[1]), use.path[2]
        possible: list[object] = []
        if output == "taken":
            possible = list(arms.get(step, ()))
        elif output == "following" and actions.get(step) == "check_follow":
            possible = list(_FOLLOWING)
        if possible and not any(use.operand is value or use.operand == value for value in possible):
            yield _warn_of_value(source, step, str(output), use.operand, possible)


def _warn_of_value(
    source: _Source, step: str, output: str, operand: object, possible: list[object]
) -> DefinitionWarning:
    values = ", ".join(_format(value) for value in possible)
    meant = next((value for value in possible if isinstance(value, bool) and str(value).lower() == operand), None)
    fix = None
    if meant is not None:
        text = re.sub(rf"""(['"]){re.escape(str(operand))}\1""", _format(meant), source.text)
        fix = build_change(f"Compare with {_format(meant)}", text, *source.path)
    return warn(source.name, f"steps.{step}.{output} is never {_format(operand)}: it is one of {values}.", fix)


def _format(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) else "nil" if value is None else str(value)
