"""The pages of an e-mail's recipient, and the one-click request of mail programs."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from dashboard.pages import unsubscribe
from ephemeral.rate_limits import RateLimit
from models import address_key, email_recipient
from models.database import acting_as
from models.queries import execute
from models.tables import EmailRecipient
from rules.addresses import hash_address
from rules.unsubscribe_links import Recipient, build_url
from tests.dashboard.producers import Producer, definition

ADDRESS = "ada@example.com"
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def recipient(alice: Producer) -> Recipient:
    key = address_key.load_key(alice.workspace_id)
    assert key
    recipient = Recipient(alice.workspace_id, hash_address(key, "email", ADDRESS), "News & more")
    with acting_as(alice.workspace_id):
        execute(
            EmailRecipient.insert(workspace_id=alice.workspace_id, address_hash=recipient.address_hash, address=ADDRESS)
        )
    return recipient


@pytest.fixture
def path(recipient: Recipient) -> str:
    key = address_key.load_key(recipient.workspace_id)
    assert key
    return build_url("", key, recipient)


def may_email(recipient: Recipient, **kind: Any) -> bool:
    return email_recipient.load(recipient).consent.allows(**kind)


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_one_click_unsubscribes_without_redirect_cookie_and_csrf(
    client: FlaskClient, path: str, recipient: Recipient, content_type: str
) -> None:
    response = client.post(path, data=ONE_CLICK, content_type=content_type, headers={"Origin": "https://mail.example"})
    assert (response.status_code, response.mimetype) == (200, "text/plain")
    assert "Set-Cookie" not in response.headers
    assert not may_email(recipient)
    assert client.post(path, data=ONE_CLICK, content_type=content_type).status_code == 200


def test_looking_changes_nothing_and_masks_the_address(client: FlaskClient, path: str, recipient: Recipient) -> None:
    for page in (path, f"{path}/preferences"):
        for method in ("GET", "HEAD"):
            response = client.open(page, method=method)
            assert response.status_code == 200
            assert response.headers["Referrer-Policy"] == "no-referrer"
            assert "Set-Cookie" not in response.headers
        assert "a••@e••.com" in client.get(page).text
        assert ADDRESS not in client.get(page).text
    assert may_email(recipient)


def test_the_buttons_unsubscribe_and_undo(client: FlaskClient, path: str, recipient: Recipient) -> None:
    assert "You are unsubscribed" in client.post(path, data={"action": "unsubscribe"}).text
    assert not may_email(recipient)
    assert "You are subscribed again" in client.post(path, data={"action": "undo"}).text
    assert may_email(recipient)


def test_undo_is_audited_once_with_the_recipient_as_actor(alice: Producer, client: FlaskClient, path: str) -> None:
    alice.post("/api/suppressions", {"channel": "email", "address": ADDRESS, "reason": "complained"})
    client.post(path, data=ONE_CLICK)
    for _ in range(2):
        client.post(path, data={"action": "undo"})
    (entry,) = alice.get("/api/audit?actorKind=contact").json["entries"]
    assert (entry["action"], entry["detail"]["because"]) == ("suppression.lifted", "Undone by the recipient")
    assert ADDRESS not in str(entry)
    assert [row["reason"] for row in alice.get("/api/suppressions").json["suppressions"]] == ["complained"]


def test_topics_are_refused_and_allowed(alice: Producer, client: FlaskClient, path: str, recipient: Recipient) -> None:
    alice.create(definition={**definition(), "topic": "Offers"})
    client.post(f"{path}/preferences", data={"topic": ["Offers", "Invented"]})
    assert (may_email(recipient, topic="Offers"), may_email(recipient, topic="News & more")) == (True, False)
    assert email_recipient.load(recipient).topics == ["News & more", "Offers"]
    client.post(path, data=ONE_CLICK)
    assert not may_email(recipient, topic="Offers")
    page = client.post(f"{path}/preferences", data={"topic": "Offers"}).text
    assert 'value="Offers" checked' in page
    assert 'value="News &amp; more" checked' not in page
    assert may_email(recipient, topic="Offers")
    assert not may_email(recipient)


def test_an_erased_address_is_not_named(client: FlaskClient, path: str, recipient: Recipient) -> None:
    with acting_as(recipient.workspace_id):
        execute(EmailRecipient.update(address=None))
    assert "this address" in client.get(path).text
    client.post(path, data=ONE_CLICK)
    assert not may_email(recipient)
    client.post(path, data={"action": "undo"})
    assert may_email(recipient)


def test_undo_of_an_erased_address_lifts_nothing_of_others(
    alice: Producer, client: FlaskClient, path: str, recipient: Recipient
) -> None:
    other = {"channel": "email", "address": "bob@example.com", "reason": "unsubscribed"}
    for address in ("bob@example.com", None):
        alice.post("/api/contacts", {"email": address, "externalId": str(address)})
    alice.post("/api/suppressions", other)
    client.post(path, data=ONE_CLICK)
    with acting_as(recipient.workspace_id):
        execute(EmailRecipient.update(address=None))
        execute("update suppressed_addresses set address = null")
    client.post(path, data={"action": "undo"})
    assert may_email(recipient)
    assert [row["reason"] for row in alice.get("/api/suppressions").json["suppressions"]] == ["unsubscribed"]


def test_a_link_of_another_key_leads_nowhere(client: FlaskClient, path: str, recipient: Recipient) -> None:
    forged = build_url("", b"x" * 32, recipient)
    other = build_url("", b"x" * 32, Recipient("01a00000-0000-7000-8000-000000000000", recipient.address_hash))
    for address in (forged, other, "/u/x", path[:-2], f"{path}A", "/u/" + "a" * 5000):
        assert client.get(address).status_code == 404, address
        assert client.post(address, data=ONE_CLICK).status_code == 404, address
    assert may_email(recipient)


def test_a_link_of_another_workspace_stops_that_one_s_mail_alone(
    charlie: Producer, client: FlaskClient, path: str, recipient: Recipient
) -> None:
    key = address_key.load_key(charlie.workspace_id)
    assert key
    others = Recipient(charlie.workspace_id, hash_address(key, "email", ADDRESS))
    assert client.post(build_url("", key, others), data=ONE_CLICK).status_code == 200
    assert (may_email(others), may_email(recipient)) == (False, True)


@pytest.mark.parametrize("form", [{}, {"action": "delete"}, {"List-Unsubscribe": "Two-Clicks"}])
def test_another_request_is_refused(client: FlaskClient, path: str, recipient: Recipient, form: dict[str, str]) -> None:
    assert client.post(path, data=form).status_code == 400
    assert may_email(recipient)


def test_requests_of_an_address_are_limited(client: FlaskClient, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unsubscribe, "RECIPIENT_LIMIT", RateLimit("unsubscribe", 0.01, 1))
    assert [client.get(path).status_code for _ in range(2)] == [200, 429]
