"""Single triggers are accepted in groups, and each gets the answer that it would get by itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import psycopg2
import pytest
from werkzeug.test import TestResponse

from models import contact_matching, database, trigger
from models.database import acting_as
from models.queries import fetch_value
from tasks.intake import single_triggers, triggers
from tests.dashboard.producers import Producer, definition
from tests.support.concurrency import count_lock_waiters
from tests.support.rows import fetch_rows
from tests.support.waiting import eventually


@dataclass
class Group:
    """Sends triggers so that all but the first, whose transaction is held, are accepted together."""

    producer: Producer
    pool: ThreadPoolExecutor
    gate: threading.Event = field(default_factory=threading.Event)
    #: How many triggers each transaction of a door had.
    sizes: list[int] = field(default_factory=list)

    def send(self, *bodies: dict[str, Any]) -> list[TestResponse]:
        """Return the responses to these triggers, which arrive in this order behind a first one."""
        futures = self.start(*bodies)
        self.gate.set()
        return [future.result(20) for future in futures]

    def start(self, *bodies: dict[str, Any]) -> list[Future[TestResponse]]:
        """Send the triggers; they wait until the gate opens."""
        self.sizes.clear()
        first = self.pool.submit(self._post, {"type": "first"})
        eventually(lambda: self.sizes)
        door = single_triggers._find_door(self.producer.workspace_id, "api")
        futures = []
        for count, body in enumerate(bodies, 1):
            futures.append(self.pool.submit(self._post, body))
            eventually(lambda count=count: len(door._waiting) == count)
        assert not first.done()
        return futures

    def _post(self, body: dict[str, Any]) -> TestResponse:
        producer = Producer(
            self.producer.client.application.test_client(), self.producer.workspace_id, self.producer.secret
        )
        return producer.post("/api/triggers", body)


@pytest.fixture
def group(alice: Producer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Group]:
    accept = single_triggers.accept_without_waiting

    def hold_first(workspace_id: str, requests: Sequence[Any], *arguments: Any) -> Any:
        group.sizes.append(len(requests))
        if requests[0].type == "first":
            assert group.gate.wait(20)
        return accept(workspace_id, requests, *arguments)

    with ThreadPoolExecutor(20) as pool:
        group = Group(alice, pool)
        monkeypatch.setattr(single_triggers, "accept_without_waiting", hold_first)
        yield group
        group.gate.set()


def count(producer: Producer, table: str) -> int:
    with acting_as(producer.workspace_id):
        return int(fetch_value(f"select count(*) from {table}"))


def build(number: int, **fields: Any) -> dict[str, Any]:
    contact = {"externalId": f"c-{number}", "email": f"c{number}@example.com"}
    return {"type": "contact.created", "contact": contact, "idempotencyKey": f"k-{number}", **fields}


def test_concurrent_triggers_of_a_workspace_share_one_transaction(group: Group) -> None:
    group.producer.create()
    responses = group.send(*(build(number) for number in range(10)))
    assert [response.status_code for response in responses] == [202] * 10
    assert len({response.json["executions"][0]["executionId"] for response in responses}) == 10
    assert group.sizes == [1, 10]
    with acting_as(group.producer.workspace_id):
        transactions = fetch_rows("select distinct xmin::text from triggers where type = 'contact.created'")
    assert len(transactions) == 1
    assert count(group.producer, "executions") == 10


def test_two_workspaces_share_no_transaction(group: Group, charlie: Producer) -> None:
    futures = group.start(build(1))
    theirs = charlie.post("/api/triggers", build(1))
    assert (theirs.status_code, theirs.json["duplicate"]) == (202, False)
    group.gate.set()
    assert futures[0].result(20).json["duplicate"] is False
    assert (count(group.producer, "contacts"), count(charlie, "contacts")) == (1, 1)


def test_a_rejected_trigger_spoils_none_of_its_group(group: Group) -> None:
    missing = "0190b6a2-0000-7000-8000-000000000000"
    group.producer.post("/api/triggers", build(50))
    responses = group.send(
        build(1),
        {"type": "a", "contactId": missing},
        {"type": "a", "automationId": missing},
        build(2, contact={"externalId": "other", "email": "c50@example.com"}),
        {"type": "page.viewed", "contact": {}},
        build(3),
    )
    assert [response.status_code for response in responses][:4] == [202, 404, 404, 409]
    assert responses[5].status_code == 202
    assert responses[3].json["errors"][0]["path"] == "contact.email"


def test_an_error_of_one_trigger_spoils_none_of_its_group(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    group.producer.create()
    choose = triggers.match

    def fail_for_bad(rule: Any, payload: Any) -> Any:
        if payload.get("bad"):
            raise ValueError("bad")
        return choose(rule, payload)

    monkeypatch.setattr(triggers, "match", fail_for_bad)
    responses = group.send(build(1), build(2), build(3, payload={"bad": True}), build(4), build(5))
    assert [response.status_code for response in responses] == [202, 202, 500, 202, 202]
    assert count(group.producer, "executions") == 4


def test_the_first_use_of_a_key_in_a_group_wins(group: Group) -> None:
    group.producer.create()
    first, same, other = group.send(build(1), build(1), build(1, payload={"other": "body"}))
    assert (first.status_code, same.status_code) == (202, 200)
    assert same.json == {**first.json, "duplicate": True}
    assert (other.status_code, other.json["errors"][0]["path"]) == (409, "idempotencyKey")
    assert count(group.producer, "executions") == 1


def test_a_key_that_the_group_s_first_failed_to_use_is_free_for_the_next(group: Group) -> None:
    missing = {"type": "a", "contactId": "0190b6a2-0000-7000-8000-000000000000", "idempotencyKey": "k-1"}
    bad, good = group.send(missing, build(1))
    assert (bad.status_code, good.status_code) == (404, 202)
    # They race when they are decided apart, as they would without a group.
    assert good.json["duplicate"] is False


def test_a_key_that_another_process_holds_holds_up_no_other(group: Group, database_urls: Any) -> None:
    hold = "insert into idempotency_keys (workspace_id, key, body_hash, trigger_id) values (%s, 'k-1', 'x', %s)"
    with psycopg2.connect(database_urls.owner) as slow, slow.cursor() as cursor:
        cursor.execute(hold, (group.producer.workspace_id, group.producer.workspace_id))
        held, *others = group.start(build(1), build(2), build(3))
        group.gate.set()
        assert [future.result(20).status_code for future in others] == [202, 202]
        eventually(count_lock_waiters)
        assert not held.done()
        slow.rollback()
    slow.close()
    assert held.result(20).status_code == 202


def test_a_contact_that_another_transaction_holds_holds_up_no_other(group: Group, database_urls: Any) -> None:
    group.producer.post("/api/triggers", build(1))
    with psycopg2.connect(database_urls.owner) as slow, slow.cursor() as cursor:
        cursor.execute("set role beckon_service; select id from contacts where external_id = 'c-1' for update")
        held, *others = group.start(build(1, idempotencyKey="again"), build(2), build(3))
        group.gate.set()
        assert [future.result(20).status_code for future in others] == [202, 202]
        assert not held.done()
        slow.rollback()
    slow.close()
    assert held.result(20).status_code == 202


def test_each_trigger_of_a_group_sees_the_contact_as_it_made_it(group: Group) -> None:
    group.producer.create(definition=definition(where="contact.attributes.plan == 'free'"))
    contact = {"externalId": "c"}
    free, pro = group.send(
        build(1, contact={**contact, "attributes": {"plan": "free"}}),
        build(2, contact={**contact, "attributes": {"plan": "pro"}}),
    )
    assert (len(free.json["executions"]), pro.json["executions"]) == (1, [])


def test_a_cool_down_holds_within_a_group(group: Group) -> None:
    message = {"type": "instagram.message", "with": {"default": True, "cooldown": "1h"}}
    group.producer.create(definition=definition(**message))
    sent = {
        "type": "instagram.message",
        "contact": {"externalId": "c", "instagramId": "ig-1"},
        "payload": {"text": "a"},
    }
    first, second = group.send(sent, sent)
    assert (len(first.json["executions"]), second.json["executions"]) == (1, [])


def test_without_postgresql_all_get_503_and_repeating_them_has_one_effect(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    group.producer.create()
    insert = trigger.insert

    def lose_connection(*arguments: Any, **options: Any) -> Any:
        database.db.connection().close()
        return insert(*arguments, **options)

    bodies = [build(number) for number in range(5)]
    with monkeypatch.context() as patch:
        futures = group.start(*bodies)
        patch.setattr(trigger, "insert", lose_connection)
        group.gate.set()
        responses = [future.result(20) for future in futures]
    assert [(response.status_code, response.headers["Retry-After"]) for response in responses] == [(503, "5")] * 5
    assert count(group.producer, "triggers") == 0
    again = [group.producer.post("/api/triggers", body).status_code for body in (*bodies, *bodies)]
    assert again == [202] * 5 + [200] * 5
    assert count(group.producer, "executions") == 5


def test_a_contact_that_another_transaction_creates_meanwhile_is_matched(
    alice: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    match = contact_matching.match
    created: list[str] = []

    def create_after_reading(*arguments: Any) -> Any:
        if not created:
            created.append("")
            with ThreadPoolExecutor(1) as other:
                created[0] = other.submit(_create_contact, alice.workspace_id).result(20)
        return match(*arguments)

    monkeypatch.setattr(contact_matching, "match", create_after_reading)
    alice.create()
    response = alice.post("/api/triggers", build(1))
    assert (response.status_code, response.json["contactId"]) == (202, created[0])
    assert (count(alice, "contacts"), count(alice, "triggers"), count(alice, "executions")) == (1, 1, 1)
    assert alice.post("/api/triggers", build(1)).json["duplicate"]


def _create_contact(workspace_id: str) -> str:
    with acting_as(workspace_id):
        (contact,) = contact_matching.match_or_create(workspace_id, [(None, {"external_id": "c-1"})])
    assert isinstance(contact, dict)
    return contact["id"]


def test_a_refused_commit_accepts_nothing(alice: Producer, monkeypatch: pytest.MonkeyPatch) -> None:
    alice.create()
    broken = "select 1 / 0"
    execute_calls = database.db.execute_calls
    monkeypatch.setattr(
        database.db,
        "execute_calls",
        lambda calls, commits=False: execute_calls([*calls, (broken, ())] if commits else calls, commits=commits),
    )
    assert alice.post("/api/triggers", build(1)).status_code == 500
    monkeypatch.setattr(database.db, "execute_calls", execute_calls)
    assert count(alice, "contacts") == count(alice, "triggers") == count(alice, "idempotency_keys") == 0
    assert alice.post("/api/triggers", build(1)).status_code == 202
