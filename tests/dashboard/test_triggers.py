"""Triggers over HTTP: accepted once, repeated with the same response, rejected with the invalid field."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import flask
import pytest

import clock
from models import contact_scan, sample_contact
from models.database import acting_as
from models.queries import fetch_value
from tests.dashboard.producers import Producer, definition
from workers import demo_session

ADA = {"externalId": "c-1", "firstName": "Ada", "email": "ada@example.com"}


def count_triggers(producer: Producer) -> int:
    with acting_as(producer.workspace_id):
        return int(fetch_value("select count(*) from triggers"))


def test_an_accepted_trigger_starts_the_automations_of_its_type(alice: Producer) -> None:
    automation = alice.create()
    response = alice.post("/api/triggers", {"type": "contact.created", "contact": ADA, "payload": {"n": 1}})
    assert response.status_code == 202
    assert response.json["success"] is True
    assert response.json["duplicate"] is False
    assert [accepted["automationId"] for accepted in response.json["executions"]] == [automation["id"]]
    execution = alice.get(f"/api/executions/{response.json['executions'][0]['executionId']}").json["execution"]
    assert (execution["status"], execution["stage"]) == ("pending", "queued")
    assert execution["contactId"] == response.json["contactId"]


def test_a_trigger_without_a_matching_automation_is_accepted(alice: Producer) -> None:
    response = alice.post("/api/triggers", {"type": "nobody.cares"})
    assert (response.status_code, response.json["executions"]) == (202, [])
    assert count_triggers(alice) == 1


def test_a_repeated_key_answers_200_with_the_first_response(alice: Producer) -> None:
    alice.create()
    body = {"type": "contact.created", "contact": ADA, "idempotencyKey": "k-1"}
    first, again = alice.post("/api/triggers", body), alice.post("/api/triggers", body)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json == {**first.json, "duplicate": True}
    assert count_triggers(alice) == 1


def test_the_key_may_be_in_the_header(alice: Producer) -> None:
    header = {"Idempotency-Key": "k-1"}
    alice.post("/api/triggers", {"type": "a"}, headers=header)
    assert alice.post("/api/triggers", {"type": "a", "idempotencyKey": "k-1"}, headers=header).status_code == 200
    differing = alice.post("/api/triggers", {"type": "a", "idempotencyKey": "k-2"}, headers=header)
    assert (differing.status_code, differing.json["errors"][0]["path"]) == (422, "idempotencyKey")


def test_a_hundred_concurrent_requests_with_one_key_are_one_trigger(alice: Producer) -> None:
    alice.create()
    body = {"type": "contact.created", "contact": ADA, "idempotencyKey": "k"}

    def send_trigger(_: int) -> tuple[int, str, bool]:
        producer = Producer(alice.client.application.test_client(), alice.workspace_id, alice.secret)
        response = producer.post("/api/triggers", body)
        return response.status_code, response.json["triggerId"], response.json["duplicate"]

    with ThreadPoolExecutor(16) as threads:
        responses = list(threads.map(send_trigger, range(100)))
    assert len({trigger_id for _, trigger_id, _ in responses}) == 1
    assert sorted(status for status, _, _ in responses) == [200] * 99 + [202]
    assert sum(not duplicate for _, _, duplicate in responses) == 1
    assert count_triggers(alice) == 1
    with acting_as(alice.workspace_id):
        assert fetch_value("select count(*) from executions") == 1


def test_a_key_with_another_body_is_a_conflict(alice: Producer) -> None:
    alice.post("/api/triggers", {"type": "a", "payload": {"n": 1}, "idempotencyKey": "k"})
    response = alice.post("/api/triggers", {"type": "a", "payload": {"n": 2}, "idempotencyKey": "k"})
    assert (response.status_code, response.json["errors"][0]["path"]) == (409, "idempotencyKey")


def test_a_key_belongs_to_its_workspace(alice: Producer, charlie: Producer) -> None:
    body = {"type": "a", "idempotencyKey": "k"}
    assert alice.post("/api/triggers", body).status_code == 202
    assert charlie.post("/api/triggers", body).status_code == 202


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "type"),
        ({"type": 3}, "type"),
        ({"type": "a b"}, "type"),
        ({"type": ""}, "type"),
        ({"type": "a", "colour": "red"}, "colour"),
        ({"type": "a", "test": "yes"}, "test"),
        ({"type": "a", "test": 1}, "test"),
        ({"type": "a", "payload": []}, "payload"),
        ({"type": "a", "contact": {"email": "nonsense"}}, "contact.email"),
        ({"type": "a", "contact": {"colour": "red"}}, "contact.colour"),
        ({"type": "a", "contact": {"tags": ["x" * 65]}}, "contact.tags[0]"),
        ({"type": "a", "payload": {"a": [{"b": "nul\x00"}]}}, "payload.a[0].b"),
        ({"type": "a", "payload": {"b\x07l": 1}}, 'payload."b\\u0007l"'),
        ({"type": "a", "idempotencyKey": "k\n"}, "idempotencyKey"),
        ({"type": "a\n"}, "type"),
    ],
)
def test_invalid_fields_are_reported_and_nothing_is_written(alice: Producer, body: Any, path: str) -> None:
    response = alice.post("/api/triggers", body)
    assert response.status_code == 422
    assert response.mimetype == "application/problem+json"
    assert response.json["success"] is False
    assert path in [error["path"] for error in response.json["errors"]]
    assert count_triggers(alice) == 0


TOO_MANY = {
    "lists": b'{"type":"a","payload":{"x":[' + b"[]," * 20_480 + b"1]}}",
    "objects": b'{"type":"a","payload":{"x":[' + b'{"a":1},' * 12_000 + b"1]}}",
    "numbers": b'{"type":"a","payload":{"x":[' + b"1," * 20_480 + b"1]}}",
    "texts": b'{"type":"a","payload":{"x":[' + b'",\\"",' * 20_480 + b"1]}}",
    "names": b'{"type":"a","payload":{' + b'"a":1,' * 20_480 + b'"b":1}}',
    "no end": b'{"type":"a","payload":{"x":[' + b"[" * 20_480,
}


@pytest.mark.parametrize("raw", TOO_MANY.values(), ids=TOO_MANY)
def test_a_body_of_too_many_values_is_413_unparsed(
    alice: Producer, monkeypatch: pytest.MonkeyPatch, raw: bytes
) -> None:
    monkeypatch.setattr("rules.body_json.parse_json", None)
    response = alice.request("POST", "/api/triggers", data=raw, content_type="application/json")
    assert response.status_code == 413
    assert "20,480 values" in response.json["detail"]


def test_commas_in_texts_are_not_values(alice: Producer) -> None:
    assert alice.post("/api/triggers", {"type": "a", "payload": {"text": ',[{"\\' * 50_000}}).status_code == 202


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b'{"type": NaN}', 400),
        (b"[" * 20_000, 400),
        (b"[" * 100_000, 413),
        (b"[]", 422),
        (b'"text"', 422),
        (b"null", 422),
        (b'{"type":"a","payload":{"n":1e999}}', 422),
        (b'{"type":"a","payload":{"n":' + b"9" * 400 + b"}}", 422),
        (b'{"type":"a","payload":{"n":' + b"9" * 5000 + b"}}", 400),
        (b'{"type":"a","payload":{"t":"\\ud800"}}', 422),
        (b'{"type":"a","payload":{"t":"\\u0000"}}', 422),
        (b'{"type":"a","payload":' + b'{"a":' * 40 + b"1" + b"}" * 41, 422),
    ],
)
def test_an_unreadable_body_is_rejected(alice: Producer, raw: bytes, status: int) -> None:
    response = alice.request("POST", "/api/triggers", data=raw, content_type="application/json")
    assert response.status_code == status
    assert count_triggers(alice) == 0


def test_another_content_type_is_415(alice: Producer) -> None:
    response = alice.request("POST", "/api/triggers", data=b'{"type":"a"}', content_type="text/plain")
    assert response.status_code == 415


def test_a_body_that_is_too_large_is_413_with_and_without_a_length(alice: Producer) -> None:
    large = b'{"type":"a","payload":{"t":"' + b"x" * 1024 * 1024 + b'"}}'
    response = alice.request("POST", "/api/triggers", data=large, content_type="application/json")
    assert response.status_code == 413
    chunked = alice.request(
        "POST", "/api/triggers", data=large, content_type="application/json",
        environ_overrides={"wsgi.input_terminated": True, "CONTENT_LENGTH": None, "HTTP_TRANSFER_ENCODING": "chunked"},
    )  # fmt: skip
    assert chunked.status_code == 413


def test_an_unknown_contact_is_404_and_a_taken_address_409(alice: Producer) -> None:
    missing = alice.post("/api/triggers", {"type": "a", "contactId": "01a00000-0000-7000-8000-000000000000"})
    assert (missing.status_code, missing.json["errors"][0]["path"]) == (404, "contactId")
    assert alice.post("/api/triggers", {"type": "a", "contactId": "nonsense"}).status_code == 404
    alice.post("/api/triggers", {"type": "a", "contact": ADA})
    taken = alice.post("/api/triggers", {"type": "a", "contact": {**ADA, "externalId": "c-2"}})
    assert (taken.status_code, taken.json["errors"][0]["path"]) == (409, "contact.email")


def test_each_entry_of_a_batch_is_validated_separately(alice: Producer) -> None:
    alice.create()
    good = {"type": "contact.created", "contact": ADA, "idempotencyKey": "k"}
    response = alice.post("/api/triggers/batch", {"triggers": [good, {"type": 3}, good, "text", {"type": "a", "x": 1}]})
    assert response.status_code == 202
    assert (response.json["accepted"], response.json["duplicates"]) == (1, 1)
    assert [(rejection["index"], rejection["errors"][0]["path"]) for rejection in response.json["rejected"]] == [
        (1, "triggers[1].type"), (3, "triggers[3]"), (4, "triggers[4].x"),
    ]  # fmt: skip
    assert [result["index"] for result in response.json["results"]] == [0, 2]


def test_a_type_or_key_with_other_characters_is_told_which_are_allowed(alice: Producer) -> None:
    response = alice.post("/api/triggers", {"type": "order paid", "idempotencyKey": "clé"})
    assert (response.status_code, {problem["path"]: problem["message"] for problem in response.json["errors"]}) == (
        422,
        {
            "type": "must be letters, digits and _ . : / - and begin with a letter or digit",
            "idempotencyKey": "must be printable ASCII characters",
        },
    )


def test_a_rejected_entry_says_its_status_and_whether_it_may_be_sent_again(alice: Producer) -> None:
    alice.create()
    accepted = {"type": "contact.created", "contact": ADA, "idempotencyKey": "k"}
    alice.post("/api/triggers", accepted)
    other_body = {**accepted, "payload": {"plan": "pro"}}
    unknown = {"type": "a", "contactId": "01a00000-0000-7000-8000-000000000000"}
    response = alice.post("/api/triggers/batch", {"triggers": [other_body, unknown, {"type": 3}]})
    rejected = [(entry["status"], entry["retryAfter"]) for entry in response.json["rejected"]]
    assert rejected == [(409, None), (404, None), (422, None)]


def test_a_batch_has_1_to_1000_entries(alice: Producer) -> None:
    for entries in ([], [{"type": "a"}] * 1001):
        response = alice.post("/api/triggers/batch", {"triggers": entries})
        assert (response.status_code, response.json["errors"][0]["path"]) == (422, "triggers")


def test_a_batch_may_have_five_mebibytes(alice: Producer) -> None:
    entry = {"type": "a", "payload": {"t": "x" * 20_000}}
    assert alice.post("/api/triggers/batch", {"triggers": [entry] * 100}).status_code == 202
    assert alice.post("/api/triggers/batch", {"triggers": [entry] * 270}).status_code == 413


def test_a_hook_starts_its_automation_with_the_body_as_payload(alice: Producer) -> None:
    automation = alice.create(definition=definition(type="hook"))
    path = automation["hookUrl"].removeprefix("http://localhost")
    response = alice.client.post(path, json={"amount": 3, "contact": ADA}, headers={"Idempotency-Key": "k"})
    assert response.status_code == 202
    assert [execution["automationId"] for execution in response.json["executions"]] == [automation["id"]]
    with acting_as(alice.workspace_id):
        assert fetch_value("select payload ->> 'amount' from triggers") == "3"
    assert alice.client.post("/api/hooks/nonsense", json={}).status_code == 404
    assert alice.client.post(path, data=b"{").status_code in (400, 415)


def test_a_test_trigger_starts_an_automation_that_is_off(alice: Producer) -> None:
    automation = alice.create(enabled=False)
    response = alice.post(f"/api/automations/{automation['id']}/trigger", {"contact": ADA})
    assert response.status_code == 202
    (started,) = response.json["executions"]
    assert alice.get(f"/api/executions/{started['executionId']}").json["execution"]["test"] is True


def test_a_test_trigger_accepts_several_contacts_or_sample_contacts(alice: Producer) -> None:
    path = f"/api/automations/{alice.create()['id']}/trigger"
    assert len(alice.post(path, {"sample": 3}).json["executions"]) == 3
    assert len(alice.post(path, {"sample": 2.0}).json["executions"]) == 2
    ids = [alice.post("/api/contacts", {"email": f"{name}@example.com"}).json["contact"]["id"] for name in "ab"]
    assert len(alice.post(path, {"contactIds": ids}).json["triggerIds"]) == 2
    for refused in ({"sample": 101}, {"sample": 1, "contactIds": ids}, {"sample": 1, "test": False}):
        assert alice.post(path, refused).status_code == 422


def test_a_test_trigger_returns_the_sample_event_that_it_made(alice: Producer) -> None:
    where = "payload.amount > 100 and payload.plan == 'pro'"
    path = f"/api/automations/{alice.create(definition=definition(type='invoice.overdue', where=where))['id']}/trigger"
    assert alice.post(path, {"sample": 1}).json["payload"] == {"amount": 101, "plan": "pro"}
    assert alice.post(path, {"contact": ADA}).json["payload"] == {"amount": 101, "plan": "pro"}
    edited = alice.post(path, {"sample": 2, "payload": {"amount": 7}}).json
    assert edited["payload"] == {"amount": 7}
    execution = alice.get(f"/api/executions/{edited['executions'][0]['executionId']}").json["execution"]
    assert execution["test"] is True
    # Nothing is invented for a real execution.
    assert alice.post(path, {"contact": ADA, "test": False}).json["payload"] == {}


def test_sample_contacts_are_in_no_list_count_or_search(alice: Producer) -> None:
    path = f"/api/automations/{alice.create()['id']}/trigger"
    started = alice.post(path, {"sample": 2}).json["executions"]
    contact_id = alice.get(f"/api/executions/{started[0]['executionId']}").json["execution"]["contactId"]
    for query in (
        "",
        "?q=ada",
        "?q=ada.byron@sample.example",
        f"?q={contact_id}",
        "?tag=sample",
        "?q=Byron&tag=sample",
    ):
        assert alice.get(f"/api/contacts{query}").json["contacts"] == []
    # A second test uses the same people, and a real trigger cannot reach them.
    alice.post(path, {"sample": 2})
    again = alice.post(path, {"contactIds": [contact_id]})
    assert (again.status_code, len(again.json["executions"])) == (202, 1)
    assert alice.post("/api/triggers", {"type": "contact.created", "contactId": contact_id}).status_code == 404
    assert alice.post(path, {"contactId": contact_id, "test": False}).status_code == 404


def test_contacts_of_the_demo_are_in_no_list_search_or_audience(alice: Producer) -> None:
    alice.post("/api/contacts", {"firstName": "John", "lastName": "Real", "email": "john@example.com"})
    sample_contact.ensure(alice.workspace_id, demo_session.build_contacts(clock.now()))
    for path in ("/api/contacts", "/api/contacts?q=John", "/api/contacts?tag=demo", "/api/search?q=John"):
        response = alice.get(path)
        assert response.status_code == 200
        assert "demo-session" not in response.text, path
    # Whom schedules and contact.inactive reach.
    with acting_as(alice.workspace_id):
        assert [row["last_name"] for row in contact_scan.fetch_page(None, 100)] == ["Real"]


def test_a_repeated_key_of_a_test_returns_the_first_response(alice: Producer) -> None:
    path = f"/api/automations/{alice.create()['id']}/trigger"
    first = alice.post(path, {"contact": ADA, "idempotencyKey": "once"})
    assert alice.post(path, {"contact": ADA, "idempotencyKey": "once"}).json["triggerId"] == first.json["triggerId"]
    assert alice.post(path, {"contact": ADA, "idempotencyKey": "once", "payload": {"a": 1}}).status_code == 409


def test_without_a_sandbox_every_test_is_409(alice: Producer, app: flask.Flask) -> None:
    automation = alice.create()
    app.extensions["settings"] = app.extensions["settings"].replace(sandbox="off")
    path = f"/api/automations/{automation['id']}/trigger"
    for body in ({"sample": 1}, {"contact": ADA}, {}):
        response = alice.post(path, body)
        assert (response.status_code, "BECKON_SANDBOX is off" in response.json["detail"]) == (409, True)
    trigger = {"type": "contact.created", "contact": ADA}
    assert alice.post("/api/triggers", {**trigger, "test": True}).status_code == 409
    batch = alice.post("/api/triggers/batch", {"triggers": [{**trigger, "test": True}, trigger]}).json
    assert [entry["errors"][0]["path"] for entry in batch["rejected"]] == ["triggers[0].test"]
    assert batch["accepted"] == 1
    assert alice.post(path, {"contact": ADA, "test": False}).status_code == 202


def test_a_test_trigger_of_another_workspaces_automation_is_404(alice: Producer, charlie: Producer) -> None:
    path = f"/api/automations/{alice.create()['id']}/trigger"
    assert charlie.post(path, {}).status_code == 404
    assert charlie.post(path, {"sample": 2}).status_code == 404
    assert count_triggers(charlie) == 0


def test_a_new_contact_of_a_test_is_in_no_list_search_or_audience(alice: Producer) -> None:
    path = f"/api/automations/{alice.create()['id']}/trigger"
    new = {"email": "new@example.com", "instagramId": "178", "firstName": "Nova", "tags": ["lead"]}
    first = alice.post(path, {"contact": new}).json
    # A second test uses the same person, with what it says; so do other tests by trigger.
    assert alice.post(path, {"contact": {**new, "firstName": "Nora"}}).json["contactId"] == first["contactId"]
    by_trigger = {"type": "contact.created", "contact": {"email": "NEW@example.com"}, "test": True}
    assert alice.post("/api/triggers", by_trigger).json["contactId"] == first["contactId"]
    for query in ("", "?q=Nova", "?q=Nora", "?q=new@example.com", "?tag=lead", f"?q={first['contactId']}"):
        assert alice.get(f"/api/contacts{query}").json["contacts"] == []
    with acting_as(alice.workspace_id):
        assert contact_scan.fetch_page(None, 100) == []
        assert fetch_value("select first_name from contacts") == "Nora"
        assert fetch_value("select count(*) from conversations where contact_id = %s", (first["contactId"],)) == 2


def test_a_test_uses_a_matching_contact_and_changes_nothing_of_it(alice: Producer) -> None:
    path = f"/api/automations/{alice.create()['id']}/trigger"
    contact = alice.post("/api/contacts", ADA).json["contact"]
    described = {"externalId": "c-1", "firstName": "Eve", "phone": "+15550199", "tags": ["x"], "attributes": {"a": 1}}
    assert alice.post(path, {"contact": described}).json["contactId"] == contact["id"]
    assert alice.get(f"/api/contacts/{contact['id']}").json["contact"] == contact
    assert len(alice.get("/api/contacts").json["contacts"]) == 1


@pytest.mark.parametrize("way", ["trigger", "batch", "request", "change", "import"])
def test_a_real_contact_takes_the_address_of_a_test(alice: Producer, way: str) -> None:
    path = f"/api/automations/{alice.create()['id']}/trigger"
    sample_id = alice.post(path, {"contact": {**ADA, "firstName": "Tested", "tags": ["tested"]}}).json["contactId"]
    trigger = {"type": "contact.created", "contact": ADA}
    if way == "trigger":
        assert alice.post("/api/triggers", trigger).status_code == 202
    elif way == "batch":
        batch = alice.post("/api/triggers/batch", {"triggers": [{**trigger, "test": True}, trigger]}).json
        assert (batch["rejected"], batch["accepted"]) == ([], 2)
    elif way == "request":
        assert alice.post("/api/contacts", ADA).status_code == 201
    elif way == "change":
        other = alice.post("/api/contacts", {"externalId": "c-2", "firstName": "Ada"}).json["contact"]["id"]
        assert alice.request("PATCH", f"/api/contacts/{other}", json={"email": ADA["email"]}).status_code == 200
    else:
        text = "externalId,firstName,email\nc-1,Ada,ada@example.com\n"
        assert alice.post("/api/contacts/import", {"csv": text, "confirm": True}).status_code == 200
    (contact,) = alice.get("/api/contacts").json["contacts"]
    assert (contact["firstName"], contact["tags"], contact["email"]) == ("Ada", [], ADA["email"])
    assert contact["id"] != sample_id
