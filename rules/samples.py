"""Invents what a test needs: sample contacts, and the sample event that would have started an automation.

Both are deterministic. A sample contact has an address on every channel; none of the addresses exists. Its tags and
attributes fit the automation's rules, and the event fits its trigger, so that a test shows the messages. An operator
may edit the event before the test starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from rules import sample_values
from rules.definition import parse
from rules.problems import Problem, describe_type, join_path
from rules.schedule import is_open
from rules.variable_uses import VariableUse, list_in_condition, list_in_template

#: Maximum number of sample contacts in one test.
MAX_CONTACTS = 100

_FIRST_NAMES = ("Ada", "Ben", "Carla", "Dev", "Elif", "Farid", "Grace", "Hugo", "Ines", "Jonas")
_LAST_NAMES = ("Byron", "Okafor", "Rossi", "Tanaka", "Moreau", "Novak", "Silva", "Haddad", "Larsen", "Weber")
#: The text of a sample comment or message without keywords.
_TEXT = "Hello, is this still available?"
#: The fields of a contact that are invented to fit a condition; each of the others identifies one person.
_NAMES = ("first_name", "last_name")
#: One zone for each hour of the day.
_ZONES = ("UTC", *(f"Etc/GMT{offset:+d}" for offset in range(-12, 12)))
#: How long a test takes at most until its rules are checked.
_TEST_TIME = timedelta(minutes=10)
#: The path of the variables of an event.
_ROOT = "payload"


def build_contacts(
    count: int, definition: Mapping[str, Any], series: int | None = None, now: datetime | None = None
) -> list[dict[str, Any]]:
    """Return `count` sample contacts by column, at most `MAX_CONTACTS`, with the tags and attributes that the
    definition's rules and texts name and, with `now`, a time zone in which its active hours are open.

    `series` (less than 10**8) sets contacts apart from those of another series; None is the workspace's own.
    """
    fitting_fields = _build_fitting_fields(definition)
    if now is not None:
        fitting_fields["timezone"] = _find_open_zone(definition, now)
    uses = _list_contact_uses(definition)
    names = [VariableUse(use.path[1:], use.operator, use.operand) for use in uses if use.path[1] in _NAMES]
    contacts = [_build_contact(number, series) for number in range(1, min(count, MAX_CONTACTS) + 1)]
    return [sample_values.fill(contact, names) | fitting_fields for contact in contacts]


def _build_contact(number: int, series: int | None) -> dict[str, Any]:
    first, last = _FIRST_NAMES[(number - 1) % 10], _LAST_NAMES[((number - 1) // 10 + (number - 1)) % 10]
    name = f"{first}.{last}".lower() + ("" if series is None else f".{series}")
    digits = f"0190{number:04d}" if series is None else f"{series:08d}{number:03d}"
    return {
        "external_id": f"sample-contact-{'' if series is None else f'{series}-'}{number}",
        "first_name": first,
        "last_name": last,
        "username": name.replace(".", "_"),
        "email": f"{name}@sample.example",
        "phone": f"+1555{digits}",
        "facebook_id": f"9990{digits:>012}",
        "instagram_id": f"9991{digits:>012}",
    }


def _build_fitting_fields(definition: Mapping[str, Any]) -> dict[str, Any]:
    uses = _list_contact_uses(definition)
    attributes = [_shorten(use, 2) for use in uses if use.path[1] == "attributes" and len(use.path) > 2]
    tag_rules = (definition.get("rules") or {}).get("tags") or {}
    named = [*(tag_rules.get("all") or ()), *(tag_rules.get("any") or ())[:1]]
    named += [use.operand for use in uses if use.path[1] == "tags" and use.operator == "contains"]
    tags = [str(tag) for tag in dict.fromkeys(["sample", *named]) if tag not in (tag_rules.get("none") or ())]
    return {"tags": tags, "attributes": sample_values.fill({}, attributes)}


def _list_contact_uses(definition: Mapping[str, Any]) -> list[VariableUse]:
    return [use for use in _list_uses(definition) if use.path[0] == "contact" and len(use.path) > 1]


def _find_open_zone(definition: Mapping[str, Any], now: datetime) -> str | None:
    """Return a zone in which the contact's active hours are open for the next minutes; None if none is needed."""
    hours = parse(definition).rules.active_hours
    if hours is None or hours.timezone != "contact":
        return None
    ahead = (now, now + _TEST_TIME)
    return next((zone for zone in _ZONES if all(is_open(hours, zone, at) for at in ahead)), None)


def build_payload(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return the payload of a sample event that the definition's trigger accepts and its conditions allow.

    It has what an event of the trigger's type has, and a value for each variable of `payload` that a condition or a
    text of the definition names.
    """
    uses = [_shorten(use, 1) for use in _list_uses(definition) if use.path[0] == _ROOT and len(use.path) > 1]
    return sample_values.fill(_build_event(definition["trigger"]), uses)


def _build_event(trigger: Mapping[str, Any]) -> dict[str, Any]:
    type_, with_ = str(trigger["type"]), trigger.get("with") or {}
    keywords = with_.get("keywords") or ()
    text = f"I would like to know more: {keywords[0]}" if keywords else _TEXT
    if type_.endswith(".comment") and type_.startswith(("instagram.", "facebook.")):
        return {"comment": _build_comment(text, with_.get("posts") or ())}
    if type_ in ("instagram.message", "facebook.message", "instagram.story_reply"):
        story = {"story": {"id": "sample-story", "url": None}} if type_.endswith("story_reply") else {}
        return {"message": {"id": "sample-message", "text": text, "payload": None, "attachments": []}, **story}
    return {}


def _build_comment(text: str, posts: Any) -> dict[str, Any]:
    return {
        "id": "sample-comment",
        "text": text,
        "media_id": str(posts[0]) if posts else "sample-post",
        "parent_id": None,
        "from": {"id": "9991000190001", "username": "ada_byron"},
        "live": False,
    }


def find_payload_problems(definition: Mapping[str, Any], payload: Mapping[str, Any]) -> list[Problem]:
    """Return the fields of an edited payload whose types are not those of an event of the definition's trigger."""
    return list(_iter_problems(_build_event(definition["trigger"]), payload, ""))


def _iter_problems(sample: Mapping[str, Any], payload: Mapping[str, Any], path: str) -> Iterator[Problem]:
    for name, expected in sample.items():
        field, value = join_path(path, name), payload.get(name)
        if name in ("comment", "message", "id", "text") and value is None:
            yield Problem(field, "is required")
        elif value is None or expected is None:
            continue
        elif type(value) is not type(expected):
            yield Problem(field, f"must be {describe_type(expected)}, not {describe_type(value)}")
        elif isinstance(expected, Mapping):
            yield from _iter_problems(expected, value, field)


def _shorten(use: VariableUse, segments: int) -> VariableUse:
    return VariableUse(use.path[segments:], use.operator, use.operand)


def _list_uses(definition: Mapping[str, Any]) -> list[VariableUse]:
    """Return every use of a variable in the definition."""
    conditions = [(definition.get(part) or {}).get("where") for part in ("trigger", "rules")]
    uses = [use for source in conditions if isinstance(source, str) for use in list_in_condition(source)]
    for step in iter_steps(definition.get("steps")):
        if isinstance(step.get("if"), str):
            uses += list_in_condition(step["if"])
        own = {name: part for name, part in step.items() if name not in _ARMS and name != "if"}
        own["with"] = {name: part for name, part in (step.get("with") or {}).items() if name not in _ARMS}
        uses += [use for text in _iter_texts(own) for use in list_in_template(text)]
    return uses


#: The fields of a step that hold other steps.
_ARMS = ("then", "else", "variants")


def iter_steps(steps: object) -> Iterator[Mapping[str, Any]]:
    """Yield every step of a document's list, each before the steps within it."""
    for step in steps if isinstance(steps, list) else []:
        yield step
        fields = {**(step.get("with") or {}), **step}
        for name in ("then", "else"):
            yield from iter_steps(fields.get(name))
        for variant in fields.get("variants") or []:
            yield from iter_steps(variant.get("steps"))


def _iter_texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _iter_texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _iter_texts(item)
