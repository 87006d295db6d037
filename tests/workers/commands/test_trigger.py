"""`beckon trigger` and `beckon execution`: start an execution and read its timeline."""

from __future__ import annotations

import json
import re

from models import contact_matching
from models.database import acting_as
from tests.support.factories import WRITTEN, bob, execution, wait_until_finished

ADA = ("--email", "ada@example.com", "--first-name", "Ada", "--external-id", "ada", "--tag", "lead")


def test_a_trigger_becomes_a_message(alice, alice_json, sandbox):
    automation_id = alice.automation()
    accepted = alice_json("trigger", "contact.created", *ADA, "--payload", '{"plan": "pro"}')
    (started,) = accepted["executions"]
    assert started["automationId"] == automation_id
    assert wait_until_finished(started["executionId"])["status"] == "succeeded"
    assert [message["to"] for message in sandbox.list_messages(provider="mailgun")] == ["ada@example.com"]


def test_following_shows_the_timeline_as_it_happens(alice, alice_beckon):
    alice.automation(WRITTEN)
    output = alice_beckon("trigger", "contact.created", *ADA, "--follow").stdout
    order = ["stage queued", "stage checking", "stage eligible", "stage generating", "step write (generate_message)",
             "stage ready_to_send", "stage sending", "stage sent", "stage completed", "succeeded in"]  # fmt: skip
    positions = [output.index(line) for line in order]
    assert positions[-1] == max(positions)
    assert re.search(r"\d\d:\d\d:\d\d\.\d{3}  stage checking, after [\d.]+ m?s in queued", output)
    assert re.search(r"email to ada@example.com is sent, by the sandbox, as mailgun, id \S+", output)


def test_following_ends_where_the_execution_waits(alice, alice_beckon):
    alice.automation([{"id": "pause", "action": "wait", "with": {"for": "2h"}}])
    output = alice_beckon("trigger", "contact.created", *ADA, "-f").stdout
    assert re.search(r"waiting at eligible for time until 20\d\d-", output)


def test_a_failure_is_shown_with_its_reason(alice, alice_beckon):
    alice.automation([{"id": "x", "action": "send_email", "with": {"subject": "x", "body": "{{ payload.gone }}"}}])
    output = alice_beckon("trigger", "contact.created", *ADA, "-f").stdout
    assert "step x (send_email) failed, attempt 1: invalid" in output
    assert "failed: invalid: " in output


def test_following_without_a_worker_times_out_with_a_hint(alice, alice_beckon):
    alice.automation()
    result = alice_beckon(
        "trigger", "contact.created", *ADA, "-f", "--timeout", "0", REDIS_URL="redis://127.0.0.1:1", code=1
    )
    assert "is a worker running?" in result.stdout


def test_the_same_key_starts_nothing_new(alice, alice_json):
    alice.automation()
    first = alice_json("trigger", "contact.created", *ADA, "--key", "k-1")
    again = alice_json("trigger", "contact.created", *ADA, "--key", "k-1")
    assert again == {**first, "duplicate": True}


def test_the_same_key_with_another_body_is_refused(alice, alice_beckon):
    alice_beckon("trigger", "contact.created", *ADA, "--key", "k-1")
    refused = alice_beckon("trigger", "contact.created", "--email", "x@example.com", "--key", "k-1", code=1)
    assert refused.stderr == "beckon: idempotencyKey: this key was already used with another body\n"


def test_a_test_starts_even_an_automation_that_is_off(alice, alice_json):
    automation_id = alice.automation(enabled=False)
    (started,) = alice_json("trigger", "manual", *ADA, "--automation", automation_id, "--test")["executions"]
    assert execution(started["executionId"])["test"] is True


def test_an_existing_contact_can_be_named(alice, alice_json):
    alice.automation()
    with acting_as(alice.workspace_id):
        contact = contact_matching.match_or_create(alice.workspace_id, [(None, bob())])[0]
    assert alice_json("trigger", "contact.created", "--contact-id", contact["id"])["contactId"] == contact["id"]


def test_a_trigger_without_a_match_says_where_to_look(alice_beckon):
    assert "No automation matches" in alice_beckon("trigger", "nothing.like.it", *ADA).stdout


def test_a_payload_may_come_from_a_file(alice, alice_json, tmp_path):
    alice.automation(trigger={"type": "invoice.overdue", "where": "payload.amount > 100"})
    file = tmp_path / "payload.json"
    file.write_text(json.dumps({"amount": 120}))
    assert len(alice_json("trigger", "invoice.overdue", *ADA, "--payload", f"@{file}")["executions"]) == 1


def test_bad_input_is_refused_with_the_field_named(alice_beckon):
    assert alice_beckon("trigger", "contact.created", "--email", "nobody", code=1).stderr.startswith(
        "beckon: contact.email: "
    )
    assert "is not JSON" in alice_beckon("trigger", "contact.created", "--payload", "{", code=2).stderr
    assert "must be a JSON object" in alice_beckon("trigger", "contact.created", "--payload", "[]", code=2).stderr
    assert "cannot be read" in alice_beckon("trigger", "contact.created", "--payload", "@/not/there", code=2).stderr


def test_an_unknown_workspace_is_refused_with_the_known_ones(alice, beckon):
    refused = beckon("trigger", "contact.created", "--workspace", "nowhere", code=1)
    assert refused.stderr.startswith('beckon: no workspace "nowhere"; known: alice-')


def test_an_unreachable_database_is_one_line(beckon):
    away = "postgresql://nobody@127.0.0.1:1/none"
    refused = beckon("trigger", "contact.created", DATABASE_SERVICE_URL=away, code=1)
    assert refused.stderr.startswith("beckon: PostgreSQL does not answer (")
    assert refused.stderr.count("\n") == 1


def test_a_timeline_can_be_read_later_by_people_and_by_programs(alice, alice_beckon, alice_json):
    alice.automation(WRITTEN)
    row = wait_until_finished(alice.trigger())
    output = alice_beckon("execution", "show", row["id"]).stdout
    assert "Welcome v1 for Bob" in output
    assert "succeeded in" in output
    timeline = alice_json("execution", "show", row["id"])
    assert [stage["stage"] for stage in timeline["stages"]] == [
        "queued", "checking", "eligible", "generating", "ready_to_send", "sending", "sent", "completed",
    ]  # fmt: skip
    assert timeline["messages"][0]["providerMessageId"]
    assert {step["id"]: step["status"] for step in timeline["steps"]} == {"write": "succeeded", "hello": "succeeded"}


def test_an_unknown_execution_is_one_line(alice_beckon):
    assert (
        alice_beckon("execution", "show", "nonsense", code=1).stderr == "beckon: There is no execution with that id.\n"
    )


def test_the_list_is_filtered_as_the_api_filters(alice, alice_json, alice_beckon):
    alice.automation()
    sent = wait_until_finished(alice.trigger())
    (listed,) = alice_json("execution", "list")["executions"]
    assert (listed["id"], listed["followUp"]) == (sent["id"], {"count": 0, "max": 0, "nextCheckAt": None})
    assert alice_json("execution", "list", "--status", "failed")["executions"] == []
    assert alice_json("execution", "list", "--search", "bob", "--stage", "completed")["executions"]
    assert "Bob" in alice_beckon("execution", "list").stdout
    assert "No executions match" in alice_beckon("execution", "list", "--test").stdout
    assert "known: " in alice_beckon("execution", "list", "--error-class", "sadness", code=2).stderr
