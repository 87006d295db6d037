"""Owners see and rotate the secret of outgoing webhooks; for a day both the new and the previous one sign."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

import clock
from models import webhook_secret
from providers.webhook import SECRET, build_signature_headers
from settings import load
from tasks.steps.accounts import resolve_account
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import post, read_text, sign_in_as

PATH = "/api/webhooks/signing-secret"


def sign(workspace_id: str) -> dict[str, str]:
    """The headers of a call of the workspace."""
    webhook_secret.load_cached.forget(workspace_id)
    account = resolve_account(load(), "webhook", workspace_id, test=False, demo=False)
    return build_signature_headers(account.require_secret(SECRET), "msg_1", datetime.now(UTC), "{}")


def test_a_receiver_verifies_a_call_with_the_secret(alice: Producer) -> None:
    answer = alice.get(PATH).json
    assert (answer["previousSecret"], answer["previousValidUntil"]) == (None, None)
    assert Webhook(answer["secret"]).verify("{}", sign(alice.workspace_id)) == {}
    assert alice.get(PATH).json["secret"] == answer["secret"]


def test_both_secrets_are_valid_for_a_day_after_a_rotation(alice: Producer, monkeypatch: pytest.MonkeyPatch) -> None:
    first = alice.get(PATH).json["secret"]
    rotated = alice.post(f"{PATH}/rotate").json
    assert rotated["previousSecret"] == first != rotated["secret"]
    headers = sign(alice.workspace_id)
    assert len(headers["webhook-signature"].split()) == 2
    for secret in (first, rotated["secret"]):
        assert Webhook(secret).verify("{}", headers) == {}

    later = clock.now() + timedelta(hours=25)
    monkeypatch.setattr("tasks.steps.webhook_secrets.clock.now", lambda: later)
    assert alice.get(PATH).json["previousSecret"] is None
    with pytest.raises(WebhookVerificationError):
        Webhook(first).verify("{}", sign(alice.workspace_id))


def test_only_the_last_two_secrets_sign(alice: Producer) -> None:
    first = alice.get(PATH).json["secret"]
    second = alice.post(f"{PATH}/rotate").json["secret"]
    alice.post(f"{PATH}/rotate")
    headers = sign(alice.workspace_id)
    assert Webhook(second).verify("{}", headers) == {}
    with pytest.raises(WebhookVerificationError):
        Webhook(first).verify("{}", headers)


def test_a_workspace_has_its_own_secret(alice: Producer, charlie: Producer) -> None:
    assert alice.get(PATH).json["secret"] != charlie.get(PATH).json["secret"]


def test_an_owner_rotates_the_secret_on_the_page(alice: Producer, client: FlaskClient) -> None:
    owner = sign_in_as(client, alice, role="owner")
    first = alice.get(PATH).json["secret"]
    assert first in owner.get("/settings").text
    assert "signed with both for 24 hours" in read_text(owner.get("/settings/signing-secret/rotate").text)
    post(owner, "/settings/signing-secret/rotate")
    page = owner.get("/settings").text
    assert first in page
    assert alice.get(PATH).json["secret"] in page
    assert len(alice.get("/api/audit?action=webhook_secret.rotated").json["entries"]) == 1


def test_an_operator_sees_no_secret(alice: Producer, client: FlaskClient) -> None:
    first = alice.get(PATH).json["secret"]
    assert first not in sign_in_as(client, alice, role="operator").get("/settings").text
