"""Sender, delivery and retention: owners change them, members read them, other workspaces have their own."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import post, read_text, sign_in_as

SENDER, DELIVERY, RETENTION = (f"/api/settings/{name}" for name in ("sender", "delivery", "retention"))
IDENTITY = {
    "name": "Ada's shop", "address": "Hello@Mail.example.com", "postalAddress": "1 Street, Rome", "helpText": "Call us",
}  # fmt: skip


def fetch(producer: Producer, path: str) -> dict[str, Any]:
    response = producer.get(path)
    assert response.status_code == 200
    return {name: value for name, value in response.json.items() if name not in ("success", "periods")}


def test_the_sender_is_stored_by_field(alice: Producer, charlie: Producer) -> None:
    assert set(fetch(alice, SENDER).values()) == {None}
    assert alice.put(SENDER, IDENTITY).status_code == 200
    assert fetch(alice, SENDER) == {**IDENTITY, "address": "hello@mail.example.com"}
    alice.put(SENDER, {"helpText": None})
    assert fetch(alice, SENDER)["helpText"] is None
    assert fetch(alice, SENDER)["name"] == "Ada's shop"
    assert set(fetch(charlie, SENDER).values()) == {None}
    (_, first) = alice.get("/api/audit?action=sender.changed").json["entries"]
    assert first["detail"]["after"]["sender_name"] == "Ada's shop"


def test_the_delivery_policy_is_stored(alice: Producer) -> None:
    delivery = fetch(alice, DELIVERY)
    assert (delivery["whenUnknown"], delivery["defaults"]["mailgun"], delivery["defaults"]["telnyx"]) == (
        None, "resend", "hold",
    )  # fmt: skip
    alice.put(DELIVERY, {"whenUnknown": "resend"})
    assert fetch(alice, DELIVERY)["whenUnknown"] == "resend"
    alice.put(DELIVERY, {"whenUnknown": None})
    assert fetch(alice, DELIVERY)["whenUnknown"] is None


def test_retention_shows_what_is_kept_for_how_long(alice: Producer) -> None:
    alice.put(RETENTION, {"keepDays": 20, "keepTextDays": 14})
    alice.put(RETENTION, {"keepDays": 30})
    response = alice.get(RETENTION).json
    assert (response["keepDays"], response["default"], response["minimum"]) == (30, 90, 7)
    assert response["keepTextDays"] == 14
    days = {period["what"]: (period["days"], period["adjustable"]) for period in response["periods"]}
    assert days["Triggers"] == (30, True)
    assert days["Providers' callbacks"] == (30, False)
    assert days["Stage history and counted runs"] == (90, False)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (SENDER, {"address": "nobody"}, "address"),
        (SENDER, {"name": 'Ada "the first"'}, "name"),
        (SENDER, {"name": "Ada <x@y.z>"}, "name"),
        (SENDER, {"name": ""}, "name"),
        (SENDER, {"postalAddress": "x" * 501}, "postalAddress"),
        (DELIVERY, {"whenUnknown": "forget"}, "whenUnknown"),
        (DELIVERY, {}, "whenUnknown"),
        (RETENTION, {"keepDays": 6}, "keepDays"),
        (RETENTION, {"keepDays": 91}, "keepDays"),
        (RETENTION, {"keepDays": "30"}, "keepDays"),
    ],
)
def test_invalid_values_are_rejected_by_field(alice: Producer, path: str, body: dict[str, Any], field: str) -> None:
    response = alice.put(path, body)
    assert (response.status_code, response.json["errors"][0]["path"]) == (422, field)


def test_an_unchanged_value_is_no_entry(alice: Producer) -> None:
    for _ in range(2):
        alice.put(RETENTION, {"keepDays": 30})
    assert len(alice.get("/api/audit?action=retention.changed").json["entries"]) == 1


def test_an_owner_changes_them_on_the_page(alice: Producer, client: FlaskClient) -> None:
    owner = sign_in_as(client, alice, role="owner")
    post(owner, "/settings/sender", name="Ada's shop", address="hello@mail.example.com")
    post(owner, "/settings/delivery", whenUnknown="resend")
    post(owner, "/settings/retention", keepDays="30")
    assert fetch(alice, SENDER)["address"] == "hello@mail.example.com"
    assert fetch(alice, DELIVERY)["whenUnknown"] == "resend"
    assert fetch(alice, RETENTION)["keepDays"] == 30
    refused = post(owner, "/settings/retention", keepDays="1")
    assert "Nothing was changed: keepDays must be at least 7" in read_text(owner.get(refused.location).text)
    post(owner, "/settings/retention", keepDays="")
    assert fetch(alice, RETENTION)["keepDays"] is None
