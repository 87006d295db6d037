"""Every rule that forbids a message is recorded on its execution: limit, measured value and a text for operators."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import clock
from models.database import acting_as
from models.queries import execute
from sandbox.server import RunningSandbox
from tasks.runtime.engine import Engine
from tests.support.factories import Alice, bob, wait_until_finished
from tests.support.rows import fetch_row

CUSTOMER = {"tags": ["lead", "customer"], "attributes": {"plan": "free"}}

#: The rules, the contact's fields, and the expected rule, limit, measured value and text.
FORBIDDEN: list[tuple[dict[str, Any], dict[str, Any], tuple[Any, ...]]] = [
    ({"tags": {"all": ["vip"]}}, {}, (
        "tags", {"all": ["vip"], "any": [], "none": []}, ["lead"], 'The contact lacks the tag "vip"')),
    ({"tags": {"any": ["vip", "pro"]}}, {}, (
        "tags", {"all": [], "any": ["vip", "pro"], "none": []}, ["lead"],
        'The contact has none of the tags "vip", "pro"')),
    ({"tags": {"none": ["customer"]}}, CUSTOMER, (
        "tags", {"all": [], "any": [], "none": ["customer"]}, ["customer", "lead"],
        'The contact has the tag "customer"')),
    ({"where": "contact.attributes.plan == 'pro'"}, CUSTOMER, (
        "where", "contact.attributes.plan == 'pro'", {"contact.attributes.plan": "free"},
        "The condition is not met: contact.attributes.plan == 'pro'")),
    ({}, {"email": None}, ("no_address", "email", None, "The contact has no address for e-mail")),
    ({"frequency_cap": {"max": 0, "per": "7d"}}, {}, (
        "frequency_cap", {"max": 0, "per_seconds": 604800.0}, 0, "Frequency cap: 0 of 0 messages in 7 days")),
    ({"daily_limit": 0}, {}, ("daily_limit", 0, 0, "Daily limit: 0 of 0 sent today")),
    ({"contact_daily_limit": 0}, {}, (
        "contact_daily_limit", 0, 0, "Daily limit per contact: 0 of 0 sent today")),
]  # fmt: skip


def run_case(alice: Alice, number: int, contact: dict[str, Any]) -> dict[str, Any]:
    person = bob(external_id=f"c-{number}", email=f"c{number}@example.com", phone=None)
    return wait_until_finished(alice.trigger(f"case.{number}", contact={**person, **contact}))


def test_every_rule_reports_its_limit_its_measured_value_and_a_text(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    for number, (rules, contact, (rule, limit, measured, words)) in enumerate(FORBIDDEN):
        alice.automation(trigger=f"case.{number}", rules=rules)
        result = run_case(alice, number, contact)
        assert (result["status"], result["stage"], result["skipped_rule"]) == ("skipped", "skipped", rule)
        assert result["skipped_detail"] == {"limit": limit, "measured": measured, "words": words}
    assert sandbox.list_messages() == []


def test_a_suppressed_contact_differs_from_one_without_an_address(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    alice.automation(trigger="case.1")
    assert run_case(alice, 1, {})["status"] == "succeeded"
    contact = fetch_row("select id from contacts")
    assert contact is not None
    with acting_as(alice.workspace_id):
        execute(
            "insert into suppressions (workspace_id, contact_id, channel, reason) values (%s, %s, 'email', 'operator')",
            (alice.workspace_id, contact["id"]),
        )

    result = run_case(alice, 1, {})

    assert (result["skipped_rule"], result["skipped_detail"]["words"]) == (
        "suppressed", "The contact is suppressed on e-mail",
    )  # fmt: skip
    assert len(sandbox.list_messages()) == 1


def test_active_hours_use_the_contacts_zone_else_the_workspaces(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice(timezone="Etc/GMT-6")
    # Open in the contact's zone, half a day from the workspace's hours.
    soon = clock.now().replace(minute=0) - timedelta(hours=7)
    hours = {"start": f"{soon:%H:%M}", "end": f"{soon + timedelta(hours=2):%H:%M}", "timezone": "contact"}
    alice.automation(trigger="case.1", rules={"active_hours": hours})

    assert run_case(alice, 1, {"timezone": "Etc/GMT+6"})["status"] == "succeeded"
    result = run_case(alice, 1, {"timezone": None})

    assert (result["skipped_rule"], result["skipped_detail"]["measured"]["timezone"]) == ("active_hours", "Etc/GMT-6")
    assert result["skipped_detail"]["words"].startswith("Outside the active hours ")


def test_a_trigger_without_a_contact_is_skipped_by_that_rule(engine: Engine) -> None:
    alice = Alice()
    alice.automation([{"id": "mail", "action": "send_email", "with": {"subject": "x", "body": "y"}}])
    result = wait_until_finished(alice.trigger(contact=None))
    assert (result["status"], result["skipped_rule"]) == ("skipped", "no_contact")
