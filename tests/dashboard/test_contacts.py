"""Contacts over HTTP."""

from __future__ import annotations

from tests.dashboard import example_executions
from tests.dashboard.producers import Producer

ADA = {"externalId": "c-1", "firstName": "Ada", "email": "Ada@Example.com", "phone": "+15550100", "tags": ["lead"]}


def test_a_contact_is_created_once_and_then_updated(alice: Producer) -> None:
    created, repeated = (
        alice.post("/api/contacts", ADA),
        alice.post("/api/contacts", {"externalId": "c-1", "tags": ["x"]}),
    )
    assert (created.status_code, repeated.status_code) == (201, 200)
    assert created.json["contact"]["id"] == repeated.json["contact"]["id"]
    assert repeated.json["contact"]["tags"] == ["lead", "x"]


def test_a_contact_is_read_changed_and_deleted(alice: Producer) -> None:
    path = f"/api/contacts/{alice.post('/api/contacts', ADA).json['contact']['id']}"
    changed = alice.request("PATCH", path, json={"lastName": "Byron", "phone": None, "attributes": {"plan": "pro"}})
    assert changed.json["contact"]["phone"] is None
    assert alice.get(path).json["contact"]["attributes"] == {"plan": "pro"}
    assert alice.request("DELETE", path).status_code == 200
    assert alice.get(path).status_code == 404


def test_invalid_fields_are_reported_by_name(alice: Producer) -> None:
    for body, path in (
        ({"email": "nonsense"}, "email"),
        ({"phone": "12"}, "phone"),
        ({"timezone": "Mars/North"}, "timezone"),
        ({"firstName": 3}, "firstName"),
        ({"firstName": "x" * 201}, "firstName"),
        ({"colour": "red"}, "colour"),
        ({}, ""),
    ):
        response = alice.post("/api/contacts", body)
        assert (response.status_code, response.json["errors"][0]["path"]) == (422, path)


def test_an_address_of_another_contact_is_a_conflict(alice: Producer) -> None:
    alice.post("/api/contacts", ADA)
    bob = alice.post("/api/contacts", {"externalId": "c-2"}).json["contact"]["id"]
    response = alice.request("PATCH", f"/api/contacts/{bob}", json={"email": "ada@example.com"})
    assert (response.status_code, response.json["errors"][0]["path"]) == (409, "email")
    assert alice.post("/api/contacts", {**ADA, "externalId": "c-3"}).status_code == 409


def test_attributes_never_exceed_their_limit_by_several_requests(alice: Producer) -> None:
    ada = alice.post("/api/contacts", {**ADA, "attributes": {"a": "x" * 9_000}}).json["contact"]["id"]
    for response in (
        alice.request("PATCH", f"/api/contacts/{ada}", json={"attributes": {"b": "x" * 9_000}}),
        alice.post("/api/contacts", {**ADA, "attributes": {"b": "x" * 9_000}}),
    ):
        assert (response.status_code, response.json["errors"][0]["path"]) == (409, "attributes")
    assert "b" not in alice.get(f"/api/contacts/{ada}").json["contact"]["attributes"]


def test_the_list_is_searched_and_paged(alice: Producer, charlie: Producer) -> None:
    for name in ("Ada", "Adam", "Bob"):
        alice.post("/api/contacts", {"externalId": name, "firstName": name, "tags": [name.lower()]})
    assert [contact["firstName"] for contact in alice.get("/api/contacts?q=ad").json["contacts"]] == ["Adam", "Ada"]
    assert [contact["firstName"] for contact in alice.get("/api/contacts?tag=bob").json["contacts"]] == ["Bob"]
    assert alice.get("/api/contacts?limit=2").json["nextCursor"]
    assert charlie.get("/api/contacts").json["contacts"] == []


def test_deleting_a_contact_cancels_its_active_executions(alice: Producer) -> None:
    ada = alice.post("/api/contacts", ADA).json["contact"]["id"]
    automation = alice.create()
    pending = example_executions.create_execution(alice, automation, status="pending", stage="queued", contact_id=ada)
    done = example_executions.create_execution(alice, automation, contact_id=ada)
    other = example_executions.create_execution(alice, automation, status="pending", stage="queued")
    assert alice.request("DELETE", f"/api/contacts/{ada}").json["cancelled"] == 1
    executions = {id: alice.get(f"/api/executions/{id}").json["execution"] for id in (pending, done, other)}
    assert [executions[id]["status"] for id in (pending, done, other)] == ["cancelled", "succeeded", "pending"]
    assert executions[pending]["skippedBecause"]["detail"]["words"] == "The contact was deleted."


def test_a_channel_is_suppressed_and_lifted(alice: Producer, charlie: Producer) -> None:
    path = f"/api/contacts/{alice.post('/api/contacts', ADA).json['contact']['id']}/suppressions"
    response = alice.post(path, {"channel": "email"})
    assert (response.status_code, response.json["contact"]["suppressed"]) == (
        201,
        [{"channel": "email", "reason": "operator"}],
    )
    assert alice.post(path, {"channel": "email"}).status_code == 409
    assert alice.post(path, {"channel": "slack"}).json["errors"][0]["path"] == "channel"
    assert [contact["firstName"] for contact in alice.get("/api/contacts?suppressed=email").json["contacts"]] == ["Ada"]
    lifted = {"json": {"reason": "asked by phone"}}
    assert charlie.request("DELETE", f"{path}/email", **lifted).status_code == 404
    assert alice.request("DELETE", f"{path}/email", json={"reason": " "}).json["errors"][0]["path"] == "reason"
    assert alice.request("DELETE", f"{path}/email", **lifted).json["contact"]["suppressed"] == []
    assert alice.request("DELETE", f"{path}/email", **lifted).status_code == 409
    log = alice.get("/api/audit").json["entries"]
    assert log[0]["detail"] == {"channel": "email", "reasons": ["operator"], "because": "asked by phone"}
    assert [entry["action"] for entry in log][:2] == ["contact.suppression_lifted", "contact.suppressed"]
