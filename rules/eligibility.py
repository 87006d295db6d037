"""Decides whether this contact may be messaged now: a verdict with the failed rule, its limit and the measured value.

Rules are checked in this order; the first failing rule wins:

    automation_off → loop → reentry → no_contact, suppressed, no_address, window_closed, no_comment, comment_deleted,
    comment_too_old → tags → where → frequency_cap → active_hours

Evaluated once per round. All measurements come in as `Facts`. Nothing is reserved here: the count of the frequency cap
is a first check, and the database decides between executions that race for the last reservation. The daily limits are
only checked there, after these rules (`models/engine/limits.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rules import conditions
from rules.channels import CHANNELS
from rules.definition import FrequencyCap, Rules
from rules.facts import format_time
from rules.loops import MAX_DEPTH
from rules.schedule import DAYS, ActiveHours, find_next_opening


@dataclass(frozen=True, slots=True)
class Facts:
    """The measurements of one round. A count of None was not measured because no rule needs it."""

    now: datetime
    automation_enabled: bool
    has_contact: bool = True
    #: Of the first message ahead; None if no message is sent or the channel is not known yet.
    channel: str | None = None
    #: The contact's address on that channel.
    address: str | None = None
    suppressed: bool = False
    #: Why the provider would reject that message now (`rules/direct_messages`).
    delivery_skip: Skip | None = None
    tags: tuple[str, ...] = ()
    #: The variables of `rules.where`.
    variables: Mapping[str, Any] = field(default_factory=dict)
    contact_zone: str | None = None
    workspace_zone: str = "UTC"
    #: Other executions of this contact in this automation: in flight, and in all (without test executions).
    in_flight: int | None = None
    entries: int | None = None
    #: Messages to the contact across all automations within the cap's window.
    messages_in_window: int | None = None
    #: Automatic messages that the contact's event has answered in a row; None without such an event.
    loop_depth: int | None = None


@dataclass(frozen=True, slots=True)
class Eligible:
    """Every rule passed."""


@dataclass(frozen=True, slots=True)
class Skip:
    """Do not send. `detail` is JSON with `limit`, `measured`, and `words` for an operator."""

    rule: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wait:
    """Do not send yet: evaluate again at `until`."""

    until: datetime
    rule: str
    detail: dict[str, Any]


Verdict = Eligible | Skip | Wait


def evaluate(rules: Rules, facts: Facts) -> Verdict:
    """Return the verdict on one round of one execution."""
    if not facts.automation_enabled:
        return build_skip("automation_off", True, False, "The automation is turned off")
    for _, check in _CHECKS:
        verdict = check(rules, facts)
        if verdict is not None:
            return verdict
    return Eligible()


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one rule says: whether it passes, with `limit`, `measured` and `words`; `until` if it passes later."""

    rule: str
    passed: bool
    detail: dict[str, Any]
    until: datetime | None = None


def judge(rules: Rules, facts: Facts) -> list[Judgement]:
    """Return the judgement of every rule that applies, in the order of `evaluate`, whose verdict is the first that
    does not pass."""
    enabled = facts.automation_enabled
    words = "The automation is turned on" if enabled else "The automation is turned off"
    judgements = [Judgement("automation_off", enabled, {"limit": True, "measured": enabled, "words": words})]
    for name, check in _CHECKS:
        verdict = check(rules, facts)
        if verdict is None:
            passed = _describe_passed(name, rules, facts)
            judgements += [Judgement(name, True, passed)] if passed else []
        else:
            until = verdict.until if isinstance(verdict, Wait) else None
            judgements.append(Judgement(verdict.rule, False, verdict.detail, until))
    return judgements


def _describe_passed(name: str, rules: Rules, facts: Facts) -> dict[str, Any] | None:
    """Return limit and measured value of a rule that passes; None where it does not apply."""
    if name == "reentry" and rules.reentry != "always":
        measured = facts.in_flight if rules.reentry == "after_finish" else facts.entries
        return _describe(rules.reentry, measured, "The contact may enter")
    if name == "reachability" and facts.channel:
        return _describe(facts.channel, facts.address, f"The contact can be reached on {format_channel(facts.channel)}")
    if name == "tags" and (rules.tags_all or rules.tags_any or rules.tags_none):
        limit = {"all": list(rules.tags_all), "any": list(rules.tags_any), "none": list(rules.tags_none)}
        return _describe(limit, sorted(facts.tags), "The contact's tags fit")
    if name == "where" and rules.where is not None:
        values = {
            _format_path(path): _read_value(path, facts.variables) for path in conditions.list_variables(rules.where)
        }
        return _describe(rules.where, values, f"The condition is met: {rules.where}")
    if name == "frequency_cap" and rules.frequency_cap is not None:
        cap = rules.frequency_cap
        return build_frequency_cap_skip(cap, facts.messages_in_window or 0).detail
    if name == "active_hours" and rules.active_hours is not None:
        zone = resolve_zone(rules.active_hours, facts.contact_zone, facts.workspace_zone)
        window = f"{rules.active_hours.start:%H:%M} to {rules.active_hours.end:%H:%M}"
        measured_at = {"at": format_time(facts.now), "timezone": zone}
        return _describe(window, measured_at, f"Within the active hours {window} ({zone})")
    return None


def _describe(limit: object, measured: object, words: str) -> dict[str, Any]:
    return {"limit": limit, "measured": measured, "words": words}


def build_skip(rule: str, limit: object, measured: object, message: str) -> Skip:
    """Build a `Skip` with its detail."""
    return Skip(rule, {"limit": limit, "measured": measured, "words": message})


def resolve_zone(hours: ActiveHours, contact_zone: str | None, workspace_zone: str) -> str:
    """Return the zone of the active hours: the contact's (or else the workspace's), the workspace's, or a fixed one."""
    if hours.timezone == "contact":
        return contact_zone or workspace_zone
    return workspace_zone if hours.timezone == "workspace" else hours.timezone


def check_reachability(channel: str, address: str | None, suppressed: bool) -> Skip | None:
    """Return why the contact cannot be messaged on this channel, or None. Checked again right before each send."""
    name = format_channel(channel)
    if suppressed:
        return build_skip("suppressed", channel, channel, f"The contact is suppressed on {name}")
    if not address:
        return build_skip("no_address", channel, None, f"The contact has no address for {name}")
    return None


def build_no_contact_skip(channel: str, *, is_deleted: bool = False) -> Skip:
    """Build the skip for a message to nobody, or to a contact that was deleted."""
    message = "The contact was deleted" if is_deleted else "The trigger names no contact to message"
    return build_skip("no_contact", channel, None, message)


def build_daily_limit_skip(limit: int, sent: int) -> Skip:
    """Build the skip for an automation that has reached its daily limit."""
    return build_skip("daily_limit", limit, sent, f"Daily limit: {sent} of {limit} sent today")


def build_contact_daily_limit_skip(limit: int, sent: int) -> Skip:
    """Build the skip for a contact that has reached its daily limit."""
    return build_skip("contact_daily_limit", limit, sent, f"Daily limit per contact: {sent} of {limit} sent today")


def build_frequency_cap_skip(cap: FrequencyCap, sent: int, pending: int = 0) -> Skip:
    """Build the skip for a contact that has reached the frequency cap, pending messages included."""
    count = sent + pending
    message = f"Frequency cap: {count} of {cap.max} messages in {format_duration(cap.per_seconds)}"
    if pending:
        message += f", {pending} of them pending"
    return build_skip("frequency_cap", {"max": cap.max, "per_seconds": cap.per_seconds}, count, message)


def format_channel(channel: str) -> str:
    """Return a channel's display name."""
    return CHANNELS[channel].noun


def _check_loop(_rules: Rules, facts: Facts) -> Skip | None:
    if facts.loop_depth is None or facts.loop_depth <= MAX_DEPTH:
        return None
    message = f"Loop: {facts.loop_depth} automatic messages in a row were answered within 10 minutes each"
    return build_skip("loop", MAX_DEPTH, facts.loop_depth, message)


def _check_reentry(rules: Rules, facts: Facts) -> Skip | None:
    if rules.reentry == "after_finish" and facts.in_flight:
        return build_skip("reentry", "after_finish", facts.in_flight, "The contact is still in this automation")
    if rules.reentry == "once" and facts.entries:
        return build_skip("reentry", "once", facts.entries, "The contact has been in this automation before")
    return None


def _check_reachability(_rules: Rules, facts: Facts) -> Skip | None:
    if not facts.channel:
        return None
    if not facts.has_contact:
        return build_no_contact_skip(facts.channel)
    return check_reachability(facts.channel, facts.address, facts.suppressed) or facts.delivery_skip


def _check_tags(rules: Rules, facts: Facts) -> Skip | None:
    contact_tags = set(facts.tags)
    missing = [tag for tag in rules.tags_all if tag not in contact_tags]
    excluded = [tag for tag in rules.tags_none if tag in contact_tags]
    if missing:
        message = f"The contact lacks the tag {_quote_tags(missing)}"
    elif rules.tags_any and contact_tags.isdisjoint(rules.tags_any):
        message = f"The contact has none of the tags {_quote_tags(rules.tags_any)}"
    elif excluded:
        message = f"The contact has the tag {_quote_tags(excluded)}"
    else:
        return None
    limit = {"all": list(rules.tags_all), "any": list(rules.tags_any), "none": list(rules.tags_none)}
    return build_skip("tags", limit, sorted(contact_tags), message)


def _quote_tags(tags: list[str] | tuple[str, ...]) -> str:
    return ", ".join(f'"{tag}"' for tag in tags)


def _check_condition(rules: Rules, facts: Facts) -> Skip | None:
    if rules.where is None or conditions.evaluate(rules.where, facts.variables):
        return None
    measured = {
        _format_path(path): _read_value(path, facts.variables) for path in conditions.list_variables(rules.where)
    }
    return build_skip("where", rules.where, measured, f"The condition is not met: {rules.where}")


def _format_path(path: list[object]) -> str:
    return ".".join(str(part) for part in path)


def _read_value(path: list[object], variables: Mapping[str, Any]) -> object:
    value: object = variables
    for part in path:
        value = conditions.get_item(value, part)
    return value


def _check_frequency_cap(rules: Rules, facts: Facts) -> Skip | None:
    cap, sent = rules.frequency_cap, facts.messages_in_window
    if cap is None or sent is None or sent < cap.max:
        return None
    return build_frequency_cap_skip(cap, sent)


def format_duration(duration_seconds: float) -> str:
    """Format a duration in the largest unit without a remainder: `7 days`."""
    for unit, length in (("week", 604_800), ("day", 86_400), ("hour", 3600), ("minute", 60)):
        count, remainder = divmod(int(duration_seconds), length)
        if count and not remainder and not (unit == "week" and count == 1):
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{int(duration_seconds)} seconds"


def _check_active_hours(rules: Rules, facts: Facts) -> Skip | Wait | None:
    return check_active_hours(rules, facts.now, facts.contact_zone, facts.workspace_zone)


def check_active_hours(
    rules: Rules, now: datetime, contact_zone: str | None, workspace_zone: str
) -> Skip | Wait | None:
    """Return what the rules say about a message now, outside the active hours; None within them."""
    hours = rules.active_hours
    if hours is None:
        return None
    zone = resolve_zone(hours, contact_zone, workspace_zone)
    until = find_next_opening(hours, zone, now)
    if until is None:
        return None
    window = f"{hours.start:%H:%M} to {hours.end:%H:%M}"
    detail = {
        "limit": {
            "start": f"{hours.start:%H:%M}",
            "end": f"{hours.end:%H:%M}",
            "days": [DAYS[d] for d in sorted(hours.days)],
        },
        "measured": {"at": format_time(now), "timezone": zone, "opens_at": format_time(until)},
        "words": f"Outside the active hours {window} ({zone})",
    }
    return Wait(until, "active_hours", detail) if rules.outside_hours == "wait" else Skip("active_hours", detail)


#: Each rule after the automation's own switch, in the order in which they are judged.
_CHECKS: tuple[tuple[str, Callable[[Rules, Facts], Skip | Wait | None]], ...] = (
    ("loop", _check_loop),
    ("reentry", _check_reentry),
    ("reachability", _check_reachability),
    ("tags", _check_tags),
    ("where", _check_condition),
    ("frequency_cap", _check_frequency_cap),
    ("active_hours", _check_active_hours),
)
