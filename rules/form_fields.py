"""Builds an object from the fields of a form, for bodies that may be a form or JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from rules.body_json import invalid_body
from rules.problems import Problem, shorten

#: `contact[email]` or `tags[]`, as PHP, Rails and jQuery name the fields of objects and lists; others are taken whole.
_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]+\]){0,8})(\[\])?")


def nest_fields(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return the fields as an object: `contact[email]` is a field of `contact`, a repeated name or `tags[]` a list.

    Raises `BodyError` 422 for a name that is both a value and an object.
    """
    fields: dict[str, Any] = {}
    for name, value in pairs:
        parents, last, is_list = _split(name)
        place = fields
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise _ambiguous(name)
        place[last] = _add(place.get(last), value, is_list, name)
    return fields


def _split(name: str) -> tuple[list[str], str, bool]:
    match = _NAME.fullmatch(name)
    if match is None:
        return [], name, False
    *parents, last = [match[1], *re.findall(r"\[(.+?)\]", match[2])]
    return parents, last, match[3] is not None


def _add(previous: Any, value: str, is_list: bool, name: str) -> str | list[str]:
    """Return the values of a field with one more."""
    if isinstance(previous, dict):
        raise _ambiguous(name)
    if previous is None:
        return [value] if is_list else value
    return [*(previous if isinstance(previous, list) else [previous]), value]


def _ambiguous(name: str) -> Exception:
    return invalid_body([Problem(shorten(name), "is both a value and an object")])
