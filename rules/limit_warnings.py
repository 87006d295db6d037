"""Warns of rules that let nobody through, or that have no effect: limits, tags, active hours and follow-ups."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parseaddr
from typing import Any

from rules import conditions
from rules.channels import CHANNELS, CONVERSATION_CHANNELS
from rules.definition import Rules, parse
from rules.definition_warnings import DefinitionWarning, Fix, build_change, build_removal, warn
from rules.direct_messages import WINDOW
from rules.schedule import find_next_tick, is_open
from rules.step_walk import Visit, Walk

_WINDOW_SECONDS = WINDOW.total_seconds()
#: Ticks of a schedule that are compared with the active hours: a year of weekly ones.
_TICKS = 60
_START = datetime(2026, 1, 1, tzinfo=UTC)
_NO_REPLY = re.compile(r"(do)?[._-]?no?t?[._-]?reply", re.IGNORECASE)


def list_limit_warnings(document: Mapping[str, Any], walk: Walk) -> Iterator[DefinitionWarning]:
    """Yield the warnings of the rules of a valid definition of a workflow."""
    rules = parse(document).rules
    yield from _check_limits(rules)
    yield from _check_tags(rules)
    yield from _check_hours(document, rules)
    yield from _check_follow_ups(rules, walk)
    yield from _check_conditions(document)


def _check_limits(rules: Rules) -> Iterator[DefinitionWarning]:
    limits = (
        ("daily_limit", rules.daily_limit, "the automation sends nothing"),
        ("contact_daily_limit", rules.contact_daily_limit, "no contact gets a message"),
    )
    for name, limit, effect in limits:
        if limit == 0:
            yield _warn_of_rule(name, f"The limit is 0 a day: {effect}.", "Remove the limit")
    if rules.frequency_cap is not None and rules.frequency_cap.max == 0:
        yield _warn_of_rule(
            "frequency_cap", "The cap is 0 messages: no contact gets a message.", "Remove the frequency cap"
        )
    if rules.daily_limit and rules.contact_daily_limit and rules.contact_daily_limit > rules.daily_limit:
        yield _warn_of_rule(
            "contact_daily_limit",
            f"The limit of {rules.contact_daily_limit} a day for a contact is never reached: the whole automation stops"
            f" at {rules.daily_limit}.",
            "Remove the limit for a contact",
        )


def _warn_of_rule(name: str, message: str, title: str) -> DefinitionWarning:
    return warn(f"rules.{name}", message, build_removal(title, "rules", name))


def _check_tags(rules: Rules) -> Iterator[DefinitionWarning]:
    for tag in dict.fromkeys(rules.tags_all):
        if tag in rules.tags_none:
            yield warn(
                "rules.tags.none",
                f'A contact must have the tag "{tag}" and must not have it: nobody matches.',
                _fix_tags(rules.tags_none, tag),
            )
    if rules.tags_any and set(rules.tags_any) <= set(rules.tags_none):
        yield warn(
            "rules.tags.any",
            "A contact must have one of these tags, and each of them is excluded: nobody matches.",
            build_removal("Remove the tags of which one is needed", "rules", "tags", "any"),
        )


def _fix_tags(none: tuple[str, ...], tag: str) -> Fix:
    rest = [name for name in none if name != tag]
    title = f"Stop excluding {tag}"
    if rest:
        return build_change(title, rest, "rules", "tags", "none")
    return build_removal(title, "rules", "tags", "none")


def _check_hours(document: Mapping[str, Any], rules: Rules) -> Iterator[DefinitionWarning]:
    """Yield a warning if a schedule only ticks outside the active hours; only where both have the same time zone."""
    trigger, hours = document["trigger"], rules.active_hours
    if hours is None or trigger["type"] != "schedule" or rules.outside_hours != "skip":
        return
    zone = trigger["with"].get("timezone", "workspace")
    if hours.timezone != zone:
        return
    zone, at = "UTC" if zone == "workspace" else zone, _START
    for _ in range(_TICKS):
        at = find_next_tick(trigger["with"]["cron"], zone, at)
        if is_open(hours, zone, at):
            return
    yield warn(
        "rules.active_hours",
        "The schedule never starts within the active hours, so every contact is skipped.",
        build_change("Wait until the active hours begin", "wait", "rules", "outside_hours"),
    )


def _check_follow_ups(rules: Rules, walk: Walk) -> Iterator[DefinitionWarning]:
    if not rules.follow_ups.max:
        return
    sends = walk.end.last_sends if walk.end else frozenset()
    if not sends:
        because = "no step sends a message that can be repeated" if walk.end else "every path ends with stop"
        yield _warn_of_rule("follow_ups", f"No follow-up is ever sent: {because}.", "Remove the follow-ups")
        return
    visits = [visit for visit in walk.visits if visit.path in sends]
    for channel in CONVERSATION_CHANNELS:
        if any(visit.fields.get("channel") == channel for visit in visits):
            yield from _check_follow_up_window(rules, walk, channel)
    for visit in visits:
        yield from _check_answerable(visit)


def _check_follow_up_window(rules: Rules, walk: Walk, channel: str) -> Iterator[DefinitionWarning]:
    """A reply ends the follow-ups, so the window that is open at the end of the steps is the only one."""
    assert walk.end is not None
    silence, every = walk.end.silence[channel].shortest, rules.follow_ups.every_seconds
    label, count = CHANNELS[channel].label, rules.follow_ups.max
    if silence + count * every < _WINDOW_SECONDS:
        return
    if math.isinf(silence):
        message = (
            f"No follow-up can be sent: {label} accepts none before the contact has written, and a reply ends the "
            "follow-ups."
        )
        yield _warn_of_rule("follow_ups", message, "Remove the follow-ups")
        return
    number = next(number for number in range(1, count + 1) if silence + number * every >= _WINDOW_SECONDS)
    yield warn(
        "rules.follow_ups",
        f"{label} accepts messages within 24 hours of the contact's last one. Follow-up {number} of {count} comes "
        "later, so it is never sent.",
        _fix_follow_ups(_WINDOW_SECONDS - silence, count),
    )


def _fix_follow_ups(seconds: float, count: int) -> Fix:
    """Spread the follow-ups over the time that is left, an hour before its end."""
    hours = int((seconds - 3_600) // 3_600) // count
    if hours >= 1:
        return build_change(f"Follow up every {hours} h", f"{hours}h", "rules", "follow_ups", "every")
    minutes = int((seconds - 60) // 60) // count
    if minutes >= 1:
        return build_change(f"Follow up every {minutes} min", f"{minutes}m", "rules", "follow_ups", "every")
    return build_removal("Remove the follow-ups", "rules", "follow_ups")


def _check_answerable(visit: Visit) -> Iterator[DefinitionWarning]:
    """Yield a warning for an e-mail whose answers go to an address that nobody reads."""
    if visit.action != "send_email":
        return
    for name in ("reply_to", "from"):
        address = visit.fields.get(name)
        if address is None:
            continue
        if _NO_REPLY.fullmatch(parseaddr(address)[1].partition("@")[0]):
            yield warn(
                visit.name_path("with", name),
                "Answers to this address do not arrive, so no reply can stop the follow-ups.",
                build_removal("Use the workspace's address", *visit.path, "with", name),
            )
        return


def _check_conditions(document: Mapping[str, Any]) -> Iterator[DefinitionWarning]:
    """Yield a warning for a condition without variables: it is the same for everybody."""
    places = (("trigger", "where"), ("trigger", "with", "contacts"), ("rules", "where"))
    for path in places:
        value: Any = document
        for name in path:
            value = (value or {}).get(name)
        if isinstance(value, str) and conditions.is_constant(value):
            effect = "it has no effect" if conditions.evaluate(value, {}) else "nobody matches"
            yield warn(
                ".".join(path),
                f"The condition has the same result for every contact: {effect}.",
                build_removal("Remove the condition", *path),
            )
