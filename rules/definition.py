"""Represents a valid definition as immutable values that the engine runs.

`read` turns YAML or JSON text into a document, `rules/validation` checks it, `parse` builds a `Workflow` from it.
`parse` does not validate: on a document that was not validated it may raise anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rules.actions import ACTIONS, Action
from rules.parsing import DefinitionError, read
from rules.reconciliation import WhenUnknown
from rules.retries import MAX_RETRIES
from rules.schedule import DAYS, ActiveHours, parse_duration, parse_time_of_day
from rules.stages import Queue

__all__ = [
    "ACTIONS",
    "Action",
    "DefinitionError",
    "FollowUps",
    "FrequencyCap",
    "Rules",
    "Step",
    "Variant",
    "Workflow",
    "WorkflowTrigger",
    "parse",
    "read",
]

#: The event of a contact's reply, for `wait_until`.
REPLIED = "contact.replied"


@dataclass(frozen=True, slots=True)
class WorkflowTrigger:
    """The trigger of a workflow: its type, a condition on contact and payload, and the type's own fields."""

    type: str
    where: str | None = None
    with_: Mapping[str, Any] = field(default_factory=dict)

    @property
    def posts(self) -> tuple[str, ...]:
        """The posts whose comments start it; empty for all."""
        return _read_texts(self.with_.get("posts"))

    @property
    def keywords(self) -> tuple[str, ...]:
        """The keywords of which a text must contain one; empty for any text."""
        return _read_texts(self.with_.get("keywords"))

    @property
    def cooldown_seconds(self) -> float:
        """Seconds after a reply in which the contact gets no second one; 0 without a cooldown."""
        return parse_duration(self.with_["cooldown"]) if self.with_.get("cooldown") else 0.0


@dataclass(frozen=True, slots=True)
class FrequencyCap:
    """At most `max` messages to a contact across all automations in any window of `per_seconds`."""

    max: int
    per_seconds: float


@dataclass(frozen=True, slots=True)
class FollowUps:
    """How many follow-ups a contact without a reply gets, and the interval between them."""

    max: int = 0
    every_seconds: float = 86_400.0


@dataclass(frozen=True, slots=True)
class Rules:
    """Whom an automation may message, how often and when. None and empty mean no rule."""

    tags_all: tuple[str, ...] = ()
    tags_any: tuple[str, ...] = ()
    tags_none: tuple[str, ...] = ()
    daily_limit: int | None = None
    contact_daily_limit: int | None = None
    active_hours: ActiveHours | None = None
    outside_hours: str = "skip"
    where: str | None = None
    frequency_cap: FrequencyCap | None = None
    reentry: str = "always"
    follow_ups: FollowUps = FollowUps()


@dataclass(frozen=True, slots=True)
class Variant:
    """One variant of a split, taken in proportion to its weight."""

    name: str
    weight: int
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One node of a workflow. `then` and `otherwise` belong to branch and wait_until, `variants` to split."""

    id: str
    action: str
    with_: Mapping[str, Any] = field(default_factory=dict)
    condition: str | None = None
    then: tuple[Step, ...] = ()
    otherwise: tuple[Step, ...] = ()
    variants: tuple[Variant, ...] = ()
    retry_max: int = MAX_RETRIES
    #: None takes the workspace's policy.
    on_unknown: WhenUnknown | None = None
    send_at: str | None = None
    review: bool = False
    #: Whether the clicks on its links are counted.
    track_clicks: bool = False

    @property
    def queue(self) -> Queue | None:
        """The queue of its outside call: `generation`, `sending`, or None without an outside call."""
        return ACTIONS[self.action].queue

    @property
    def channel(self) -> str | None:
        """The channel on which it sends to the contact, or None if it does not."""
        if self.action == "send_message":
            return str(self.with_["channel"])
        if self.action == "reply_comment":
            return str(self.with_.get("channel") or "instagram")
        return ACTIONS[self.action].channel

    @property
    def message_kind(self) -> str | None:
        """How it reaches the contact: `message`, `private_reply` or `comment_reply`; None if it does not.

        Stored in the message's `detail`, and served by the API, as `way`.
        """
        if self.action == "reply_comment":
            return "comment_reply"
        if self.action == "send_message":
            return str(self.with_.get("as") or "message")
        return "message" if self.channel else None


@dataclass(frozen=True, slots=True)
class Workflow:
    """An automation's trigger, rules and steps."""

    trigger: WorkflowTrigger
    rules: Rules
    steps: tuple[Step, ...]
    #: Whether its e-mail is about what the recipient ordered or asked for, and so ignores that they unsubscribed.
    transactional: bool = False
    #: What its e-mail is about, which recipients may allow and refuse.
    topic: str | None = None


def parse(document: Mapping[str, Any]) -> Workflow:
    """Build the workflow of a valid document."""
    trigger = document["trigger"]
    return Workflow(
        trigger=WorkflowTrigger(trigger["type"], trigger.get("where"), dict(trigger.get("with") or {})),
        rules=_parse_rules(document.get("rules") or {}),
        steps=_parse_steps(document["steps"], "facebook" if trigger["type"].startswith("facebook.") else "instagram"),
        transactional=document.get("transactional", False),
        topic=document.get("topic"),
    )


def _read_texts(value: object) -> tuple[str, ...]:
    return tuple(str(item).strip() for item in value) if isinstance(value, list | tuple) else ()


def _parse_rules(document: Mapping[str, Any]) -> Rules:
    tags = document.get("tags") or {}
    cap = document.get("frequency_cap")
    follow_ups = document.get("follow_ups")
    hours = document.get("active_hours")
    return Rules(
        tags_all=tuple(tags.get("all", ())),
        tags_any=tuple(tags.get("any", ())),
        tags_none=tuple(tags.get("none", ())),
        daily_limit=document.get("daily_limit"),
        contact_daily_limit=document.get("contact_daily_limit"),
        active_hours=_parse_active_hours(hours) if hours else None,
        outside_hours=document.get("outside_hours", "skip"),
        where=document.get("where"),
        frequency_cap=FrequencyCap(cap["max"], parse_duration(cap["per"])) if cap else None,
        reentry=document.get("reentry", "always"),
        follow_ups=FollowUps(follow_ups["max"], parse_duration(follow_ups.get("every", "24h")))
        if follow_ups
        else FollowUps(),
    )


def _parse_active_hours(document: Mapping[str, Any]) -> ActiveHours:
    return ActiveHours(
        start=parse_time_of_day(document["start"]),
        end=parse_time_of_day(document["end"]),
        days=frozenset(DAYS.index(day) for day in document.get("days", DAYS)),
        timezone=document.get("timezone", "contact"),
    )


#: Fields with an attribute of their own in `Step`, whether under `with` or beside `action`.
_MOVED_FIELDS = ("then", "else", "variants", "send_at", "review", "track_clicks")


def _parse_steps(documents: list[Mapping[str, Any]], default_channel: str) -> tuple[Step, ...]:
    """`default_channel` is the channel of the trigger's comments."""
    return tuple(_parse_step(document, default_channel) for document in documents)


def _parse_step(document: Mapping[str, Any], default_channel: str) -> Step:
    with_ = dict(document.get("with") or {})
    if document["action"] == "reply_comment":
        with_.setdefault("channel", default_channel)
    fields = {
        name: with_.pop(name)
        for name in _MOVED_FIELDS
        if name in with_ and name in ACTIONS[document["action"]].step_fields
    }
    fields = {**fields, **document}
    return Step(
        id=document["id"],
        action=document["action"],
        with_=with_,
        condition=fields.get("if"),
        then=_parse_steps(fields.get("then") or [], default_channel),
        otherwise=_parse_steps(fields.get("else") or [], default_channel),
        variants=tuple(
            Variant(variant["name"], variant.get("weight", 1), _parse_steps(variant["steps"], default_channel))
            for variant in fields.get("variants") or []
        ),
        retry_max=fields.get("retry", {}).get("max", MAX_RETRIES),
        on_unknown=fields.get("on_unknown"),
        send_at=fields.get("send_at"),
        review=fields.get("review", False),
        track_clicks=fields.get("track_clicks", False),
    )
