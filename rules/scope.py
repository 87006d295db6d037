"""Which variables a template or condition may name where it stands, as far as that can be known when publishing.

`payload` and `contact.attributes` are open: what they hold is known only at run time. Of `steps`, only those may be
named that can have finished before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rules.problems import unknown
from rules.templating import Segments

#: Fields of a contact that every template may name; `attributes` is open below.
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

#: What Liquid reads of any text or list.
_ANYWHERE = frozenset({"size", "first", "last"})

_CLOSED = {"contact": CONTACT, "automation": AUTOMATION, "execution": EXECUTION}


@dataclass(frozen=True, slots=True)
class Scope:
    """The names at one place: the roots, and the steps before it with the fields of their outputs (None: open)."""

    roots: frozenset[str]
    steps: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)

    def after(self, step: str, outputs: tuple[str, ...] | None) -> Scope:
        """The scope behind a step."""
        return replace(self, steps={**self.steps, step: outputs})

    def also(self, root: str) -> Scope:
        """The scope with one more open variable."""
        return replace(self, roots=self.roots | {root})

    def fault(self, variable: Segments) -> str | None:
        """What is wrong with a variable at this place, or None."""
        root = variable[0]
        if not isinstance(root, str) or root not in self.roots:
            return _unknown([root], self.roots)
        if root == "steps":
            return self._step_fault(variable)
        if root in _CLOSED and len(variable) > 1:
            return _closed_fault(variable)
        return None

    def _step_fault(self, variable: Segments) -> str | None:
        if len(variable) < 2 or not isinstance(variable[1], str):
            return None
        name = variable[1]
        if name not in self.steps:
            words = _unknown(variable[:2], [f"steps.{one}" for one in self.steps])
            return f"{words} (no step before this one has that id)"
        outputs = self.steps[name]
        if outputs is None or len(variable) < 3 or variable[2] in outputs:
            return None
        return _unknown(variable[:3], [f"steps.{name}.{one}" for one in outputs])


def _closed_fault(variable: Segments) -> str | None:
    root, name = variable[0], variable[1]
    known = _CLOSED[str(root)]
    if not isinstance(name, str):
        return None if isinstance(name, list) else _unknown(variable[:2], [])
    if name not in known:
        return _unknown(variable[:2], [f"{root}.{one}" for one in known])
    if name == "attributes" or len(variable) == 2:
        return None
    deeper = variable[2]
    if deeper in _ANYWHERE if isinstance(deeper, str) else name == "tags":
        return None
    return _unknown(variable[:3], [])


def _unknown(variable: Segments, known: object) -> str:
    written = ".".join(str(part) for part in variable)
    return unknown("variable", written, known if isinstance(known, (list, frozenset)) else [])


#: Before the first step: the trigger's condition, and the condition of the rules.
AT_TRIGGER = Scope(frozenset({"contact", "payload", "automation", "now"}))
AT_RULES = Scope(frozenset({"contact", "payload", "automation", "execution", "now"}))
#: The condition that chooses contacts for a schedule, where there is no payload yet.
AT_CHOICE = Scope(frozenset({"contact", "automation", "now"}))
AT_STEPS = Scope(frozenset({"contact", "payload", "steps", "automation", "execution", "now"}))
