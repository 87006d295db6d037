"""The verdict: which rule fails first, and the message to the operator."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from rules.definition import FrequencyCap, Rules, parse
from rules.eligibility import (
    Eligible,
    Facts,
    Skip,
    Wait,
    build_frequency_cap_skip,
    build_skip,
    check_reachability,
    evaluate,
    format_duration,
)

NOW = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
GOOD = Facts(
    now=NOW,
    automation_enabled=True,
    channel="email",
    address="ada@example.com",
    tags=("lead",),
    variables={"contact": {"attributes": {"country": "IT"}}},
    contact_zone="Europe/Rome",
    in_flight=0,
    entries=0,
    messages_in_window=0,
    loop_depth=10,
)

RULES_DOCUMENT: dict[str, Any] = {
    "tags": {"all": ["lead"], "any": [], "none": ["customer"]},
    "daily_limit": 200,
    "contact_daily_limit": 1,
    "active_hours": {"start": "09:00", "end": "21:00", "days": ["mon"], "timezone": "contact"},
    "where": "contact.attributes.country != 'US'",
    "frequency_cap": {"max": 2, "per": "7d"},
    "reentry": "once",
}


def build_rules(**changes: object) -> Rules:
    return parse({"trigger": {"type": "x"}, "steps": [], "rules": {**RULES_DOCUMENT, **changes}}).rules


def test_a_contact_that_passes_every_rule_is_eligible() -> None:
    assert evaluate(build_rules(), GOOD) == Eligible()
    assert evaluate(Rules(), Facts(now=NOW, automation_enabled=True)) == Eligible()


TAGS = {"all": ["lead"], "any": [], "none": ["customer"]}
HOURS = {"start": "09:00", "end": "21:00", "days": ["mon"]}
OUTSIDE = {"at": "2026-05-04T22:00:00Z", "timezone": "Europe/Rome", "opens_at": "2026-05-11T07:00:00Z"}
NOT_US = "contact.attributes.country != 'US'"
CLOSED = build_skip("window_closed", "24 hours", None, "The window closed")

#: Each failing fact with its rule, limit, measured value and message to the operator, in the order of the checks.
FAULTS: list[tuple[dict[str, Any], str, object, object, str]] = [
    ({"automation_enabled": False}, "automation_off", True, False, "The automation is turned off"),
    (
        {"loop_depth": 11},
        "loop", 10, 11, "Loop: 11 automatic messages in a row were answered within 10 minutes each",
    ),
    ({"entries": 1}, "reentry", "once", 1, "The contact has been in this automation before"),
    ({"has_contact": False}, "no_contact", "email", None, "The trigger names no contact to message"),
    ({"suppressed": True}, "suppressed", "email", "email", "The contact is suppressed on e-mail"),
    ({"address": None}, "no_address", "email", None, "The contact has no address for e-mail"),
    ({"delivery_skip": CLOSED}, "window_closed", "24 hours", None, "The window closed"),
    ({"tags": ()}, "tags", TAGS, [], 'The contact lacks the tag "lead"'),
    (
        {"variables": {"contact": {"attributes": {"country": "US"}}}},
        "where", NOT_US, {"contact.attributes.country": "US"}, f"The condition is not met: {NOT_US}",
    ),
    (
        {"messages_in_window": 2},
        "frequency_cap", {"max": 2, "per_seconds": 604_800}, 2, "Frequency cap: 2 of 2 messages in 7 days",
    ),
    (
        {"now": NOW.replace(hour=22)},
        "active_hours", HOURS, OUTSIDE, "Outside the active hours 09:00 to 21:00 (Europe/Rome)",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "rule", "limit", "measured", "words"), FAULTS)
def test_a_failed_rule_skips_with_limit_measurement_and_message(
    change: dict[str, Any], rule: str, limit: object, measured: object, words: str
) -> None:
    verdict = evaluate(build_rules(), replace(GOOD, **change))
    assert isinstance(verdict, Skip)
    assert verdict.rule == rule
    assert json.loads(json.dumps(verdict.detail)) == {"limit": limit, "measured": measured, "words": words}


@pytest.mark.parametrize("first", range(len(FAULTS)))
def test_the_first_failing_rule_wins(first: int) -> None:
    facts = GOOD
    for change, *_ in FAULTS[first:]:
        facts = replace(facts, **change)
    verdict = evaluate(build_rules(), facts)
    assert isinstance(verdict, Skip)
    assert verdict.rule == FAULTS[first][1]


def test_outside_hours_wait_waits_until_the_window_opens() -> None:
    verdict = evaluate(build_rules(outside_hours="wait"), replace(GOOD, now=NOW.replace(hour=22)))
    assert isinstance(verdict, Wait)
    assert verdict.until == datetime(2026, 5, 11, 7, 0, tzinfo=UTC)
    assert verdict.rule == "active_hours"


def test_active_hours_use_the_workspaces_zone_where_the_contact_has_none() -> None:
    early = replace(GOOD, now=NOW.replace(hour=7, minute=30))
    assert isinstance(evaluate(build_rules(), early), Eligible)
    assert isinstance(evaluate(build_rules(), replace(early, contact_zone=None)), Skip)
    fixed = build_rules(active_hours={"start": "09:00", "end": "21:00", "timezone": "Asia/Tokyo"})
    assert isinstance(evaluate(fixed, replace(early, contact_zone=None)), Eligible)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"any": ["a", "b"]}, 'The contact has none of the tags "a", "b"'),
        ({"none": ["lead"]}, 'The contact has the tag "lead"'),
    ],
)
def test_the_message_names_the_tag(tags: dict[str, Any], words: str) -> None:
    verdict = evaluate(build_rules(tags=tags), GOOD)
    assert isinstance(verdict, Skip)
    assert verdict.detail["words"] == words
    assert verdict.detail["measured"] == ["lead"]


def test_reentry_after_finish_counts_only_executions_in_flight() -> None:
    again = build_rules(reentry="after_finish")
    assert isinstance(evaluate(again, replace(GOOD, entries=5)), Eligible)
    verdict = evaluate(again, replace(GOOD, in_flight=1))
    assert isinstance(verdict, Skip)
    assert (verdict.rule, verdict.detail["limit"], verdict.detail["measured"]) == ("reentry", "after_finish", 1)
    assert isinstance(evaluate(build_rules(reentry="always"), replace(GOOD, in_flight=1, entries=5)), Eligible)


def test_a_failed_condition_has_the_values_of_its_variables() -> None:
    verdict = evaluate(build_rules(), replace(GOOD, variables={"contact": {"attributes": {"country": "US"}}}))
    assert isinstance(verdict, Skip)
    assert verdict.detail["measured"] == {"contact.attributes.country": "US"}


def test_pending_messages_count_against_the_frequency_cap() -> None:
    skip = build_frequency_cap_skip(FrequencyCap(3, 3600.0), 2, pending=1)
    assert skip.detail["measured"] == 3
    assert skip.detail["words"] == "Frequency cap: 3 of 3 messages in 1 hour, 1 of them pending"


def test_an_execution_that_sends_nothing_needs_no_address() -> None:
    assert isinstance(evaluate(build_rules(), replace(GOOD, channel=None, address=None)), Eligible)


def test_reachability_can_be_checked_alone() -> None:
    assert check_reachability("sms", "+15550100", False) is None
    verdict = check_reachability("sms", None, False)
    assert verdict is not None
    assert verdict.detail["words"] == "The contact has no address for SMS"


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (45, "45 seconds"),
        (60, "1 minute"),
        (7200, "2 hours"),
        (604_800, "7 days"),
        (1_209_600, "2 weeks"),
        (90, "90 seconds"),
    ],
)
def test_a_duration_is_formatted_in_its_largest_whole_unit(length: float, words: str) -> None:
    assert format_duration(length) == words
