"""Suppressed addresses over HTTP and on their page: listed, searched, added, lifted, imported and exported."""

from __future__ import annotations

import pytest

from models.database import acting_as
from models.queries import execute
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import Browser, bob, post

__all__ = ["bob"]

PATH = "/api/suppressions"
ADA = {"channel": "email", "address": "Ada@Example.com", "reason": "complained"}


def list_addresses(producer: Producer, query: str = "") -> list[str]:
    return [row["address"] for row in producer.get(PATH + query).json["suppressions"]]


def erase_addresses(producer: Producer) -> None:
    with acting_as(producer.workspace_id):
        execute("update suppressed_addresses set address = null")


def test_an_address_is_suppressed_once_for_each_reason(alice: Producer, charlie: Producer) -> None:
    created = alice.post(PATH, ADA)
    assert (created.status_code, created.json["suppression"]["address"]) == (201, "ada@example.com")
    assert alice.post(PATH, ADA).status_code == 409
    assert alice.post(PATH, {**ADA, "reason": "bounced"}).status_code == 201
    assert (list_addresses(alice), list_addresses(charlie)) == (["ada@example.com"] * 2, [])


@pytest.mark.parametrize(("reason", "own"), [("complained", 1), ("bounced", 0)])
def test_a_suppressed_address_also_suppresses_its_contact_unless_it_bounced(
    alice: Producer, reason: str, own: int
) -> None:
    contact = alice.post("/api/contacts", {"email": "ada@example.com"}).json["contact"]
    alice.post(PATH, {**ADA, "reason": reason})

    path = f"/api/contacts/{contact['id']}"
    assert alice.get(path).json["contact"]["suppressed"] == [{"channel": "email", "reason": reason}]
    assert [row["id"] for row in alice.get("/api/contacts?suppressed=email").json["contacts"]] == [contact["id"]]
    alice.request("PATCH", path, json={"email": "ada@corrected.example"})
    assert len(alice.get(path).json["contact"]["suppressed"]) == own


def test_lifting_names_a_reason_and_frees_the_address_and_its_contact(alice: Producer) -> None:
    contact = alice.post("/api/contacts", {"email": "ada@example.com"}).json["contact"]
    alice.post(PATH, ADA)
    lifted = {"channel": "email", "address": "ada@example.com"}

    assert alice.post(f"{PATH}/lift", lifted).status_code == 422
    assert alice.post(f"{PATH}/lift", {**lifted, "reason": "asked by phone"}).json["lifted"] == ["complained"]
    assert alice.post(f"{PATH}/lift", {**lifted, "reason": "asked by phone"}).status_code == 404
    assert alice.get(f"/api/contacts/{contact['id']}").json["contact"]["suppressed"] == []
    (entry,) = alice.get("/api/audit?action=suppression.lifted").json["entries"]
    assert entry["detail"]["because"] == "asked by phone"


def test_an_erased_address_is_shown_as_erased_and_found_by_the_whole_address(alice: Producer) -> None:
    alice.post(PATH, ADA)
    erase_addresses(alice)

    assert list_addresses(alice, "?q=Ada@example.com") == ["erased"]
    assert list_addresses(alice, "?q=ada") == []
    assert alice.post(f"{PATH}/lift", {**ADA, "reason": "asked"}).json["lifted"] == ["complained"]


def test_the_list_is_filtered_and_paged(alice: Producer) -> None:
    for number in range(3):
        alice.post(PATH, {"channel": "sms", "address": f"+1555010{number}", "reason": "stopped"})
    alice.post(PATH, ADA)

    assert list_addresses(alice, "?channel=email") == ["ada@example.com"]
    assert list_addresses(alice, "?reason=stopped&q=%2B15550102") == ["+15550102"]
    assert list_addresses(alice, "?q=%25") == []
    first = alice.get(f"{PATH}?limit=3").json
    assert list_addresses(alice, f"?limit=3&cursor={first['nextCursor']}") == ["+15550100"]


@pytest.mark.parametrize(
    "fields", [{"address": "nobody"}, {"channel": "slack"}, {"reason": "because"}, {"address": "a\u0000@example.com"}]
)
def test_an_invalid_suppression_is_refused_by_field(alice: Producer, fields: dict[str, str]) -> None:
    response = alice.post(PATH, {**ADA, **fields})
    assert (response.status_code, [problem["path"] for problem in response.json["errors"]]) == (422, list(fields))


def test_an_exported_file_is_imported_by_another_workspace(alice: Producer, charlie: Producer) -> None:
    alice.post(PATH, {"channel": "sms", "address": "+15550100", "reason": "stopped"})
    erase_addresses(alice)
    alice.post(PATH, ADA)
    exported = alice.get(f"{PATH}/export").get_data(as_text=True)

    result = charlie.post(f"{PATH}/import", {"csv": exported}).json

    assert (result["imported"], [row["line"] for row in result["rejected"]]) == (1, [3])
    assert charlie.get(PATH).json["suppressions"][0]["reason"] == "complained"
    assert charlie.post(f"{PATH}/import", {"csv": exported}).json["repeated"] == 1
    assert charlie.post(f"{PATH}/import", {"csv": "name\nada"}).status_code == 422


def test_a_person_suppresses_and_lifts_an_address_on_the_page(bob: Browser, alice: Producer) -> None:
    assert "No suppressed addresses yet" in bob.get("/suppressions").text
    post(bob, "/suppressions/new", **ADA)
    assert "ada@example.com" in bob.get("/suppressions?channel=email").text
    post(bob, "/suppressions/lift", **{**ADA, "reason": "asked by phone"})
    assert list_addresses(alice) == []
