"""Merged contacts: what belongs to the one goes over to the other, under running workers and in every order."""

from __future__ import annotations

from typing import Any

import pytest

import clock
import settings
from models import contact, contact_merge, conversation, possible_opt_out, suppression
from models.audit import AuditActor
from models.database import acting_as
from models.errors import Conflict, NotFound
from models.queries import execute, fetch_value
from models.reports import contact_export
from rules.contacts import MAX_TAGS
from rules.json_text import load_json
from tasks import periodic_jobs
from tasks.operators.contacts import erase_contact, merge_contacts
from tasks.runtime.engine import Engine
from tests.support.concurrency import assert_consistent, run_concurrently
from tests.support.factories import HELLO, Alice, execution, expire_wait, messages, wait_for_status, wait_until_finished
from tests.support.rows import fetch_row, fetch_rows

ACTOR = AuditActor("user", None, "Alice")
WAIT_THEN_HELLO: list[dict[str, Any]] = [{"id": "rest", "action": "wait", "with": {"for": "2d"}}, *HELLO]
ADA = {
    "external_id": "a",
    "first_name": "Ada",
    "email": "ada@example.com",
    "tags": ["lead"],
    "attributes": {"a": 1, "b": 1},
}
EVE = {"external_id": "e", "last_name": "Eve", "phone": "+15550199", "tags": ["vip", "lead"], "attributes": {"b": 2}}


@pytest.fixture
def alice(engine: Engine) -> Alice:
    return Alice()


def wake(execution_id: str) -> None:
    """Let a waiting execution go on."""
    expire_wait(execution_id)
    periodic_jobs.enqueue_due(settings.load())


def create(alice: Alice, fields: dict[str, Any]) -> str:
    return str(alice.trigger("nothing", contact=fields).contact_id)


def test_the_target_keeps_what_it_has_and_takes_what_it_lacks(alice: Alice) -> None:
    ada, eve = create(alice, ADA), create(alice, EVE)

    merge_contacts(alice.workspace_id, ada, eve, ACTOR)

    row = contact.get(alice.workspace_id, eve)
    assert row is not None
    assert (row["external_id"], row["first_name"], row["last_name"]) == ("e", "Ada", "Eve")
    assert (row["email"], row["phone"]) == ("ada@example.com", "+15550199")
    assert (row["tags"], row["attributes"]) == (["vip", "lead"], {"a": 1, "b": 2})
    assert contact.get(alice.workspace_id, ada) is None
    assert contact_merge.find_target(alice.workspace_id, ada) == eve
    assert alice.trigger("nothing", contact_id=ada).contact_id == eve
    assert create(alice, {"email": "ada@example.com"}) == eve


def test_executions_in_flight_go_on_for_the_target_with_its_address(alice: Alice) -> None:
    alice.automation(WAIT_THEN_HELLO)
    accepted = alice.trigger(contact=ADA)
    wait_for_status(accepted)
    eve = create(alice, {**EVE, "email": "eve@example.com"})

    result = merge_contacts(alice.workspace_id, str(accepted.contact_id), eve, ACTOR)
    wake(execution(accepted)["id"])
    finished = wait_until_finished(accepted)

    assert (result.executions, result.cancelled) == (1, 0)
    assert (finished["status"], finished["contact_id"]) == ("succeeded", eve)
    assert [(row["to_address"], row["contact_id"]) for row in messages(finished["id"])] == [("eve@example.com", eve)]
    assert_consistent()


@pytest.mark.parametrize("reason", ["unsubscribed", "complained", "operator"])
def test_the_suppressions_of_both_hold(alice: Alice, reason: Any) -> None:
    alice.automation(WAIT_THEN_HELLO)
    accepted = alice.trigger(contact={**EVE, "email": "eve@example.com"})
    wait_for_status(accepted)
    ada, eve = create(alice, ADA), str(accepted.contact_id)
    with acting_as(alice.workspace_id):
        suppression.add_for_contact(alice.workspace_id, ada, "email", "ada@example.com", reason)
        suppression.add_for_contact(alice.workspace_id, eve, "sms", EVE["phone"], "stopped")

    merge_contacts(alice.workspace_id, ada, eve, ACTOR)

    suppressed = {row["channel"]: row["reason"] for row in suppression.list_for_contact(alice.workspace_id, eve)}
    assert suppressed == {"email": reason, "sms": "stopped"}
    wake(execution(accepted)["id"])
    assert wait_until_finished(accepted)["skipped_rule"] == "suppressed"


def test_the_reason_that_weighs_more_is_kept(alice: Alice) -> None:
    ada, eve = create(alice, ADA), create(alice, {**EVE, "email": "eve@example.com"})
    with acting_as(alice.workspace_id):
        suppression.add_for_contact(alice.workspace_id, ada, "email", "ada@example.com", "complained")
        suppression.add_for_contact(alice.workspace_id, eve, "email", "eve@example.com", "unsubscribed")
    merge_contacts(alice.workspace_id, ada, eve, ACTOR)
    (row,) = suppression.list_for_contact(alice.workspace_id, eve)
    assert row["reason"] == "complained"


def test_an_address_that_bounced_suppresses_no_other_address(alice: Alice) -> None:
    ada, eve = create(alice, ADA), create(alice, {**EVE, "email": "eve@example.com"})
    with acting_as(alice.workspace_id):
        suppression.add_for_contact(alice.workspace_id, ada, "email", "ada@example.com", "bounced")
    merge_contacts(alice.workspace_id, ada, eve, ACTOR)
    assert suppression.list_for_contact(alice.workspace_id, eve) == []


@pytest.mark.parametrize(("reentry", "cancelled"), [("after_finish", 1), ("once", 1), ("always", 0)])
def test_where_both_are_in_flight_the_younger_one_ends_if_one_may_enter(
    alice: Alice, reentry: str, cancelled: int
) -> None:
    alice.automation(WAIT_THEN_HELLO, rules={"reentry": reentry})
    older, younger = alice.trigger(contact={**EVE, "email": "eve@example.com"}), alice.trigger(contact=ADA)
    for accepted in (older, younger):
        wait_for_status(accepted)

    result = merge_contacts(alice.workspace_id, str(older.contact_id), str(younger.contact_id), ACTOR)

    assert result.cancelled == cancelled
    assert execution(older)["status"] == "waiting"
    row = execution(younger)
    assert (row["status"], row["skipped_rule"]) == (("cancelled", "merged") if cancelled else ("waiting", None))
    assert_consistent()


def test_what_two_contacts_had_each_stays_consistent_in_one(alice: Alice) -> None:
    alice.automation(HELLO, rules={"contact_daily_limit": 1, "frequency_cap": {"max": 5, "per": "7d"}})
    first, second = alice.trigger(contact=ADA), alice.trigger(contact={**EVE, "email": "eve@example.com"})
    for accepted in (first, second):
        wait_until_finished(accepted)
    ada, eve = str(first.contact_id), str(second.contact_id)

    merge_contacts(alice.workspace_id, ada, eve, ACTOR)

    assert_consistent()
    assert fetch_value("select count(*) from automation_runs where contact_id = %s", (eve,)) == 2
    assert fetch_value("select count from limit_counts where contact_id = %s", (eve,)) == 2
    limited = wait_until_finished(alice.trigger(contact_id=ada))
    assert (limited["contact_id"], limited["skipped_rule"]) == (eve, "contact_daily_limit")


def test_conversations_messages_tasks_and_visits_go_over(alice: Alice) -> None:
    ada, eve = create(alice, ADA), create(alice, EVE)
    for contact_id, at in ((ada, "2026-11-02"), (eve, "2026-11-01")):
        execute(
            "insert into conversations (contact_id, channel, workspace_id, last_received_at) "
            "values (%s, 'sms', %s, %s)",
            (contact_id, alice.workspace_id, at),
        )
    execute(
        "insert into received_messages (id, workspace_id, contact_id, channel, provider_message_id, kind, text, at) "
        "values (gen_random_uuid(), %s, %s, 'sms', 'in-1', 'message', 'Hi', beckon_now())", (alice.workspace_id, ada),
    )  # fmt: skip
    execute(
        "insert into workflow_executions (id, workspace_id, workflow_id, user_id, status) "
        "values (new_id(), %s, new_id(), 'a', 'success')", (alice.workspace_id,),
    )  # fmt: skip

    merge_contacts(alice.workspace_id, ada, eve, ACTOR)

    conversation = fetch_row("select contact_id, last_received_at::date::text as at from conversations")
    assert conversation == {"contact_id": eve, "at": "2026-11-02"}
    assert fetch_value("select contact_id from received_messages") == eve
    assert fetch_value("select user_id from workflow_executions") == "e"
    assert {row["contact_id"] for row in fetch_rows("select contact_id from triggers")} == {eve}


def test_a_merge_that_cannot_be_is_refused_and_changes_nothing(alice: Alice) -> None:
    ada, eve = create(alice, ADA), create(alice, EVE)
    theirs = create(Alice(name="charlie"), {"email": "c@example.com"})
    gone = create(alice, {"email": "gone@example.com"})
    erase_contact(alice.workspace_id, gone, ACTOR)
    full = create(alice, {"external_id": "f", "tags": [f"t{number}" for number in range(MAX_TAGS)]})
    for source, target, error in (
        (ada, ada, Conflict), (ada, theirs, NotFound), (theirs, ada, NotFound), (ada, gone, NotFound),
        (gone, ada, NotFound), (ada, full, Conflict),
    ):  # fmt: skip
        with pytest.raises(error):
            merge_contacts(alice.workspace_id, source, target, ACTOR)
    merge_contacts(alice.workspace_id, ada, eve, ACTOR)
    for source, target in ((ada, eve), (eve, ada), (full, ada)):
        with pytest.raises(Conflict, match="is merged into"):
            merge_contacts(alice.workspace_id, source, target, ACTOR)
    with pytest.raises(Conflict, match="erase that one"):
        erase_contact(alice.workspace_id, ada, ACTOR)


def test_of_two_opposite_merges_one_wins(alice: Alice) -> None:
    for number in range(3):
        ada = create(alice, {"external_id": f"a{number}"})
        eve = create(alice, {"external_id": f"e{number}"})

        pairs = ((ada, eve), (eve, ada))

        def merge(number: int, pairs: tuple[tuple[str, str], ...] = pairs) -> str:
            try:
                merge_contacts(alice.workspace_id, *pairs[number], ACTOR)
            except (Conflict, NotFound) as refused:
                return type(refused).__name__
            return "merged"

        outcomes = run_concurrently(2, merge)

        assert sorted(outcomes) == ["Conflict", "merged"]
        assert sum(contact.get(alice.workspace_id, own_id) is not None for own_id in (ada, eve)) == 1


def test_a_chain_of_merges_leads_to_the_last_contact_and_is_erased_with_it(alice: Alice) -> None:
    ada, eve = create(alice, ADA), create(alice, EVE)
    last = create(alice, {"external_id": "z", "email": "last@example.com", "phone": "+15550177"})
    merge_contacts(alice.workspace_id, ada, eve, ACTOR)
    merge_contacts(alice.workspace_id, eve, last, ACTOR)
    assert alice.trigger("nothing", contact_id=ada).contact_id == last

    erase_contact(alice.workspace_id, last, ACTOR)

    assert fetch_value("select count(*) from contacts where email is not null or first_name is not null") == 0
    assert contact_export.find(alice.workspace_id, ada) is None


def test_a_merge_under_running_executions_loses_none(alice: Alice) -> None:
    steps = [
        {"id": "tag", "action": "update_contact", "with": {"add_tags": ["seen"]}},
        {"id": "task", "action": "create_task", "with": {"title": "Call"}}, *HELLO,
    ]  # fmt: skip
    alice.automation(steps)
    eve = create(alice, {**EVE, "email": "eve@example.com"})
    accepted = [alice.trigger(contact=ADA) for _ in range(20)]

    merge_contacts(alice.workspace_id, str(accepted[0].contact_id), eve, ACTOR)
    finished = [wait_until_finished(trigger) for trigger in accepted]

    assert {(row["status"], row["contact_id"]) for row in finished} == {("succeeded", eve)}
    assert {row["contact_id"] for row in fetch_rows("select contact_id from contact_tasks")} == {eve}
    assert {row["contact_id"] for row in fetch_rows("select contact_id from messages")} == {eve}
    assert_consistent()


def test_possible_opt_outs_go_over_and_are_exported(alice: Alice) -> None:
    ada, eve = create(alice, ADA), create(alice, EVE)
    with acting_as(alice.workspace_id):
        received = conversation.record_received(
            alice.workspace_id, ada, "sms", "in-1", kind="message", text="please no more", at=clock.now()
        )
        possible_opt_out.record(alice.workspace_id, ada, "sms", received["id"])

    merge_contacts(alice.workspace_id, ada, eve, ACTOR)

    (row,) = possible_opt_out.fetch_page(alice.workspace_id, 10, None)
    assert (row["contact_id"], row["text"]) == (eve, "please no more")
    exported = contact_export.find(alice.workspace_id, eve)
    assert exported is not None
    document = load_json("".join(contact_export.write_json(alice.workspace_id, exported)))
    assert len(document["possibleOptOuts"]) == 1
    possible_opt_out.resolve(alice.workspace_id, row["id"], "suppress", ACTOR)
    assert [row["channel"] for row in suppression.list_for_contact(alice.workspace_id, eve)] == ["sms"]


def test_the_export_of_the_target_has_what_is_kept_by_addresses_of_the_source(alice: Alice) -> None:
    ada, eve = create(alice, ADA), create(alice, {**EVE, "email": "eve@example.com"})
    with acting_as(alice.workspace_id):
        suppression.add_for_contact(alice.workspace_id, ada, "email", "ada@example.com", "bounced")
    topic = suppression.Entry("email", "ada@example.com", "operator", "news")
    suppression.add_address(alice.workspace_id, topic, ACTOR)
    merge_contacts(alice.workspace_id, ada, eve, ACTOR)

    exported = contact_export.find(alice.workspace_id, eve)
    assert exported is not None
    document = load_json("".join(contact_export.write_json(alice.workspace_id, exported)))

    assert [row["reason"] for row in document["suppressedAddresses"]] == ["bounced"]
    assert [row["topic"] for row in document["suppressedTopics"]] == ["news"]
    assert [row["address"] for row in document["emailTopics"]] == ["ada@example.com"]
