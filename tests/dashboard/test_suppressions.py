"""Suppressed addresses over HTTP and on their page: listed, searched, added, lifted, imported and exported."""

from __future__ import annotations

import pytest

from models import address_key, email_recipient
from models.database import acting_as
from models.email_recipient import Consent
from models.queries import execute
from rules.addresses import hash_address
from rules.unsubscribe_links import Recipient
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import Browser, bob, post

__all__ = ["bob"]

PATH = "/api/suppressions"
ADA = {"channel": "email", "address": "Ada@Example.com", "reason": "complained"}


def build_recipient(producer: Producer) -> Recipient:
    key = address_key.load_key(producer.workspace_id)
    assert key
    return Recipient(producer.workspace_id, hash_address(key, "email", "ada@example.com"))


def load_consent(producer: Producer) -> Consent:
    return email_recipient.load(build_recipient(producer)).consent


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


def test_a_topic_is_suppressed_for_one_address_and_lifted(alice: Producer, charlie: Producer) -> None:
    contact = alice.post("/api/contacts", {"email": "ada@example.com"}).json["contact"]
    news = {**ADA, "reason": "unsubscribed", "topic": "News"}
    created = alice.post(PATH, news)
    assert (created.status_code, created.json["suppression"]["topic"]) == (201, "News")
    assert alice.post(PATH, news).status_code == 409
    assert alice.get(f"/api/contacts/{contact['id']}").json["contact"]["suppressed"] == []
    consent = load_consent(alice)
    assert (consent.allows(), consent.allows(topic="News"), consent.allows(topic="Offers")) == (True, False, True)
    assert (
        list_addresses(alice, "?topic=News&q=ada") == list_addresses(alice, "?q=Ada@example.com") == ["ada@example.com"]
    )
    assert list_addresses(alice, "?channel=sms") == list_addresses(alice, "?reason=bounced") == []
    assert list_addresses(charlie) == []

    lift = {"channel": "email", "address": "ada@example.com", "reason": "asked"}
    assert alice.post(f"{PATH}/lift", lift).status_code == 404
    assert alice.post(f"{PATH}/lift", {**lift, "topic": "Offers"}).status_code == 404
    assert alice.post(f"{PATH}/lift", {**lift, "topic": "News"}).json["lifted"] == ["unsubscribed"]
    assert load_consent(alice).allows(topic="News")


@pytest.mark.parametrize("fields", [{"channel": "sms", "address": "+15550100"}, {"topic": "x" * 65}, {"topic": " "}])
def test_a_topic_belongs_to_e_mail_and_has_a_limit(alice: Producer, fields: dict[str, str]) -> None:
    for path, reason in ((PATH, "operator"), (f"{PATH}/lift", "asked")):
        response = alice.post(path, {**ADA, "topic": "News", **fields, "reason": reason})
        assert (response.status_code, response.json["errors"][0]["path"]) == (422, "topic")


def test_the_recipient_allows_again_what_it_refused_and_not_what_an_operator_did(alice: Producer) -> None:
    recipient = build_recipient(alice)
    email_recipient.choose_topics(recipient, {"News": False, "Offers": True})
    assert [row["topic"] for row in alice.get(PATH).json["suppressions"]] == ["News"]
    email_recipient.choose_topics(recipient, {"News": True})
    assert alice.get(PATH).json["suppressions"] == []
    alice.post(PATH, {**ADA, "reason": "operator", "topic": "News"})
    email_recipient.choose_topics(recipient, {"News": True})
    assert not load_consent(alice).allows(topic="News")


def test_topics_and_addresses_are_paged_together(alice: Producer) -> None:
    for topic in ("a", None, "b", None, "c"):
        alice.post(PATH, {"channel": "email", "address": f"{topic or len(list_addresses(alice))}@example.com",
                          "topic": topic})  # fmt: skip
    first = alice.get(f"{PATH}?limit=2").json
    rest = alice.get(f"{PATH}?limit=9&cursor={first['nextCursor']}").json["suppressions"]
    assert [row["topic"] for row in [*first["suppressions"], *rest]] == ["c", None, "b", None, "a"]


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
