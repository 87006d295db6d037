"""People are brought into a workspace and taken out again by its owners alone, over HTTP."""

from __future__ import annotations

from tests.dashboard.cast import Producer

BOB = {"email": "Bob@Example.com", "name": "Bob", "role": "operator"}


def roles(producer: Producer) -> dict[str, str]:
    return {one["email"]: one["role"] for one in producer.get("/api/members").json["members"]}


def test_a_new_person_gets_a_password_that_is_shown_once(alice: Producer) -> None:
    answer = alice.post("/api/members", BOB)

    assert answer.status_code == 201
    assert (answer.json["member"]["email"], answer.json["member"]["role"]) == ("bob@example.com", "operator")
    assert len(answer.json["password"]) >= 16
    assert answer.json["password"] not in alice.get("/api/members").text


def test_who_is_known_keeps_the_own_password_and_only_the_role_changes(alice: Producer, charlie: Producer) -> None:
    alice.post("/api/members", BOB)

    again = charlie.post("/api/members", {**BOB, "name": "Robert", "role": "viewer"})

    assert again.json["password"] is None
    assert again.json["member"]["name"] == "Bob"
    assert roles(alice) == {"bob@example.com": "operator"}
    assert roles(charlie) == {"bob@example.com": "viewer"}


def test_a_member_of_another_workspace_cannot_be_removed_from_here(alice: Producer, charlie: Producer) -> None:
    member_id = alice.post("/api/members", BOB).json["member"]["id"]

    assert charlie.ask("DELETE", f"/api/members/{member_id}").status_code == 404
    assert alice.ask("DELETE", f"/api/members/{member_id}").status_code == 200
    assert roles(alice) == {}


def test_the_last_owner_stays_one(alice: Producer) -> None:
    owner = alice.post("/api/members", {**BOB, "role": "owner"}).json["member"]["id"]

    assert alice.post("/api/members", {**BOB, "role": "viewer"}).status_code == 409
    assert alice.ask("DELETE", f"/api/members/{owner}").status_code == 409
    assert roles(alice) == {"bob@example.com": "owner"}


def test_what_is_no_address_or_role_is_refused_by_its_name(alice: Producer) -> None:
    assert alice.post("/api/members", {**BOB, "email": "nobody"}).json["errors"][0]["path"] == "email"
    assert alice.post("/api/members", {**BOB, "role": "king"}).json["errors"][0]["path"] == "role"
    assert roles(alice) == {}
