"""Describes what an author should know of a valid definition, and the edits that mend it.

A warning stops no publishing. The rules are in `rules/delivery_warnings`, `limit_warnings`, `text_warnings`,
`variable_warnings` and `idle_warnings`; those that need facts of the workspace are in `dashboard/definition_warnings`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from rules.definition_text import TextProblem
from rules.source_edits import Edit
from rules.source_tree import Path


@dataclass(frozen=True, slots=True)
class Fix:
    """What mends a definition: a title that says it, beginning with a verb, and edits to apply one after another."""

    title: str
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class DefinitionWarning(TextProblem):
    """A warning; the path of a step's warning has its id."""

    fix: Fix | None = None


def warn(path: str, message: str, fix: Fix | None = None) -> DefinitionWarning:
    """Build a warning."""
    return DefinitionWarning(path, message, fix=fix)


def build_removal(title: str, *path: str | int) -> Fix:
    """Build the fix that removes a field or a step."""
    return Fix(title, (Edit("delete", path),))


def build_change(title: str, value: Any, *path: str | int) -> Fix:
    """Build the fix that sets a field."""
    return Fix(title, (Edit("set", path, value),))


def build_reply_wait(title: str, path: Path, count: int, taken: Collection[str], *more: Edit) -> Fix:
    """Build the fix that waits for the contact's reply before `count` steps, of which the first is at `path`.

    Each of them moves into the arm of those who reply; `more` edits what is there then.
    """
    wait = {
        "id": choose_id("reply", taken),
        "action": "wait_until",
        "with": {"event": "contact.replied", "timeout": "7d"},
        "then": [],
    }
    next_path = (*path[:-1], int(path[-1]) + 1)
    moves = (Edit("move", next_path, to=(*path, "then", index)) for index in range(count))
    return Fix(title, (Edit("insert", path, wait), *moves, *more))


def choose_id(name: str, taken: Collection[str]) -> str:
    """Return an id for a new step."""
    number = 2
    candidate = name
    while candidate in taken:
        candidate, number = f"{name}_{number}", number + 1
    return candidate
