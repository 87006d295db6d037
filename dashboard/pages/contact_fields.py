"""Converts a contact's fields to form texts, and a submitted form to changes. Pure.

A form carries the texts that it was filled with. Only fields that differ from them are changes, so values that a
trigger wrote in the meantime stay.
"""

from __future__ import annotations

import json  # its hook: `NaN` is a text
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rules.json_text import format_json, load_json
from rules.problems import Problem


@dataclass(frozen=True)
class Field:
    """One field of the form: the API's name, the column, the label and the input type."""

    name: str
    column: str
    label: str
    kind: str = "text"
    hint: str = ""


FIELDS = (
    Field("firstName", "first_name", "First name"),
    Field("lastName", "last_name", "Last name"),
    Field("email", "email", "E-mail", "email"),
    Field("phone", "phone", "Phone", "tel", "With country code: +15550100"),
    Field("instagramId", "instagram_id", "Instagram id"),
    Field("facebookId", "facebook_id", "Messenger id"),
    Field("username", "username", "Username"),
    Field("externalId", "external_id", "External id", "text", "The contact's id in your own system"),
    Field("timezone", "timezone", "Time zone", "text", "Example: Europe/Rome. Default: the workspace's time zone"),
)
#: Empty lines for new attributes.
_EMPTY_LINES = 2
#: Maximum characters of the original texts: a contact, with 16 KiB of attributes, has half as many.
_MAX_ORIGINALS_LENGTH = 64 * 1024


def build_texts(contact: Mapping[str, Any] | None) -> dict[str, str]:
    """A contact as form texts by field name; empty texts for None."""
    values = contact or {}
    plain = {field.name: values.get(field.column) or "" for field in FIELDS}
    attributes = {
        f"attributes.{name}": format_attribute(value) for name, value in (values.get("attributes") or {}).items()
    }
    return {**plain, "tags": ", ".join(values.get("tags") or []), **attributes}


def format_attribute(value: Any) -> str:
    """An attribute as form text; a string that would parse as another type is quoted."""
    if isinstance(value, str) and value.strip() == value and _parse_attribute(value) == value:
        return value
    return format_json(value)


def _parse_attribute(text: str) -> Any:
    """The value of a form text: parsed as JSON where it is JSON, else the text itself."""
    try:
        return json.loads(text, parse_constant=_reject_constant)
    except (ValueError, RecursionError):
        return text


def _reject_constant(name: str) -> Any:
    raise ValueError(name)


def build_attribute_lines(texts: Mapping[str, str]) -> list[tuple[str, str]]:
    """The attributes among the texts as (name, value), followed by empty lines for new ones."""
    lines = [(name.removeprefix("attributes."), text) for name, text in texts.items() if name.startswith("attributes.")]
    return [*lines, *[("", "")] * _EMPTY_LINES]


def parse_form(form: Any) -> tuple[dict[str, str], list[Problem]]:
    """The texts of a submitted form (`getlist` returns the attributes' names and values, line by line)."""
    texts = {name: form.get(name, "").strip() for name in (*(field.name for field in FIELDS), "tags")}
    problems = []
    pairs = zip(form.getlist("attribute-name"), form.getlist("attribute-value"), strict=False)
    for name, value in [(name.strip(), value.strip()) for name, value in pairs]:
        key = f"attributes.{name}"
        if not name and value:
            problems.append(Problem("attributes", f"the value “{value[:40]}” has no name"))
        elif key in texts:
            problems.append(Problem("attributes", f"“{name}” is there twice"))
        elif name:
            texts[key] = value
    return texts, problems


def find_changes(texts: Mapping[str, str], originals: Mapping[str, str], tags: Sequence[str]) -> dict[str, Any]:
    """The fields that differ from the original texts, by the API's names. `tags` are the contact's current tags."""
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
    """The form's original texts; empty where they cannot be parsed, so that every field counts as changed."""
    if len(text) > _MAX_ORIGINALS_LENGTH:
        return {}
    try:
        values = load_json(text)
    except ValueError:
        return {}
    return {str(name): str(value) for name, value in values.items()} if isinstance(values, dict) else {}
