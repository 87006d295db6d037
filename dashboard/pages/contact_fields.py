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
_EMPTY_LINES = 2


def build_texts(contact: Mapping[str, Any] | None) -> dict[str, str]:
    """A contact as the form's texts, by field; a new contact has none."""
    values = contact or {}
    plain = {field.name: values.get(field.column) or "" for field in FIELDS}
    attributes = {
        f"attributes.{name}": format_attribute(value) for name, value in (values.get("attributes") or {}).items()
    }
    return {**plain, "tags": ", ".join(values.get("tags") or []), **attributes}


def format_attribute(value: Any) -> str:
    """An attribute as a person writes it: a text that could be read as something else stands in quotes."""
    if isinstance(value, str) and value.strip() == value and _parse_attribute(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)


def _parse_attribute(text: str) -> Any:
    """What a person's text means: JSON where it is JSON, else the text itself."""
    try:
        return json.loads(text, parse_constant=_reject_constant)
    except (ValueError, RecursionError):
        return text


def _reject_constant(word: str) -> Any:
    raise ValueError(word)


def build_attribute_lines(texts: Mapping[str, str]) -> list[tuple[str, str]]:
    """The attributes among the texts as (name, value), with empty ones at the end for more."""
    lines = [(name.removeprefix("attributes."), text) for name, text in texts.items() if name.startswith("attributes.")]
    return [*lines, *[("", "")] * _EMPTY_LINES]


def parse_form(form: Any) -> tuple[dict[str, str], list[Problem]]:
    """The texts that came back in a form (`getlist` has the attributes' names and values, line by line)."""
    texts = {name: form.get(name, "").strip() for name in (*(field.name for field in FIELDS), "tags")}
    problems = []
    pairs = zip(form.getlist("attribute-name"), form.getlist("attribute-value"), strict=False)
    for name, value in [(name.strip(), value.strip()) for name, value in pairs]:
        key = f"attributes.{name}"
        if not name and value:
            problems.append(Problem("attributes", f"the value “{value[:40]}” has no name"))
        elif key in texts:
            problems.append(Problem("attributes", f"“{name}” stands there twice"))
        elif name:
            texts[key] = value
    return texts, problems


def find_changes(texts: Mapping[str, str], originals: Mapping[str, str], tags: Sequence[str]) -> dict[str, Any]:
    """What differs from what the form was filled with, in the API's words. `tags` are those of the contact now."""
    changes: dict[str, Any] = {
        field.name: texts[field.name] or None for field in FIELDS if texts[field.name] != originals.get(field.name, "")
    }
    if texts["tags"] != originals.get("tags", ""):
        changes["tags"] = _merge_tags(texts["tags"], originals.get("tags", ""), tags)
    names = [name for name in {**originals, **texts} if name.startswith("attributes.")]
    attributes = {
        name.removeprefix("attributes."): _parse_attribute(texts[name]) if texts.get(name) else None
        for name in names
        if texts.get(name, "") != originals.get(name, "")
    }
    return {**changes, "attributes": attributes} if attributes else changes


def _merge_tags(text: str, original: str, current: Sequence[str]) -> list[str]:
    tags, original_tags = _split_tags(text), set(_split_tags(original))
    kept = [tag for tag in current if tag in tags or tag not in original_tags]
    return list(dict.fromkeys([*kept, *(tag for tag in tags if tag not in original_tags)]))


def _split_tags(text: str) -> list[str]:
    return [tag.strip() for tag in text.split(",") if tag.strip()]


def parse_originals(text: str) -> dict[str, str]:
    """What the form says it was filled with; what cannot be read counts as empty, so that all that is there is new."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return {str(name): str(value) for name, value in values.items()} if isinstance(values, dict) else {}
