"""Signing in and out, roles, and CSRF protection."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask.testing import FlaskClient

import settings
from models import database, user
from tests.dashboard.producers import PASSWORD, Producer

Browser = FlaskClient


def add_person(workspace_id: str, role: Any, email: str = "bob@example.com") -> None:
    """Add Bob with the service role, because the dashboard role cannot."""
    config = settings.load()
    database.db.close_all()
    database.open_pool(config.database_service_url, "beckon_service", 8)
    user.join(workspace_id, user.create(email, "Bob", PASSWORD), role)
    database.db.close_all()
    database.open_pool(config.database_app_url, "beckon_app", 8)


def read_token(page: str) -> str:
    match = re.search(r'name="csrf_token" value="([0-9a-f]+)"', page)
    assert match is not None
    return match[1]


def sign_in(browser: Browser, email: str = "bob@example.com", password: str = PASSWORD, **more: str) -> Any:
    token = read_token(browser.get("/sign-in").text)
    return browser.post("/sign-in", data={"email": email, "password": password, "csrf_token": token, **more})


@pytest.fixture
def bob(alice: Producer, client: FlaskClient) -> Browser:
    """Bob's browser; he is an operator in Alice's workspace."""
    add_person(alice.workspace_id, "operator")
    return client


def test_without_a_session_a_page_redirects_to_the_form_and_back(bob: Browser) -> None:
    sent = bob.get("/automations")
    assert (sent.status_code, sent.headers["Location"]) == (302, "/sign-in?next=/automations")
    response = sign_in(bob, next="/automations?x=1")
    assert (response.status_code, response.headers["Location"]) == (303, "/automations?x=1")
    assert bob.get("/automations").status_code == 200


def test_the_session_cookie_is_http_only_and_same_site(bob: Browser) -> None:
    cookie = next(
        header for header in sign_in(bob).headers.getlist("Set-Cookie") if header.startswith("beckon_session=")
    )
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Max-Age=1209600" in cookie


def test_behind_https_the_cookies_are_secure(bob: Browser) -> None:
    page = bob.get("/sign-in", base_url="https://localhost")
    fields = {"email": "bob@example.com", "password": PASSWORD, "csrf_token": read_token(page.text)}
    response = bob.post("/sign-in", data=fields, base_url="https://localhost")
    cookies = [cookie for cookie in response.headers.getlist("Set-Cookie") if "Max-Age=0" not in cookie]
    assert any(cookie.startswith("beckon_session=") for cookie in cookies)
    assert all("Secure" in cookie for cookie in cookies)


@pytest.mark.parametrize("target", ["https://evil.example", "////evil.example", "/\\evil.example", "/%2f/evil", ""])
def test_the_sign_in_redirects_to_no_other_site(bob: Browser, target: str) -> None:
    assert sign_in(bob, next=target).headers["Location"] == "/overview"
    # With a session the form redirects at once.
    assert bob.get("/sign-in", query_string={"next": target}).headers["Location"] == "/overview"
    token = read_token(bob.get("/automations").text)
    assert bob.post("/theme", data={"next": target, "csrf_token": token}).headers["Location"] == "/"


def test_a_wrong_password_and_an_unknown_email_get_the_same_answer(bob: Browser) -> None:
    wrong = sign_in(bob, password="wrong")
    unknown = sign_in(bob, email="nobody@example.com")
    assert wrong.status_code == unknown.status_code == 401
    assert "Wrong e-mail or password" in wrong.text
    assert "Wrong e-mail or password" in unknown.text
    assert "beckon_session" not in str(wrong.headers)


def test_attempts_are_limited(bob: Browser) -> None:
    statuses = [sign_in(bob, password="wrong").status_code for _ in range(6)]
    assert statuses == [401] * 5 + [429]


def test_a_form_of_another_site_is_rejected(bob: Browser) -> None:
    bob.get("/sign-in")
    fields = {"email": "bob@example.com", "password": PASSWORD}
    assert bob.post("/sign-in", data=fields).status_code == 403
    token = read_token(bob.get("/sign-in").text)
    for header in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        assert bob.post("/sign-in", data={**fields, "csrf_token": token}, headers=header).status_code == 403


def test_a_change_by_session_requires_the_sessions_csrf_token(bob: Browser, alice: Producer) -> None:
    sign_in(bob)
    assert bob.get("/api/contacts").status_code == 200
    assert bob.post("/api/contacts", json={"firstName": "Ada"}).status_code == 403
    token = read_token(bob.get("/automations").text)
    response = bob.post("/api/contacts", json={"firstName": "Ada"}, headers={"X-CSRF-Token": token})
    assert response.status_code == 201


def test_a_viewer_reads_and_changes_nothing(alice: Producer, client: FlaskClient) -> None:
    add_person(alice.workspace_id, "viewer")
    automation = alice.create()
    sign_in(client)
    token = {"X-CSRF-Token": read_token(client.get("/automations").text)}
    assert client.get("/api/executions").status_code == 200
    assert client.post("/api/contacts", json={"firstName": "Ada"}, headers=token).status_code == 403
    assert client.post("/api/triggers", json={"type": "a"}, headers=token).status_code == 403
    assert client.post("/api/keys", json={"name": "n", "scopes": ["read"]}, headers=token).status_code == 403
    toggled = client.post(f"/automations/{automation['id']}/toggle", data={"enabled": "false"}, headers=token)
    assert toggled.status_code == 403


def test_only_an_owner_creates_keys(bob: Browser, alice: Producer) -> None:
    add_person(alice.workspace_id, "owner", "alice@example.com")
    new_key = {"name": "n", "scopes": ["read"]}
    sign_in(bob)
    token = {"X-CSRF-Token": read_token(bob.get("/automations").text)}
    assert bob.post("/api/keys", json=new_key, headers=token).status_code == 403
    bob.post("/sign-out", headers=token)
    sign_in(bob, email="alice@example.com")
    token = {"X-CSRF-Token": read_token(bob.get("/automations").text)}
    assert bob.post("/api/keys", json=new_key, headers=token).status_code == 201


def test_signing_out_ends_the_session(bob: Browser) -> None:
    sign_in(bob)
    cookie = bob.get_cookie("beckon_session")
    token = read_token(bob.get("/automations").text)
    assert bob.post("/sign-out").status_code == 403
    assert bob.post("/sign-out", data={"csrf_token": token}).headers["Location"] == "/sign-in"
    assert cookie is not None
    bob.set_cookie("beckon_session", cookie.value)
    assert bob.get("/api/contacts").status_code == 401


def test_the_page_lists_automations_and_toggles_them(bob: Browser, alice: Producer) -> None:
    automation = alice.create(name="<b>Welcome</b>")
    sign_in(bob)
    page = bob.get("/automations").text
    assert "&lt;b&gt;Welcome" in page
    off = {"enabled": "false", "csrf_token": read_token(page)}
    assert bob.post(f"/automations/{automation['id']}/toggle", data=off).status_code == 303
    assert alice.get(f"{alice.automations}/{automation['id']}").json["automation"]["enabled"] is False


def test_a_key_has_no_more_scopes_than_its_creator(alice: Producer) -> None:
    weak = alice.post("/api/keys", {"name": "weak", "scopes": ["admin", "read"]}).json["key"]
    maker = Producer(alice.client, alice.workspace_id, weak["secret"])
    assert maker.post("/api/keys", {"name": "n", "scopes": ["trigger"]}).status_code == 403
    assert maker.post("/api/keys", {"name": "n", "scopes": ["read"]}).status_code == 201


def test_a_keys_secret_is_shown_once_and_a_revoked_key_is_401(alice: Producer) -> None:
    key = alice.post("/api/keys", {"name": "n", "scopes": ["read"]}).json["key"]
    assert key["secret"] not in alice.get("/api/keys").text
    producer = Producer(alice.client, alice.workspace_id, key["secret"])
    assert producer.get("/api/contacts").status_code == 200
    assert alice.request("DELETE", f"/api/keys/{key['id']}").status_code == 200
    assert producer.get("/api/contacts").status_code == 401
    assert alice.request("DELETE", f"/api/keys/{key['id']}").status_code == 404


def test_the_scope_write_does_not_include_admin(alice: Producer) -> None:
    key = alice.post("/api/keys", {"name": "n", "scopes": ["read", "write", "trigger", "track"]}).json["key"]
    writer = Producer(alice.client, alice.workspace_id, key["secret"])
    assert writer.post("/api/keys", {"name": "n", "scopes": ["read"]}).status_code == 403
    assert writer.post("/api/invitations", {"email": "eve@example.com", "role": "owner"}).status_code == 403
    assert writer.request("PUT", "/api/settings/switches", json={"statsInApi": False}).status_code == 403
    for path in ("/api/keys", "/api/members", "/api/invitations", "/api/audit"):
        assert writer.get(path).status_code == 403, path
