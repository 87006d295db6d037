"""Accepting triggers: one effect per key, correct matching of contacts, and no access across tenants."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dramatiq
import psycopg2
import pytest
from dramatiq import Worker

from models import automation
from models.audit import SYSTEM
from models.database import acting_as
from models.queries import execute, fetch_value
from sandbox.server import RunningSandbox
from settings import Settings
from tasks.intake.triggers import AcceptedTrigger, RejectedTrigger
from tasks.runtime.engine import Engine
from tests.support.concurrency import count_lock_waiters, count_provider_calls, run_concurrently
from tests.support.factories import HELLO, Alice, bob, execution, wait_for_status, wait_until_finished
from tests.support.rows import fetch_row, fetch_rows
from tests.support.waiting import eventually

WAITING = [{"id": "answer", "action": "wait_until", "with": {"event": "order.paid", "timeout": "2d"}}, *HELLO]


@pytest.fixture
def alice(idle: Worker) -> Alice:
    """Alice, with an automation and an idle worker."""
    owner = Alice()
    owner.automation(HELLO)
    return owner


def count_executions() -> int:
    return int(fetch_value("select count(*) from executions"))


def read_refusal(result: Any) -> tuple[int, str]:
    assert isinstance(result, RejectedTrigger), result
    return result.status, result.problems[0].message


# Keys


def test_one_key_in_100_concurrent_requests_is_one_execution(alice: Alice) -> None:
    results = run_concurrently(30, lambda _: alice.trigger(idempotency_key="k")) + [
        alice.trigger(idempotency_key="k") for _ in range(70)
    ]

    assert count_executions() == 1
    assert {(result.trigger_id, result.executions[0]["executionId"]) for result in results} == {
        (results[0].trigger_id, results[0].executions[0]["executionId"])
    }
    assert sum(result.duplicate for result in results) == 99


def test_the_same_key_with_another_body_is_a_conflict(alice: Alice) -> None:
    alice.trigger(idempotency_key="k", payload={"n": 1})

    (result,) = alice.triggers([{"idempotency_key": "k", "payload": {"n": 2}}])

    assert read_refusal(result) == (409, "this key was already used with another body")
    assert count_executions() == 1


def test_a_key_is_free_again_after_a_day(alice: Alice) -> None:
    first = alice.trigger(idempotency_key="k")
    execute("update idempotency_keys set created_at = beckon_now() - interval '24 hours 1 second'")

    again = alice.trigger(idempotency_key="k", payload={"other": "body"})

    assert not again.duplicate
    assert again.trigger_id != first.trigger_id
    assert count_executions() == 2


def test_a_key_is_held_for_the_whole_day(alice: Alice) -> None:
    alice.trigger(idempotency_key="k")
    execute("update idempotency_keys set created_at = beckon_now() - interval '23 hours 59 minutes'")

    assert alice.trigger(idempotency_key="k").duplicate


def test_within_a_batch_the_first_use_of_a_key_wins(alice: Alice) -> None:
    first, same, other = alice.triggers(
        [
            {"idempotency_key": "k"},
            {"idempotency_key": "k"},
            {"idempotency_key": "k", "contact": bob(first_name="Mallory", email="not-bobs@example.com")},
        ]
    )

    assert (first.duplicate, same.duplicate, same.trigger_id) == (False, True, first.trigger_id)
    assert read_refusal(other)[0] == 409
    assert count_executions() == 1
    assert fetch_value("select first_name from contacts") == "Bob"


def test_a_rejected_second_use_does_not_release_the_firsts_key(alice: Alice) -> None:
    alice.triggers([{"contact": bob(external_id="eve", email="eve@example.com", phone=None)}])
    eve = bob(external_id="new", email="eve@example.com", phone=None)
    alice.triggers([{"idempotency_key": "k"}, {"idempotency_key": "k", "contact": eve}])

    assert alice.trigger(idempotency_key="k").duplicate


def test_the_key_of_a_rejected_trigger_can_be_used_again(alice: Alice) -> None:
    (wrong,) = alice.triggers([{"idempotency_key": "k", "contact_id": "0190b6a2-0000-7000-8000-000000000000"}])

    assert read_refusal(wrong)[0] == 404
    assert not alice.trigger(idempotency_key="k").duplicate


def test_fifty_different_triggers_of_one_contact_are_fifty_executions(alice: Alice) -> None:
    run_concurrently(10, lambda n: alice.triggers([{"payload": {"n": f"{n}-{m}"}} for m in range(5)]))

    assert count_executions() == 50
    assert fetch_value("select count(*) from contacts") == 1


def test_a_thousand_triggers_are_accepted_beside_invalid_ones(alice: Alice) -> None:
    alice.trigger(contact=bob(external_id="owner", email="taken@example.com", phone=None))
    batch = [
        {"contact": {"external_id": f"c-{n}", "email": "taken@example.com" if n % 100 == 0 else f"c{n}@example.com"}}
        for n in range(1000)
    ]

    results = alice.triggers(batch)

    assert [index for index, result in enumerate(results) if isinstance(result, RejectedTrigger)] == list(
        range(0, 1000, 100)
    )
    assert count_executions() == 991


# Contacts


def list_contacts(workspace_id: str) -> list[dict[str, Any]]:
    return fetch_rows("select * from contacts where workspace_id = %s order by id", (workspace_id,))


@pytest.mark.parametrize(
    "identifiers",
    [
        {"external_id": "bob", "email": "new@example.com"},
        {"email": "BOB@example.com", "phone": "+15550999"},
        {"phone": "+15550123"},
        {"instagram_id": "ig-1"},
        {"facebook_id": "fb-1"},
    ],
)
def test_a_contact_is_found_by_each_of_its_identifiers(alice: Alice, identifiers: dict[str, Any]) -> None:
    contact_id = alice.trigger(contact=bob(instagram_id="ig-1", facebook_id="fb-1")).contact_id

    assert alice.trigger(contact=identifiers).contact_id == contact_id
    assert len(list_contacts(alice.workspace_id)) == 1


def test_the_first_identifier_that_matches_decides(alice: Alice) -> None:
    by_mail = alice.trigger(contact={"email": "a@example.com"}).contact_id
    alice.trigger(contact={"phone": "+15550777"})

    (result,) = alice.triggers([{"contact": {"email": "a@example.com", "phone": "+15550777"}}])

    assert read_refusal(result)[0] == 409
    assert alice.trigger(contact={"email": "a@example.com", "first_name": "Ann"}).contact_id == by_mail


def test_a_contact_without_an_external_id_gets_the_one_in_the_trigger(alice: Alice) -> None:
    contact_id = alice.trigger(contact={"email": "a@example.com"}).contact_id

    assert alice.trigger(contact={"external_id": "ann", "email": "a@example.com"}).contact_id == contact_id
    assert list_contacts(alice.workspace_id)[0]["external_id"] == "ann"


def test_an_address_of_a_contact_with_another_external_id_is_refused_by_name(alice: Alice) -> None:
    alice.trigger()

    (result,) = alice.triggers([{"contact": {"external_id": "eve", "email": "bob@example.com"}}])

    assert read_refusal(result) == (409, "bob@example.com belongs to the contact with externalId bob")
    assert result.problems[0].path == "contact.email"


def test_a_trigger_with_the_addresses_of_two_contacts_names_their_ids(alice: Alice) -> None:
    alice.trigger(contact={"email": "ada@example.com", "first_name": "Ada", "last_name": "Byron", "external_id": "a"})
    alice.trigger(contact={"phone": "+15550199", "first_name": "Bob", "external_id": "b"})

    (result,) = alice.triggers([{"contact": {"email": "ada@example.com", "phone": "+15550199"}}])

    message = "+15550199 belongs to the contact with externalId b, not to the one with externalId a"
    assert read_refusal(result) == (409, message)


def test_a_contact_never_has_more_tags_than_a_request(alice: Alice) -> None:
    alice.trigger(contact={"external_id": "a", "tags": [str(number) for number in range(100)]})

    (result,) = alice.triggers([{"contact": {"external_id": "a", "tags": ["more"]}}])

    assert read_refusal(result) == (409, "the contact would have 101 tags; at most 100 are possible")
    assert len(list_contacts(alice.workspace_id)[0]["tags"]) == 100


def test_fields_replace_null_clears_tags_add_and_attributes_merge(alice: Alice) -> None:
    alice.trigger(contact=bob(last_name="B", attributes={"plan": "pro", "seats": 3}))

    alice.trigger(
        contact={"external_id": "bob", "first_name": "Robert", "last_name": None, "tags": ["vip", "lead"],
                 "attributes": {"seats": 4, "plan": None}}
    )  # fmt: skip

    (contact,) = list_contacts(alice.workspace_id)
    assert (contact["first_name"], contact["last_name"], contact["email"]) == ("Robert", None, "bob@example.com")
    assert (contact["tags"], contact["attributes"]) == (["lead", "vip"], {"seats": 4})


def test_two_requests_that_race_to_create_a_contact_create_one(alice: Alice) -> None:
    results = run_concurrently(
        12, lambda n: alice.trigger(contact={"email": "race@example.com", "attributes": {f"n{n}": n}})
    )

    assert len({result.contact_id for result in results}) == 1
    (contact,) = list_contacts(alice.workspace_id)
    assert contact["attributes"] == {f"n{n}": n for n in range(12)}


def test_concurrent_batches_change_the_same_contacts_without_a_deadlock(alice: Alice) -> None:
    def batch(number: int) -> list[Any]:
        order = list(range(40)) if number % 2 else list(reversed(range(40)))
        # Each pair of batches names the contacts by different identifiers first.
        return alice.triggers(
            [
                {"contact": {"email": f"c{n}@example.com", "phone": f"+1555{n:04}"}, "payload": {"by": number}}
                for n in order
            ]
        )

    results = [result for batch_results in run_concurrently(8, batch) for result in batch_results]

    assert all(isinstance(result, AcceptedTrigger) for result in results)
    assert len(list_contacts(alice.workspace_id)) == 40
    assert count_executions() == 320


def test_a_batch_that_is_a_deadlock_victim_is_tried_again(alice: Alice, settings: Settings) -> None:
    insert = "insert into contacts (id, workspace_id, email) values (gen_random_uuid(), %s, %s)"
    batch = [{"contact": {"email": f"{letter}@example.com"}} for letter in "az"]
    with psycopg2.connect(settings.database_url) as other, other.cursor() as cursor, ThreadPoolExecutor(1) as pool:
        cursor.execute(insert, (alice.workspace_id, "z@example.com"))
        future = pool.submit(alice.triggers, batch)
        eventually(count_lock_waiters, timeout=3)
        cursor.execute(insert, (alice.workspace_id, "a@example.com"))
        other.commit()
        assert all(isinstance(result, AcceptedTrigger) for result in future.result(10))
    other.close()

    assert len(list_contacts(alice.workspace_id)) == 2


# Matching automations


def test_only_the_named_automation_starts(alice: Alice) -> None:
    named = alice.automation(HELLO, name="Another")

    accepted = alice.trigger(automation_id=named)

    assert [started["automationId"] for started in accepted.executions] == [named]


def test_a_missing_automation_is_a_404(alice: Alice) -> None:
    (result,) = alice.triggers([{"automation_id": "0190b6a2-0000-7000-8000-000000000000"}])
    assert read_refusal(result)[0] == 404


def test_a_condition_on_contact_and_payload_chooses(idle: Worker) -> None:
    alice = Alice()
    where = "payload.plan == 'pro' and contact.tags contains 'lead'"
    alice.automation(trigger={"type": "contact.created", "where": where})

    assert alice.trigger(payload={"plan": "free"}).executions == []
    assert len(alice.trigger(payload={"plan": "pro"}).executions) == 1


def test_an_automation_that_is_off_starts_only_for_tests(alice: Alice) -> None:
    off = alice.automation(trigger={"type": "off.event", "where": "payload.never == 1"}, enabled=False)

    assert alice.trigger("off.event").executions == []
    assert alice.trigger("off.event", automation_id=off).executions == []
    assert len(alice.trigger("off.event", test=True).executions) == 1


def test_a_trigger_without_a_matching_automation_is_accepted(alice: Alice) -> None:
    assert alice.trigger("nobody.listens").executions == []
    assert fetch_value("select count(*) from triggers") == 1


def test_a_test_does_not_change_an_existing_contact(alice: Alice) -> None:
    alice.trigger()
    before = list_contacts(alice.workspace_id)

    alice.trigger(test=True, contact=bob(first_name="Changed", tags=["changed"]))

    assert list_contacts(alice.workspace_id) == before


def test_turning_off_and_publishing_apply_to_the_next_trigger(alice: Alice) -> None:
    from ephemeral import workflow_cache

    first = alice.trigger().executions[0]["automationId"]
    automation.toggle(alice.workspace_id, first, False, SYSTEM)
    workflow_cache.invalidate(alice.workspace_id)

    assert alice.trigger().executions == []


def test_a_named_event_wakes_the_execution_that_waits_for_it(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    alice.automation(WAITING)
    waiting = wait_for_status(alice.trigger())
    assert waiting["waiting_for"] == "event"

    alice.trigger("order.paid", contact=bob(external_id="somebody-else", email="x@example.com", phone=None))
    assert execution(waiting["id"])["waiting_for"] == "event"
    alice.trigger("order.paid")

    assert wait_until_finished(waiting["id"])["status"] == "succeeded"


# Tenants


def test_two_workspaces_share_no_contact_no_key_and_no_automation(alice: Alice) -> None:
    charlie = Alice(name="charlie")
    alices = alice.trigger(idempotency_key="k")

    charlies = charlie.trigger(idempotency_key="k")

    assert not charlies.duplicate
    assert charlies.executions == []
    assert charlies.contact_id != alices.contact_id
    (by_id,) = charlie.triggers([{"contact_id": alices.contact_id}])
    (by_automation,) = charlie.triggers([{"automation_id": alices.executions[0]["automationId"]}])
    assert (read_refusal(by_id)[0], read_refusal(by_automation)[0]) == (404, 404)


def test_another_workspaces_event_wakes_no_execution(engine: Engine) -> None:
    alice, charlie = Alice(), Alice(name="charlie")
    alice.automation(WAITING)
    waiting = wait_for_status(alice.trigger())

    charlie.trigger("order.paid")

    assert execution(waiting["id"])["event_at"] is None


# Straight into Redis


def enqueue(worker: Worker, trigger: Any) -> None:
    message: Any = dramatiq.Message(
        queue_name="triggers", actor_name="receive_trigger", args=(), kwargs={"trigger": trigger}, options={}
    )
    worker.broker.enqueue(message)


def test_a_message_in_redis_starts_the_same_as_the_api(alice: Alice, idle: Worker, sandbox: RunningSandbox) -> None:
    enqueue(
        idle,
        {
            "workspaceId": alice.workspace_id,
            "type": "contact.created",
            "contact": {"externalId": "c-1", "firstName": "Ada", "email": "ada@example.com", "timezone": "Europe/Rome"},
            "payload": {"any": "json"},
            "idempotencyKey": "once",
            "test": False,
        },
    )
    idle.resume()

    started = eventually(lambda: fetch_row("select * from executions"))
    assert wait_until_finished(started["id"])["status"] == "succeeded"
    assert fetch_value("select source from triggers") == "redis"
    assert [message["to"] for message in sandbox.list_messages(provider="mailgun")] == ["ada@example.com"]


def test_a_message_that_arrives_twice_starts_once(alice: Alice, idle: Worker, sandbox: RunningSandbox) -> None:
    trigger = {"workspaceId": alice.workspace_id, "type": "contact.created", "contact": {"email": "a@example.com"},
             "idempotencyKey": "once"}  # fmt: skip
    for _ in range(10):
        enqueue(idle, trigger)
    idle.resume()

    idle.broker.join("triggers", interval=20)
    eventually(lambda: count_provider_calls(sandbox) == 1)
    assert count_executions() == 1


@pytest.mark.parametrize(
    "malformed",
    [
        "no object",
        {"workspaceId": None, "type": "contact.created"},
        {"workspaceId": "0190b6a2-0000-7000-8000-000000000000", "type": "contact.created"},
        {"workspaceId": 5, "type": []},
        {"type": "contact.created", "contact": {"email": "no address"}},
        {"type": "contact.created", "unknown": 1},
        {"type": "contact.created", "idempotencyKey": ""},
    ],
)
def test_a_malformed_message_is_dropped_and_the_next_is_accepted(alice: Alice, idle: Worker, malformed: Any) -> None:
    if isinstance(malformed, dict):
        malformed = {"workspaceId": alice.workspace_id, **malformed}
    enqueue(idle, malformed)
    enqueue(idle, {"workspaceId": alice.workspace_id, "type": "after.it"})
    idle.resume()

    eventually(lambda: fetch_value("select count(*) from triggers where type = 'after.it'") == 1)
    assert fetch_value("select count(*) from triggers") == 1


def test_a_key_held_by_a_slow_request_is_rejected_temporarily(alice: Alice, settings: Settings) -> None:
    with psycopg2.connect(settings.database_url) as slow, slow.cursor() as cursor:
        _hold_key(cursor, alice)
        (result,) = alice.triggers([{"idempotency_key": "k"}])
        slow.rollback()
    slow.close()

    assert read_refusal(result)[0] == 409
    assert result.retry_after == 1


def _hold_key(cursor: Any, alice: Alice) -> None:
    cursor.execute(
        "insert into idempotency_keys (workspace_id, key, body_hash, trigger_id) values (%s, 'k', 'x', %s)",
        (alice.workspace_id, alice.workspace_id),
    )


def test_a_message_whose_key_is_held_by_a_slow_request_is_not_lost(
    alice: Alice, idle: Worker, settings: Settings
) -> None:
    with psycopg2.connect(settings.database_url) as slow, slow.cursor() as cursor:
        _hold_key(cursor, alice)
        enqueue(idle, {"workspaceId": alice.workspace_id, "type": "contact.created", "contact": {"email": "a@b.co"},
                       "idempotencyKey": "k"})  # fmt: skip
        idle.resume()
        client, namespace = idle.broker.client, idle.broker.namespace
        eventually(
            lambda: client.llen(f"{namespace}:triggers.DQ") or client.hlen(f"{namespace}:triggers.DQ.msgs"), timeout=8
        )
        assert count_executions() == 0
        slow.rollback()
    slow.close()

    eventually(lambda: count_executions() == 1, timeout=15)


def test_the_contact_is_found_only_through_the_acting_workspace(alice: Alice) -> None:
    charlie = Alice(name="charlie")
    alice.trigger()
    with acting_as(charlie.workspace_id):
        assert fetch_row("select 1 from contacts where workspace_id = acting_workspace()") is None
