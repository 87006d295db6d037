"""The tables of the workflow language outside its steps: triggers, rules, and the shape of a step and a variant.

`rules/validation` walks a document by these, `rules/schema` and the documentation are made from them. The actions
stand in `rules/actions`, what this version cannot run yet in `rules/not_yet`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from rules import schedule
from rules.actions import ACTIONS, COMMON, EITHER_PLACE, Action, event_fault
from rules.shapes import Choice, Condition, Duration, Flag, Shape, Text, Whole
from rules.structures import ListOf, MapOf, Nested, Object

#: Sizes of a definition: steps in all, levels of steps within steps, bytes as JSON.
MOST_STEPS = 100
MOST_LEVELS = 8
MOST_BYTES = 256 * 1024

#: Every type an automation may have.
AUTOMATION_TYPES = ("workflow", "comment_to_dm", "story_reply", "dm_responder", "playbook", "ai_follow_up")

_STEP_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


def _as_fault(read: Callable[[str], object]) -> Callable[[str], str | None]:
    """What is wrong with a text, from a function that raises `ValueError` saying so."""

    def fault(text: str) -> str | None:
        try:
            read(text)
        except ValueError as error:
            return str(error)
        return None

    return fault


def step_id_fault(name: str) -> str | None:
    """What is wrong with a step's id, or None."""
    if _STEP_ID.fullmatch(name):
        return None
    return "must be letters, digits, _ and -, beginning with a letter or _, at most 64"


def _zone_or_word(text: str) -> str | None:
    return None if text in ("contact", "workspace") else _as_fault(schedule.zone_named)(text)


_TIME = Text(
    longest=5, fault=_as_fault(schedule.time_of_day), keywords={"pattern": "^[0-2][0-9]:[0-5][0-9]$"}, name="time"
)
_ZONE = Text(longest=64, fault=_as_fault(schedule.zone_named), name="time zone")
_CRON = Text(longest=200, fault=_as_fault(schedule.cron_is_due), name="cron line")
_TAGS = ListOf(Text(longest=64))
_KEYWORDS = ListOf(Text(longest=100))
_LIMIT = Whole(0)

RULES = Object(
    {
        "tags": Object({"all": _TAGS, "any": _TAGS, "none": _TAGS}),
        "daily_limit": _LIMIT,
        "contact_daily_limit": _LIMIT,
        "active_hours": Object(
            {
                "start": _TIME,
                "end": _TIME,
                "days": ListOf(Choice("day", schedule.DAYS), most=7, least=1),
                "timezone": Text(longest=64, fault=_zone_or_word, name="`contact`, `workspace` or time zone"),
            },
            required=frozenset({"start", "end"}),
        ),
        "outside_hours": Choice("outside_hours", ("skip", "wait")),
        "where": Condition(),
        "frequency_cap": Object({"max": _LIMIT, "per": Duration()}, required=frozenset({"max", "per"})),
        "reentry": Choice("reentry", ("always", "after_finish", "once")),
        "follow_ups": Object({"max": Whole(0, 20), "every": Duration()}, required=frozenset({"max"})),
    }
)


@dataclass(frozen=True, slots=True)
class TriggerType:
    """One type of trigger with the fields of its `with`."""

    name: str
    purpose: str
    fields: Mapping[str, Shape] = field(default_factory=dict)
    required: frozenset[str] = frozenset()


#: Trigger types by name; any other name of an event is a trigger too, and has no `with`.
TRIGGERS: dict[str, TriggerType] = {
    one.name: one
    for one in (
        TriggerType(
            "schedule",
            "At the times of a cron line, for every contact the condition chooses.",
            {"cron": _CRON, "timezone": _ZONE, "contacts": Condition()},
            frozenset({"cron"}),
        ),
        TriggerType(
            "contact.inactive",
            "When a contact had no event for a number of days.",
            {"days": Whole(1, 365), "contacts": Condition()},
            frozenset({"days"}),
        ),
        TriggerType("hook", "A call of the automation's secret URL."),
        TriggerType("manual", "The Test Trigger button or the command line."),
        *(
            TriggerType(name, "A comment.", {"posts": ListOf(Text(longest=100)), "keywords": _KEYWORDS})
            for name in ("instagram.comment", "facebook.comment")
        ),
        TriggerType("instagram.story_reply", "A reply to a story.", {"keywords": _KEYWORDS}),
        *(
            TriggerType(name, "A message.", {"keywords": _KEYWORDS, "default": Flag(), "cooldown": Duration()})
            for name in ("instagram.message", "facebook.message")
        ),
        TriggerType(
            "page",
            "A visit to a page, in the visitor's browser.",
            {
                "url": Text(longest=2000),
                "device": ListOf(Choice("device", ("desktop", "mobile", "tablet")), most=3),
                "utm": MapOf(Text(longest=200)),
                "scroll_depth": Whole(0, 100),
                "time_on_page": Duration(),
                "exit_intent": Flag(),
                "returning": Flag(),
            },
        ),
    )
}

#: Automation types that are started in one way, with the triggers that fit them.
TRIGGERS_OF_TYPE: dict[str, tuple[str, ...]] = {
    "comment_to_dm": ("instagram.comment", "facebook.comment"),
    "story_reply": ("instagram.story_reply",),
    "dm_responder": ("instagram.message", "facebook.message"),
}

#: Names that begin like this are no free events.
RESERVED_FAMILIES = ("instagram.", "facebook.")

TRIGGER_FIELDS: dict[str, Shape] = {
    "type": Text(longest=100, fault=event_fault),
    "where": Condition(),
    "with": Object({}),
}

DOCUMENT = Object(
    {"trigger": Object(TRIGGER_FIELDS), "rules": RULES, "steps": Nested("steps")},
    required=frozenset({"trigger", "steps"}),
)

VARIANT = Object(
    {"name": Text(longest=64, fault=step_id_fault), "weight": Whole(1, 1_000_000), "steps": Nested("steps")},
    required=frozenset({"name", "steps"}),
)


def trigger_shape(type_: str) -> Object:
    """The shape of a trigger of this type."""
    known = TRIGGERS.get(type_) or TriggerType(type_, "")
    required = frozenset({"type", "with"}) if known.required else frozenset({"type"})
    return Object({**TRIGGER_FIELDS, "with": Object(known.fields, known.required)}, required)


def step_shape(action: Action, within: Collection[str] = ()) -> Object:
    """The shape of a step with this action; `within` is its `with`, whose moved fields are not asked for twice."""
    moved = {name: shape for name, shape in action.beside.items() if name in EITHER_PLACE}
    with_ = Object({**action.fields, **moved}, action.required, action.needs_one_field)
    required = {"id", "action"} | (action.required_beside - (set(within) & set(moved)))
    if action.required or action.needs_one_field:
        required.add("with")
    return Object({**COMMON, **action.beside, "id": _ID, "with": with_}, frozenset(required))


_ID = Text(longest=64, fault=step_id_fault, keywords={"pattern": f"^{_STEP_ID.pattern}$"})

#: The names of all actions, for the nearest one when a name is unknown.
ACTION_NAMES = tuple(ACTIONS)
