"""API keys and site keys on the page and over HTTP: created with scopes or origins, shown once, revoked."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient

from models import site_key
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import Browser, post, read_text, sign_in_as


@pytest.fixture
def owner(client: FlaskClient, alice: Producer) -> Browser:
    return sign_in_as(client, alice, role="owner")


def find_key_id(alice: Producer, name: str) -> str:
    return next(str(key["id"]) for key in alice.get("/api/keys").json["keys"] if key["name"] == name)


def test_a_secret_is_shown_once_and_works_with_its_scopes(owner: Browser, alice: Producer) -> None:
    created = post(owner, "/settings/keys", name="Shop", scope=["read", "trigger"])
    secret = re.search(r"bk_[\w-]{40,}", created.text)
    assert (created.status_code, secret is not None) == (201, True)
    assert secret is not None
    program = Producer(alice.client, alice.workspace_id, secret[0])
    assert program.get("/api/executions").status_code == 200
    assert program.get("/api/keys").status_code == 403
    page = owner.get("/settings/keys").text
    assert secret[0] not in page
    assert "read, trigger" in read_text(page)


def test_a_key_without_a_scope_is_refused_by_field(owner: Browser) -> None:
    refused = post(owner, "/settings/keys", name="Shop")
    assert (refused.status_code, "scopes must have at least 1" in read_text(refused.text)) == (422, True)
    assert 'value="Shop"' in refused.text


def test_revoking_a_key_asks_first(owner: Browser, alice: Producer) -> None:
    post(owner, "/settings/keys", name="Shop", scope="read")
    key_id = find_key_id(alice, "Shop")
    assert "cannot be restored" in read_text(owner.get(f"/settings/keys/{key_id}/revoke").text)
    assert post(owner, f"/settings/keys/{key_id}/revoke").status_code == 303
    assert "Revoked" in read_text(owner.get("/settings/keys").text)
    assert post(owner, f"/settings/keys/{key_id}/revoke").status_code == 404


def test_a_site_key_is_bound_to_its_origins(owner: Browser, alice: Producer) -> None:
    post(owner, "/settings/site-keys", name="Shop", origins="https://Shop.example http://localhost")
    (key,) = alice.get("/api/site-keys").json["siteKeys"]
    assert key["origins"] == ["https://shop.example", "http://localhost"]
    issued = site_key.find(key["key"])
    assert issued is not None
    assert (issued.allows("https://shop.example"), issued.allows("https://evil.example")) == (True, False)
    assert post(owner, f"/settings/site-keys/{key['id']}/revoke").status_code == 303
    assert site_key.find(key["key"]) is None


@pytest.mark.parametrize(
    "origin", ["shop.example", "https://shop.example/path", "ftp://x", "https://*", "null", "https://a:b@c"]
)
def test_an_invalid_origin_is_refused(alice: Producer, origin: str) -> None:
    response = alice.post("/api/site-keys", {"name": "Shop", "origins": [origin]})
    assert (response.status_code, response.json["errors"][0]["path"]) == (422, "origins[0]")


def test_another_workspaces_site_key_is_missing(alice: Producer, charlie: Producer) -> None:
    created = alice.post("/api/site-keys", {"name": "Shop", "origins": ["https://shop.example"]}).json["siteKey"]
    assert charlie.request("DELETE", f"/api/site-keys/{created['id']}").status_code == 404
    assert charlie.get("/api/site-keys").json["siteKeys"] == []
    assert alice.request("DELETE", f"/api/site-keys/{created['id']}").status_code == 200
    assert [entry["action"] for entry in alice.get("/api/audit?objectKind=site_key").json["entries"]] == [
        "site_key.revoked", "site_key.issued",
    ]  # fmt: skip
