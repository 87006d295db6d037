"""Defines the workflow language outside the actions: triggers, rules, and the objects of a step and a variant.

`rules/validation` checks documents by these tables; `rules/schema` and the documentation are built from them. Actions
are in `rules/actions`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from rules import schedule
from rules.actions import COMMON, MOVABLE_FIELDS, PLAYBOOK_ACTIONS, WORKFLOW_ACTIONS, Action, check_event_name
from rules.containers import ListOf, Nested, Object
from rules.field_types import Boolean, Choice, Condition, Duration, FieldType, Integer, Text
from rules.playbook_values import check_line, check_page_pattern
from rules.unsubscribe_links import MAX_TOPIC_LENGTH

#: Limits of a definition: total steps, levels of nested steps, bytes as JSON.
MAX_STEPS = 100
MAX_LEVELS = 8
MAX_BYTES = 256 * 1024

AutomationType = Literal["workflow", "comment_to_dm", "story_reply", "dm_responder", "playbook", "ai_follow_up"]
#: Every type an automation may have.
AUTOMATION_TYPES: tuple[AutomationType, ...] = get_args(AutomationType)

_STEP_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


def _to_validator(read: Callable[[str], object]) -> Callable[[str], str | None]:
    """Turn a function that raises `ValueError` into a validator that returns its message."""

    def check(text: str) -> str | None:
        try:
            read(text)
        except ValueError as error:
            return str(error)
        return None

    return check


def check_step_id(name: str) -> str | None:
    """Return why this cannot be a step's id, or None."""
    if _STEP_ID.fullmatch(name):
        return None
    return "must have at most 64 letters, digits, _ and -, and begin with a letter or _"


def _check_zone(text: str) -> str | None:
    return None if text in ("contact", "workspace") else _to_validator(schedule.find_zone)(text)


_TIME = Text(
    max_length=5,
    validator=_to_validator(schedule.parse_time_of_day),
    keywords={"pattern": "^[0-2][0-9]:[0-5][0-9]$"},
    name="time",
)
_ZONE = Text(max_length=64, validator=_to_validator(schedule.find_zone), name="time zone")
_CRON = Text(max_length=200, validator=_to_validator(schedule.check_cron), name="cron expression")
_TAGS = ListOf(Text(max_length=64))
_KEYWORDS = ListOf(Text(max_length=100))
_LIMIT = Integer(0)

RULES = Object(
    {
        "tags": Object({"all": _TAGS, "any": _TAGS, "none": _TAGS}),
        "daily_limit": _LIMIT,
        "contact_daily_limit": _LIMIT,
        "active_hours": Object(
            {
                "start": _TIME,
                "end": _TIME,
                "days": ListOf(Choice("day", schedule.DAYS), max_items=7, min_items=1),
                "timezone": Text(max_length=64, validator=_check_zone, name="`contact`, `workspace` or time zone"),
            },
            required=frozenset({"start", "end"}),
        ),
        "outside_hours": Choice("outside_hours", ("skip", "wait")),
        "where": Condition(),
        "frequency_cap": Object({"max": _LIMIT, "per": Duration()}, required=frozenset({"max", "per"})),
        "reentry": Choice("reentry", ("always", "after_finish", "once")),
        "follow_ups": Object({"max": Integer(0, 20), "every": Duration()}, required=frozenset({"max"})),
    }
)


#: The trigger of playbooks, and the type of automation that has it.
PAGE_TRIGGER = "page"
PLAYBOOK: AutomationType = "playbook"

_UTM = Text(max_length=200, validator=check_line)
_PAGE_EVENT = Text(max_length=100, validator=check_line)
_FREQUENCY = Object({"max": Integer(1, 1000), "per": Duration()}, required=frozenset({"max", "per"}))
#: Fields of a playbook's trigger that may also stand beside `with`, and beside `trigger`.
BESIDE_WITH: dict[str, FieldType] = {"event": _PAGE_EVENT, "frequency": _FREQUENCY}
BESIDE_TRIGGER: dict[str, FieldType] = {"frequency": _FREQUENCY}
#: Fields of a workflow beside its trigger: what its e-mail is, for those who unsubscribed.
CONSENT: dict[str, FieldType] = {
    "transactional": Boolean(),
    "topic": Text(max_length=MAX_TOPIC_LENGTH, validator=check_line),
}


@dataclass(frozen=True, slots=True)
class TriggerType:
    """One type of trigger with the fields of its `with`."""

    name: str
    purpose: str
    fields: Mapping[str, FieldType] = field(default_factory=dict)
    required: frozenset[str] = frozenset()


#: Trigger types by name. Any other event name is a trigger too, without `with`.
TRIGGERS: dict[str, TriggerType] = {
    trigger_type.name: trigger_type
    for trigger_type in (
        TriggerType(
            "schedule",
            "On a cron schedule, for every contact that matches the condition.",
            {"cron": _CRON, "timezone": _ZONE, "contacts": Condition(), "catch_up": Duration(allow_zero=True)},
            frozenset({"cron"}),
        ),
        TriggerType(
            "contact.inactive",
            "When a contact has had no event for a number of days.",
            {"days": Integer(1, 365), "contacts": Condition()},
            frozenset({"days"}),
        ),
        TriggerType("hook", "A request to the automation's secret URL."),
        TriggerType("manual", "The Test Trigger button or the command line."),
        *(
            TriggerType(name, "A comment.", {"posts": ListOf(Text(max_length=100)), "keywords": _KEYWORDS})
            for name in ("instagram.comment", "facebook.comment")
        ),
        TriggerType("instagram.story_reply", "A reply to a story.", {"keywords": _KEYWORDS}),
        *(
            TriggerType(name, "A message.", {"keywords": _KEYWORDS, "default": Boolean(), "cooldown": Duration()})
            for name in ("instagram.message", "facebook.message")
        ),
        TriggerType(
            PAGE_TRIGGER,
            "A visit to a page, in the visitor's browser, once all conditions hold.",
            {
                "url": Text(max_length=2000, validator=check_page_pattern, name="pattern of an address"),
                "device": ListOf(Choice("device", ("desktop", "mobile", "tablet")), max_items=3, min_items=1),
                "utm": Object(
                    dict.fromkeys(("source", "medium", "campaign", "term", "content"), _UTM), at_least_one=True
                ),
                "scroll_depth": Integer(0, 100),
                "time_on_page": Duration("24h"),
                "exit_intent": Boolean(),
                "returning": Boolean(),
                "event": _PAGE_EVENT,
                "frequency": _FREQUENCY,
            },
        ),
    )
}

#: The allowed triggers of automation types that restrict them.
TRIGGERS_OF_TYPE: dict[str, tuple[str, ...]] = {
    "comment_to_dm": ("instagram.comment", "facebook.comment"),
    "story_reply": ("instagram.story_reply",),
    "dm_responder": ("instagram.message", "facebook.message"),
    PLAYBOOK: (PAGE_TRIGGER,),
}

#: Event names with these prefixes are reserved.
RESERVED_FAMILIES = ("instagram.", "facebook.")

TRIGGER_FIELDS: dict[str, FieldType] = {
    "type": Text(max_length=100, validator=check_event_name),
    "where": Condition(),
    "with": Object({}),
}

#: Fields of a workflow, and of no playbook, beside `trigger`.
WORKFLOW_FIELDS: dict[str, FieldType] = {"rules": RULES, "exclusive": Boolean(), **CONSENT}

DOCUMENT = Object(
    {"trigger": Object(TRIGGER_FIELDS), **WORKFLOW_FIELDS, "steps": Nested("steps")},
    required=frozenset({"trigger", "steps"}),
)

PLAYBOOK_DOCUMENT = Object(
    {"trigger": Object(TRIGGER_FIELDS), **BESIDE_TRIGGER, "steps": Nested("steps")},
    required=frozenset({"trigger", "steps"}),
)

VARIANT = Object(
    {"name": Text(max_length=64, validator=check_step_id), "weight": Integer(1, 1_000_000), "steps": Nested("steps")},
    required=frozenset({"name", "steps"}),
)


def build_trigger_object(type_: str) -> Object:
    """Build the field type of a trigger of this type."""
    trigger_type = TRIGGERS.get(type_) or TriggerType(type_, "")
    required = frozenset({"type", "with"}) if trigger_type.required else frozenset({"type"})
    if type_ == PAGE_TRIGGER:
        fields = {"type": TRIGGER_FIELDS["type"], **BESIDE_WITH, "with": Object(trigger_type.fields)}
        return Object(fields, required)
    return Object({**TRIGGER_FIELDS, "with": Object(trigger_type.fields, trigger_type.required)}, required)


def build_step_object(action: Action, with_fields: Collection[str] = ()) -> Object:
    """Build the field type of a step with this action; movable fields in `with_fields` are not required beside it."""
    movable = {name: shape for name, shape in action.step_fields.items() if name in MOVABLE_FIELDS}
    with_ = Object({**action.fields, **movable}, action.required, action.needs_one_field)
    required = {"id", "action"} | (action.required_step_fields - (set(with_fields) & set(movable)))
    if action.required or action.needs_one_field:
        required.add("with")
    return Object({**COMMON, **action.step_fields, "id": _ID, "with": with_}, frozenset(required))


_ID = Text(max_length=64, validator=check_step_id, keywords={"pattern": f"^{_STEP_ID.pattern}$"})


def list_actions(automation_type: str) -> tuple[str, ...]:
    """Return the names of the actions that automations of this type have."""
    return PLAYBOOK_ACTIONS if automation_type == PLAYBOOK else WORKFLOW_ACTIONS


def infer_type(document: object) -> AutomationType:
    """Return the type of automation that a definition fits, where none is named."""
    trigger = document.get("trigger") if isinstance(document, Mapping) else None
    is_page = isinstance(trigger, Mapping) and trigger.get("type") == PAGE_TRIGGER
    return PLAYBOOK if is_page else "workflow"
