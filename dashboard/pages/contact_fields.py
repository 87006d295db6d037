"""A contact's fields between a form and the rules: texts out, and what a person changed back in.

A form carries what it was filled with. Only what differs from that is a change, so that whatever a trigger wrote in
the meantime stays. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rules.problems import Problem


@dataclass(frozen=True)
class Field:
    """One line of the form: the API's name, the column, and how it is asked for."""

    name: str
    column: str
    label: str
    kind: str = "text"
    hint: str = ""


FIELDS = (
    Field("firstName", "first_name", "First name"),
    Field("lastName", "last_name", "Last name"),
    Field("email", "email", "E-mail", "email"),
    Field("phone", "phone", "Phone", "tel", "With its country: +15550100"),
    Field("instagramId", "instagram_id", "Instagram id"),
    Field("facebookId", "facebook_id", "Messenger id"),
    Field("username", "username", "Username"),
    Field("externalId", "external_id", "External id", "text", "What your own system calls this contact"),
    Field("timezone", "timezone", "Time zone", "text", "Such as Europe/Rome; the workspace's without one"),
)
#: Empty lines for new attributes.
_SPARE = 2


def texts(contact: Mapping[str, Any] | None) -> dict[str, str]:
    """A contact as the form's texts, by field; a new contact has none."""
    found = contact or {}
    plain = {field.name: found.get(field.column) or "" for field in FIELDS}
    attributes = {
        f"attributes.{name}": attribute_text(value) for name, value in (found.get("attributes") or {}).items()
    }
    return {**plain, "tags": ", ".join(found.get("tags") or []), **attributes}


def attribute_text(value: Any) -> str:
    """An attribute as a person writes it: a text that could be read as something else stands in quotes."""
    if isinstance(value, str) and value.strip() == value and _attribute(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)


def _attribute(text: str) -> Any:
    """What a person's text means: JSON where it is JSON, else the text itself."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def _no_constant(word: str) -> Any:
    raise ValueError(word)


def lines(given: Mapping[str, str]) -> list[tuple[str, str]]:
    """The attributes among the texts as (name, value), with empty ones at the end for more."""
    found = [(name.removeprefix("attributes."), text) for name, text in given.items() if name.startswith("attributes.")]
    return [*found, *[("", "")] * _SPARE]


def given(form: Any) -> tuple[dict[str, str], list[Problem]]:
    """The texts that came back in a form (`getlist` has the attributes' names and values, line by line)."""
    found = {name: form.get(name, "").strip() for name in (*(field.name for field in FIELDS), "tags")}
    problems = []
    pairs = zip(form.getlist("attribute-name"), form.getlist("attribute-value"), strict=False)
    for name, value in [(name.strip(), value.strip()) for name, value in pairs]:
        key = f"attributes.{name}"
        if not name and value:
            problems.append(Problem("attributes", f"the value “{value[:40]}” has no name"))
        elif key in found:
            problems.append(Problem("attributes", f"“{name}” stands there twice"))
        elif name:
            found[key] = value
    return found, problems


def changes(given: Mapping[str, str], was: Mapping[str, str], tags: Sequence[str]) -> dict[str, Any]:
    """What differs from what the form was filled with, in the API's words. `tags` are those of the contact now."""
    found: dict[str, Any] = {
        field.name: given[field.name] or None for field in FIELDS if given[field.name] != was.get(field.name, "")
    }
    if given["tags"] != was.get("tags", ""):
        found["tags"] = _tags(given["tags"], was.get("tags", ""), tags)
    names = [name for name in {**was, **given} if name.startswith("attributes.")]
    attributes = {
        name.removeprefix("attributes."): _attribute(given[name]) if given.get(name) else None
        for name in names
        if given.get(name, "") != was.get(name, "")
    }
    return {**found, "attributes": attributes} if attributes else found


def _tags(text: str, was: str, now: Sequence[str]) -> list[str]:
    wanted, before = _listed(text), set(_listed(was))
    kept = [tag for tag in now if tag in wanted or tag not in before]
    return list(dict.fromkeys([*kept, *(tag for tag in wanted if tag not in before)]))


def _listed(text: str) -> list[str]:
    return [tag.strip() for tag in text.split(",") if tag.strip()]


def read_was(text: str) -> dict[str, str]:
    """What the form says it was filled with; what cannot be read counts as empty, so that all that is there is new."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return {str(name): str(one) for name, one in found.items()} if isinstance(found, dict) else {}
