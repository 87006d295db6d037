"""Exporting, erasing and merging contacts over HTTP and on their pages."""

from __future__ import annotations

import pytest

from tests.dashboard import example_executions
from tests.dashboard.producers import Producer
from tests.dashboard.test_contacts import ADA
from tests.dashboard.test_pages import Browser, post, read_text, sign_in_as

UNKNOWN_ID = "01a00000-0000-7000-8000-000000000000"


def create_ada(alice: Producer) -> str:
    return str(alice.post("/api/contacts", ADA).json["contact"]["id"])


@pytest.fixture
def owner(alice: Producer, client: Browser) -> Browser:
    return sign_in_as(client, alice, "owner")


def test_an_export_is_a_json_download_and_stands_in_the_audit_log(alice: Producer, charlie: Producer) -> None:
    ada = create_ada(alice)
    alice.post("/api/triggers", {"type": "order.paid", "contactId": ada, "payload": {"total": 12}})

    response = alice.get(f"/api/contacts/{ada}/export")

    assert response.headers["Content-Disposition"] == f'attachment; filename="contact-{ada}.json"'
    assert (response.json["success"], response.json["contact"]["email"]) == (True, "ada@example.com")
    assert [row["payload"] for row in response.json["triggers"]] == [{"total": 12}]
    assert alice.get("/api/audit?action=contact.exported").json["entries"][0]["objectId"] == ada
    assert charlie.get(f"/api/contacts/{ada}/export").status_code == 404


def test_a_deleted_contact_is_exported_until_it_is_erased(alice: Producer) -> None:
    ada = create_ada(alice)
    alice.request("DELETE", f"/api/contacts/{ada}")
    assert alice.get(f"/api/contacts/{ada}/export").status_code == 200
    assert alice.post(f"/api/contacts/{ada}/erase").status_code == 202
    assert alice.get(f"/api/contacts/{ada}/export").status_code == 404


def test_an_erasure_is_accepted_once_more_and_only_in_the_own_workspace(alice: Producer, charlie: Producer) -> None:
    ada = create_ada(alice)
    assert charlie.post(f"/api/contacts/{ada}/erase").status_code == 404
    assert alice.post(f"/api/contacts/{UNKNOWN_ID}/erase").status_code == 404

    erased = alice.post(f"/api/contacts/{ada}/erase")

    assert (erased.status_code, erased.json["cancelled"]) == (202, 0)
    assert alice.get(f"/api/contacts/{ada}").status_code == 404
    assert alice.get("/api/contacts?q=ada").json["contacts"] == []
    assert alice.post(f"/api/contacts/{ada}/erase").status_code == 202
    (_, entry) = alice.get("/api/audit?action=contact.erased").json["entries"]
    assert (entry["objectId"], entry["detail"]) == (ada, {})


def test_erasing_on_the_page_is_the_owners_and_needs_the_typed_word(owner: Browser, alice: Producer) -> None:
    ada = create_ada(alice)
    automation = alice.create()
    example_executions.create_execution(alice, automation, status="pending", stage="queued", contact_id=ada)
    path = f"/contacts/{ada}/erase"
    assert path in owner.get(f"/contacts/{ada}").text
    assert "1 active execution will be cancelled" in read_text(owner.get(path).text)

    refused = post(owner, path, confirmation="yes")
    assert (refused.status_code, "Type ERASE to confirm." in refused.text) == (422, True)
    assert alice.get(f"/api/contacts/{ada}").status_code == 200

    assert post(owner, path, confirmation=" erase ").headers["Location"] == "/contacts"
    assert "Active executions cancelled: 1." in owner.get("/contacts").text
    assert alice.get(f"/api/contacts/{ada}").status_code == 404
    assert alice.get("/api/audit?action=contact.erased").json["entries"][0]["objectId"] == ada


def test_an_operator_downloads_and_does_not_erase(alice: Producer, client: Browser) -> None:
    ada = create_ada(alice)
    bob = sign_in_as(client, alice)
    page = bob.get(f"/contacts/{ada}").text
    assert (f"/contacts/{ada}/export" in page, f"/contacts/{ada}/erase" in page) == (True, False)
    assert bob.get(f"/contacts/{ada}/export").json["contact"]["firstName"] == "Ada"
    assert [bob.get(f"/contacts/{ada}/erase").status_code, post(bob, f"/contacts/{ada}/erase").status_code] == [403] * 2
    assert bob.get(f"/contacts/{UNKNOWN_ID}/export").status_code == 404


def test_the_id_of_a_merged_contact_keeps_answering(alice: Producer, charlie: Producer) -> None:
    ada = create_ada(alice)
    eve = str(alice.post("/api/contacts", {"externalId": "c-2", "firstName": "Eve"}).json["contact"]["id"])
    theirs = str(charlie.post("/api/contacts", {"externalId": "c-3"}).json["contact"]["id"])
    for into, status in ((ada, 409), (theirs, 404), (UNKNOWN_ID, 404), ("nonsense", 404)):
        assert (into, alice.post(f"/api/contacts/{ada}/merge", {"into": into}).status_code) == (into, status)

    merged = alice.post(f"/api/contacts/{ada}/merge", {"into": eve.upper()})

    assert (merged.status_code, merged.json["contactId"], merged.json["executions"]) == (202, eve, 0)
    answer = alice.get(f"/api/contacts/{ada}").json["contact"]
    assert (answer["id"], answer["firstName"], answer["email"]) == (eve, "Eve", "ada@example.com")
    assert alice.request("PATCH", f"/api/contacts/{ada}", json={"lastName": "B"}).json["contact"]["id"] == eve
    assert alice.get(f"/api/contacts/{ada}/export").json["contact"]["id"] == eve
    assert alice.post("/api/triggers", {"type": "a", "contactId": ada}).json["contactId"] == eve
    statuses = [
        alice.post(f"/api/contacts/{ada}/merge", {"into": eve}).status_code,
        alice.post(f"/api/contacts/{ada}/erase").status_code,
        alice.request("DELETE", f"/api/contacts/{ada}").status_code,
    ]
    assert statuses == [409, 409, 404]
    (entry,) = alice.get("/api/audit?action=contact.merged").json["entries"]
    assert (entry["objectId"], entry["detail"]["into"]) == (ada, eve)


def test_contacts_are_merged_on_the_page_after_a_search_and_a_question(alice: Producer, client: Browser) -> None:
    ada = create_ada(alice)
    eve = str(alice.post("/api/contacts", {"externalId": "c-2", "firstName": "Eve"}).json["contact"]["id"])
    bob, path = sign_in_as(client, alice), f"/contacts/{ada}/merge"
    assert path in bob.get(f"/contacts/{ada}").text
    assert f"{path}?into={eve}" in bob.get(f"{path}?q=eve").text
    assert "No other contact matches" in bob.get(f"{path}?q=ada").text
    assert "Eve (c-2) stays" in read_text(bob.get(f"{path}?into={eve}").text)
    assert [post(bob, path, into=into).status_code for into in ("", ada, UNKNOWN_ID)] == [422, 409, 404]

    assert post(bob, path, into=eve).headers["Location"] == f"/contacts/{eve}"
    assert "Contacts merged: 0 executions moved." in bob.get(f"/contacts/{eve}").text
    moved = bob.get(f"/contacts/{ada}")
    assert (moved.status_code, moved.headers["Location"]) == (303, f"/contacts/{eve}")


def test_an_import_links_to_the_merge_of_two_contacts_of_one_row(alice: Producer, client: Browser) -> None:
    ada = create_ada(alice)
    eve = str(alice.post("/api/contacts", {"externalId": "c-2", "phone": "+15550177"}).json["contact"]["id"])
    row = "email,phone\nada@example.com,+15550177"

    (rejected,) = alice.post("/api/contacts/import", {"csv": row, "confirm": True}).json["rejected"]

    assert rejected["merge"] == {"contactId": eve, "into": ada}
    page = post(sign_in_as(client, alice), "/contacts/import", csv=row, confirm="1", previewed="email phone")
    assert f"/contacts/{eve}/merge?into={ada}" in page.text
