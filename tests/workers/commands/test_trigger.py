"""`beckon trigger` and `beckon execution`: start something, and read its story."""

from __future__ import annotations

import json
import re

from cast import WRITTEN, bob, execution, finished
from models import contact_matching
from models.database import acting_as

ADA = ("--email", "ada@example.com", "--first-name", "Ada", "--external-id", "ada", "--tag", "lead")


def test_a_trigger_becomes_a_message(alice, told, sandbox):
    automation_id = alice.automation()
    accepted = told("trigger", "contact.created", *ADA, "--payload", '{"plan": "pro"}')
    (started,) = accepted["executions"]
    assert started["automationId"] == automation_id
    assert finished(started["executionId"])["status"] == "succeeded"
    assert [one["to"] for one in sandbox.messages(provider="mailgun")] == ["ada@example.com"]


def test_following_shows_the_story_as_it_happens(alice, hers):
    alice.automation(WRITTEN)
    shown = hers("trigger", "contact.created", *ADA, "--follow").stdout
    order = ["stage queued", "stage checking", "stage eligible", "stage generating", "step write (generate_message)",
             "stage ready_to_send", "stage sending", "stage sent", "stage completed", "succeeded in"]  # fmt: skip
    places = [shown.index(words) for words in order]
    assert places[-1] == max(places)
    assert re.search(r"\d\d:\d\d:\d\d\.\d{3}  stage checking, after [\d.]+ m?s in queued", shown)
    assert re.search(r"email to ada@example.com is sent, by the sandbox, as mailgun, id \S+", shown)


def test_following_ends_where_the_execution_waits(alice, hers):
    alice.automation([{"id": "pause", "action": "wait", "with": {"for": "2h"}}])
    shown = hers("trigger", "contact.created", *ADA, "-f").stdout
    assert re.search(r"waiting at eligible for time until 20\d\d-", shown)


def test_a_failure_is_told_with_its_reason(alice, hers):
    alice.automation([{"id": "x", "action": "send_email", "with": {"subject": "x", "body": "{{ payload.gone }}"}}])
    shown = hers("trigger", "contact.created", *ADA, "-f").stdout
    assert "step x (send_email) failed, attempt 1: invalid" in shown
    assert "failed: invalid: " in shown


def test_nobody_at_work_ends_the_following_with_a_hint(alice, hers):
    alice.automation()
    shown = hers("trigger", "contact.created", *ADA, "-f", "--patience", "0", REDIS_URL="redis://127.0.0.1:1", code=1)
    assert "is a worker running?" in shown.stdout


def test_the_same_key_starts_nothing_new(alice, told):
    alice.automation()
    first = told("trigger", "contact.created", *ADA, "--key", "k-1")
    again = told("trigger", "contact.created", *ADA, "--key", "k-1")
    assert again == {**first, "duplicate": True}


def test_the_same_key_with_another_body_is_refused(alice, hers):
    hers("trigger", "contact.created", *ADA, "--key", "k-1")
    refused = hers("trigger", "contact.created", "--email", "x@example.com", "--key", "k-1", code=1)
    assert refused.stderr == "beckon: idempotencyKey: this key was already used with another body\n"


def test_a_test_starts_even_what_is_switched_off(alice, told):
    automation_id = alice.automation(enabled=False)
    (started,) = told("trigger", "manual", *ADA, "--automation", automation_id, "--test")["executions"]
    assert execution(started["executionId"])["test"] is True


def test_an_existing_contact_can_be_named(alice, told):
    alice.automation()
    with acting_as(alice.workspace_id):
        known = contact_matching.match(alice.workspace_id, [(None, bob())])[0]
    assert told("trigger", "contact.created", "--contact-id", known["id"])["contactId"] == known["id"]


def test_what_nobody_wants_says_where_to_look(hers):
    assert "No automation wanted it" in hers("trigger", "nothing.like.it", *ADA).stdout


def test_a_payload_may_come_from_a_file(alice, told, tmp_path):
    alice.automation(trigger={"type": "invoice.overdue", "where": "payload.amount > 100"})
    file = tmp_path / "payload.json"
    file.write_text(json.dumps({"amount": 120}))
    assert len(told("trigger", "invoice.overdue", *ADA, "--payload", f"@{file}")["executions"]) == 1


def test_bad_input_is_refused_with_the_field_named(hers):
    assert hers("trigger", "contact.created", "--email", "nobody", code=1).stderr.startswith("beckon: contact.email: ")
    assert "is not JSON" in hers("trigger", "contact.created", "--payload", "{", code=2).stderr
    assert "must be a JSON object" in hers("trigger", "contact.created", "--payload", "[]", code=2).stderr
    assert "cannot be read" in hers("trigger", "contact.created", "--payload", "@/not/there", code=2).stderr


def test_an_unknown_workspace_is_refused_with_the_known_ones(alice, beckon):
    refused = beckon("trigger", "contact.created", "--workspace", "nowhere", code=1)
    assert refused.stderr.startswith('beckon: no workspace "nowhere"; known: alice-')


def test_a_database_that_is_away_is_one_line(beckon):
    away = "postgresql://nobody@127.0.0.1:1/none"
    refused = beckon("trigger", "contact.created", DATABASE_SERVICE_URL=away, code=1)
    assert refused.stderr.startswith("beckon: PostgreSQL does not answer (")
    assert refused.stderr.count("\n") == 1


def test_a_story_can_be_read_later_for_people_and_for_programs(alice, hers, told):
    alice.automation(WRITTEN)
    found = finished(alice.trigger())
    shown = hers("execution", "show", found["id"]).stdout
    assert "Welcome v1 for Bob" in shown
    assert "succeeded in" in shown
    story = told("execution", "show", found["id"])
    assert [one["stage"] for one in story["stages"]] == [
        "queued", "checking", "eligible", "generating", "ready_to_send", "sending", "sent", "completed",
    ]  # fmt: skip
    assert story["messages"][0]["providerMessageId"]
    assert {one["id"]: one["status"] for one in story["steps"]} == {"write": "succeeded", "hello": "succeeded"}


def test_what_is_not_there_is_one_line(hers):
    assert hers("execution", "show", "nonsense", code=1).stderr == "beckon: There is no execution by that id.\n"


def test_the_list_is_filtered_as_the_api_filters(alice, told, hers):
    alice.automation()
    sent = finished(alice.trigger())
    assert [one["id"] for one in told("execution", "list")["executions"]] == [sent["id"]]
    assert told("execution", "list", "--status", "failed")["executions"] == []
    assert told("execution", "list", "--search", "bob", "--stage", "completed")["executions"]
    assert "Bob" in hers("execution", "list").stdout
    assert "No execution matches" in hers("execution", "list", "--test").stdout
    assert "known: " in hers("execution", "list", "--error-class", "sadness", code=2).stderr
