"""Checks which variables a template or condition may use at its position, as far as this is known at publication.

`payload` and `contact.attributes` are open: their contents are known only at run time. Of `steps`, only steps that can
have finished before are allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from rules.problems import format_unknown
from rules.templating import Segments

#: Fields of a contact that every template may use; the contents of `attributes` are open.
CONTACT = (
    "id",
    "external_id",
    "first_name",
    "last_name",
    "email",
    "phone",
    "username",
    "facebook_id",
    "instagram_id",
    "timezone",
    "tags",
    "attributes",
)
AUTOMATION = ("id", "name")
EXECUTION = ("id", "follow_up")

#: Properties that Liquid resolves on any string or list.
_UNIVERSAL_KEYS = frozenset({"size", "first", "last"})

_CLOSED = {"contact": CONTACT, "automation": AUTOMATION, "execution": EXECUTION}


@dataclass(frozen=True, slots=True)
class Scope:
    """The variables at one position: the roots, and the previous steps with their output fields (None: open)."""

    roots: frozenset[str]
    steps: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)

    def with_step(self, step: str, outputs: tuple[str, ...] | None) -> Scope:
        """Return the scope after a step."""
        return replace(self, steps={**self.steps, step: outputs})

    def with_roots(self, roots: Iterable[str]) -> Scope:
        """Return the scope with more open variables."""
        return replace(self, roots=self.roots.union(roots))

    def check(self, variable: Segments) -> str | None:
        """Return why a variable is not available at this position, or None."""
        root = variable[0]
        if not isinstance(root, str) or root not in self.roots:
            return _format_unknown([root], self.roots)
        if root == "steps":
            return self._check_step(variable)
        if root in _CLOSED and len(variable) > 1:
            return _check_closed(variable)
        return None

    def _check_step(self, variable: Segments) -> str | None:
        if len(variable) < 2 or not isinstance(variable[1], str):
            return None
        name = variable[1]
        if name not in self.steps:
            message = _format_unknown(variable[:2], [f"steps.{step_id}" for step_id in self.steps])
            return f"{message} (no step before this one has that id)"
        outputs = self.steps[name]
        if outputs is None or len(variable) < 3 or variable[2] in outputs:
            return None
        return _format_unknown(variable[:3], [f"steps.{name}.{output}" for output in outputs])


def _check_closed(variable: Segments) -> str | None:
    root, name = variable[0], variable[1]
    fields = _CLOSED[str(root)]
    if not isinstance(name, str):
        return None if isinstance(name, list) else _format_unknown(variable[:2], [])
    if name not in fields:
        return _format_unknown(variable[:2], [f"{root}.{field_}" for field_ in fields])
    if name == "attributes" or len(variable) == 2:
        return None
    key = variable[2]
    if key in _UNIVERSAL_KEYS if isinstance(key, str) else name == "tags":
        return None
    return _format_unknown(variable[:3], [])


def _format_unknown(variable: Segments, names: object) -> str:
    name = ".".join(str(part) for part in variable)
    return format_unknown("variable", name, names if isinstance(names, (list, frozenset)) else [])


#: Before the first step: the condition of the trigger, and the condition of the rules.
AT_TRIGGER = Scope(frozenset({"contact", "payload", "automation", "now"}))
AT_RULES = Scope(frozenset({"contact", "payload", "automation", "execution", "now"}))
#: The condition that selects a schedule's contacts, before a payload exists.
AT_CONTACT_SELECTION = Scope(frozenset({"contact", "automation", "now"}))
AT_STEPS = Scope(frozenset({"contact", "payload", "steps", "automation", "execution", "now"}))
