"""Translates between the fields of a definition and the controls of the editor's form.

The language decides which fields there are and of which types (`rules/actions`, `rules/language`); this module derives
a control from each type, and reads the controls back. A form that nobody has changed reads as the values that it was
filled from. A value that its control cannot show, such as a number where a text belongs, stays as it is, and the form
says that it is set in the YAML. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from werkzeug.datastructures import MultiDict

from dashboard.pages.editor_labels import DEFAULT_OPTIONS, TRUE_BY_DEFAULT, describe_field, describe_option
from rules.actions import MAX_TEXT_LENGTH
from rules.containers import AnyJson, ListOf, MapOf, Nested, Object
from rules.field_types import Boolean, Choice, Condition, Duration, FieldType, Integer, Number, OutboundUrl, Text
from rules.json_text import format_json, load_json
from rules.problems import Problem, join_path

Form = MultiDict[str, str]
Values = dict[str, Any]
Kind = Literal[
    "line", "text", "condition", "choice", "flag", "duration", "number", "lines", "checks", "rows", "pairs", "json",
    "group", "fixed",
]  # fmt: skip

#: Prefix of the names of all controls; `is:` marks that the form had the control, for those that send nothing empty.
PREFIX = "f:"
PRESENT = "is:"
#: Units of durations, as the language writes them.
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"([0-9]{1,9})([smhdw])")
_NUMBER = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,6})?")
#: The control of a value that the form cannot show.
_MISSING = object()


@dataclass(frozen=True)
class Control:
    """One control of the form: its name, its texts, and what it shows.

    `value` is a string for `line`, `text`, `condition`, `choice`, `number`, `lines` and `json`, (number, unit) for
    `duration`, a boolean for `flag`, a list of strings for `checks`, and a list of (name, text) for `pairs`. `children`
    are the controls of a `group`; those of `rows` are one group for each row.
    """

    path: str
    kind: Kind
    label: str
    hint: str = ""
    value: Any = ""
    is_required: bool = False
    is_template: bool = False
    options: tuple[tuple[str, str], ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    children: tuple[Control, ...] = ()

    @property
    def name(self) -> str:
        """The name of its field in the form."""
        return PREFIX + self.path

    @property
    def is_set(self) -> bool:
        """Whether it shows a value."""
        if self.kind == "group":
            return any(child.is_set for child in self.children)
        if self.kind == "rows":
            return bool(self.children)
        return self.value not in ("", (), [], ("", "m"), None, False)


def build_controls(
    fields: Mapping[str, FieldType], values: object, required: Sequence[str] | frozenset[str] = (), *, path: str,
    owner: str,
) -> list[Control]:  # fmt: skip
    """The controls of an object's fields, those of nested steps left out.

    `path` is the object's path within the edited part, `owner` the action or object by which labels are looked up.
    """
    mapping = values if isinstance(values, Mapping) else {}
    return [
        _build(type_, mapping.get(name, _MISSING), join_path(path, name), owner, name in required)
        for name, type_ in fields.items()
        if not isinstance(type_, Nested)
    ]


def _build(type_: FieldType, value: object, path: str, owner: str, is_required: bool) -> Control:
    name = re.split(r"[.\[]", path)[-1]
    label, hint = describe_field(owner, name)
    plain = Control(path, "line", label, hint, is_required=is_required)
    builder = _BUILDERS[type(type_)]
    control = builder(type_, value, plain)
    return control if control is not None else replace(plain, kind="fixed", hint="Set in the YAML.")


def _build_text(type_: Text, value: object, plain: Control) -> Control | None:
    text = "" if value is _MISSING else value
    if not isinstance(text, str) or "\r" in text:
        return None
    is_long = type_.max_length >= MAX_TEXT_LENGTH
    if not is_long and "\n" in text:
        return None
    return replace(plain, kind="text" if is_long else "line", value=text, is_template=type_.template)


def _build_url(type_: OutboundUrl, value: object, plain: Control) -> Control | None:
    return _build_text(type_.text, value, plain)


def _build_condition(_type: Condition, value: object, plain: Control) -> Control | None:
    text = "" if value is _MISSING else value
    if not isinstance(text, str) or "\n" in text or "\r" in text:
        return None
    return replace(plain, kind="condition", value=text, is_template=True)


def _build_choice(type_: Choice, value: object, plain: Control) -> Control | None:
    options = tuple((option, describe_option(option)) for option in type_.options)
    text = "" if value is _MISSING else value
    if not plain.is_required or not text:
        default = "Choose" if plain.is_required else DEFAULT_OPTIONS.get(plain.path.split(".")[-1], "Not set")
        options = (("", default), *options)
    if text not in ("", *type_.options):
        return None
    return replace(plain, kind="choice", value=text, options=options)


def _build_flag(_type: Boolean, value: object, plain: Control) -> Control | None:
    if value is not _MISSING and not isinstance(value, bool):
        return None
    name = plain.path.split(".")[-1]
    return replace(plain, kind="flag", value=name in TRUE_BY_DEFAULT if value is _MISSING else value)


def _build_duration(_type: Duration, value: object, plain: Control) -> Control | None:
    if value is _MISSING:
        return replace(plain, kind="duration", value=("", "h"))
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    return replace(plain, kind="duration", value=(match[1], match[2])) if match else None


def _build_number(type_: Integer | Number, value: object, plain: Control) -> Control | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    text = "" if value is _MISSING else str(value)
    if value is not _MISSING and not (is_number and _NUMBER.fullmatch(text)):
        return None
    maximum = type_.maximum if type_.maximum < 1_000_000_000 else None
    return replace(plain, kind="number", value=text, minimum=type_.minimum, maximum=maximum)


def _build_list(type_: ListOf, value: object, plain: Control) -> Control | None:
    items = [] if value is _MISSING else value
    if not isinstance(items, list):
        return None
    if isinstance(type_.item, Object):
        if not all(isinstance(item, Mapping) for item in items):
            return None
        item_type = type_.item
        groups = tuple(
            _build_group(item_type, item, f"{plain.path}[{index}]", plain.path.split(".")[-1])
            for index, item in enumerate(items)
        )
        return replace(plain, kind="rows", children=groups, maximum=type_.max_items)
    if not all(isinstance(item, str) for item in items):
        return None
    if isinstance(type_.item, Choice):
        options = tuple((option, describe_option(option)) for option in type_.item.options)
        is_option = all(item in type_.item.options for item in items)
        return replace(plain, kind="checks", value=items, options=options) if is_option else None
    if any("\n" in item or "\r" in item or item != item.strip() or not item for item in items):
        return None
    return replace(plain, kind="lines", value="\n".join(items), maximum=type_.max_items)


def _build_group(type_: Object, value: object, path: str, owner: str) -> Control:
    children = tuple(build_controls(type_.fields, value, type_.required, path=path, owner=owner))
    label, hint = describe_field(owner, path.rsplit(".", 1)[-1])
    return Control(path, "group", label, hint, children=children)


def _build_object(type_: Object, value: object, plain: Control) -> Control | None:
    if value is not _MISSING and not isinstance(value, Mapping):
        return None
    group = _build_group(type_, {} if value is _MISSING else value, plain.path, plain.path.split(".")[-1])
    children = group.children
    if value is _MISSING and not plain.is_required:
        # Without any of them the object is left out.
        children = tuple(replace(child, is_required=False) for child in children)
    return replace(plain, kind="group", children=children)


def _build_pairs(type_: MapOf, value: object, plain: Control) -> Control | None:
    mapping = {} if value is _MISSING else value
    if not isinstance(mapping, Mapping):
        return None
    pairs = [(str(name), write_scalar(item)) for name, item in mapping.items()]
    return replace(plain, kind="pairs", value=pairs, maximum=type_.max_properties, is_template=True)


def _build_json(_type: AnyJson, value: object, plain: Control) -> Control | None:
    text = "" if value is _MISSING else format_json(value, indent=2)
    return replace(plain, kind="json", value=text, is_template=True)


_BUILDERS: dict[type, Any] = {
    Text: _build_text, OutboundUrl: _build_url, Condition: _build_condition, Choice: _build_choice,
    Boolean: _build_flag, Duration: _build_duration, Integer: _build_number, Number: _build_number,
    ListOf: _build_list, Object: _build_object, MapOf: _build_pairs, AnyJson: _build_json,
}  # fmt: skip


def write_scalar(value: object) -> str:
    """A value of a pair as its field shows it: a text as it is, anything else as JSON."""
    if isinstance(value, str) and not isinstance(_read_scalar(value), str):
        return format_json(value)
    return value if isinstance(value, str) else format_json(value)


def _read_scalar(text: str) -> Any:
    """What a typed value means: JSON where it is a number, a boolean, null, a list, an object or a quoted text."""
    if text[:1] in '-0123456789"[{' or text in ("true", "false", "null"):
        try:
            return load_json(text)
        except ValueError:
            return text
    return text


def read_values(form: Form, controls: Sequence[Control], before: object) -> tuple[Values, list[Problem]]:
    """The object that the form describes, and the controls whose texts cannot be read.

    `before` is the object that the form was filled from: what has no control, or cannot be read, stays as it is. The
    order of its fields stays too; new ones follow in the order of the controls.
    """
    values: Values = dict(before) if isinstance(before, Mapping) else {}
    problems: list[Problem] = []
    for control in controls:
        if not _is_present(form, control):
            continue
        name = re.split(r"\.", control.path)[-1]
        try:
            value = _READERS[control.kind](form, control, values.get(name, _MISSING))
        except ValueError as error:
            problems.append(Problem(control.path, str(error)))
            continue
        if isinstance(value, _WithProblems):
            problems += value.problems
            value = value.value
        if value is _MISSING:
            values.pop(name, None)
        else:
            values[name] = value
    return values, problems


def _is_present(form: Form, control: Control) -> bool:
    """Whether the form had the control; a group has no field of its own."""
    if control.kind == "group":
        return any(_is_present(form, child) for child in control.children)
    return PRESENT + control.path in form or control.name in form


@dataclass(frozen=True)
class _WithProblems:
    value: Any
    problems: list[Problem]


def _read_line(form: Form, control: Control, before: object) -> object:
    text = form.get(control.name, "").replace("\r\n", "\n")
    if text == control.value:
        return before
    if control.kind in ("line", "condition"):
        text = text.strip()
    return text if text else _MISSING


def _read_flag(form: Form, control: Control, before: object) -> object:
    is_set = form.get(control.name) == "true"
    if is_set == bool(control.value):
        return before
    return is_set


def _read_duration(form: Form, control: Control, _before: object) -> object:
    number, unit = form.get(control.name, "").strip(), form.get(f"{control.name}:unit", "h")
    return f"{number}{unit[:1]}" if number else _MISSING


def _read_number(form: Form, control: Control, before: object) -> object:
    text = form.get(control.name, "").strip()
    if text == control.value:
        return before
    if not text:
        return _MISSING
    if not _NUMBER.fullmatch(text):
        raise ValueError("must be a number")
    return float(text) if "." in text else int(text)


def _read_lines(form: Form, control: Control, before: object) -> object:
    lines = [line.strip() for line in form.get(control.name, "").replace("\r\n", "\n").split("\n")]
    items = [line for line in lines if line]
    if "\n".join(items) == control.value:
        return before
    return items or _MISSING


def _read_checks(form: Form, control: Control, before: object) -> object:
    checked = form.getlist(control.name)
    items = [option for option, _ in control.options if option in checked]
    if set(items) == set(control.value):
        return before
    return items or _MISSING


def _read_rows(form: Form, control: Control, before: object) -> object:
    old = before if isinstance(before, list) else []
    rows, problems = [], []
    for index, group in enumerate(control.children):
        row, found_here = read_values(form, group.children, old[index] if index < len(old) else {})
        rows.append(row)
        problems += found_here
    return _WithProblems(rows or _MISSING, problems)


def _read_group(form: Form, control: Control, before: object) -> object:
    values, problems = read_values(form, control.children, {} if before is _MISSING else before)
    if values or (before is not _MISSING and not before):
        return _WithProblems(values, problems)
    return _WithProblems(_MISSING, problems)


def _read_pairs(form: Form, control: Control, before: object) -> object:
    old = before if isinstance(before, Mapping) else {}
    names, texts = form.getlist(f"{control.name}:name"), form.getlist(control.name)
    pairs: Values = {}
    for name, text in zip(names, texts, strict=False):
        key = name.strip()
        if key:
            pairs[key] = old[key] if key in old and write_scalar(old[key]) == text else _read_scalar(text)
    if pairs == old and list(pairs) == list(old):
        return before
    return pairs or _MISSING


def _read_json(form: Form, control: Control, before: object) -> object:
    text = form.get(control.name, "").replace("\r\n", "\n").strip()
    if text == control.value.strip():
        return before
    if not text:
        return _MISSING
    try:
        return load_json(text)
    except ValueError as error:
        raise ValueError(f"is not valid JSON: {error}") from None


def _keep(_form: Form, _control: Control, before: object) -> object:
    return before


_READERS: dict[Kind, Any] = {
    "line": _read_line, "text": _read_line, "condition": _read_line, "choice": _read_line, "flag": _read_flag,
    "duration": _read_duration, "number": _read_number, "lines": _read_lines, "checks": _read_checks,
    "rows": _read_rows, "pairs": _read_pairs, "json": _read_json, "group": _read_group, "fixed": _keep,
}  # fmt: skip
