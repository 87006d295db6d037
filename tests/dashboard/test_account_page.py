"""The account page: name, password, and switching between the person's workspaces."""

from __future__ import annotations

import re
from typing import Any

import flask
import pytest
from flask.testing import FlaskClient

import settings
from models import database, session, user
from tests.dashboard.producers import PASSWORD, Producer
from tests.dashboard.test_access import add_person, read_token, sign_in
from tests.support.waiting import eventually

NEW_PASSWORD = "unrelated lamp thursday rain"


def _find_bob() -> str | None:
    """Bob's id, read as the service role; None where a request that began before returned its connection since."""
    database.db.close_all()
    database.open_pool(settings.load().database_service_url, "beckon_service", 2)
    try:
        return user.find_id("bob@example.com")
    except database.RoleMismatch:
        return None


def join(workspace_id: str, role: Any) -> None:
    """Bob joins a second workspace."""
    config = settings.load()
    bob = eventually(_find_bob)
    user.join(workspace_id, bob, role)
    database.db.close_all()
    database.open_pool(config.database_app_url, "beckon_app", 8)


@pytest.fixture
def bob(alice: Producer, app: flask.Flask) -> FlaskClient:
    """Bob's browser; he is an operator in Alice's workspace."""
    add_person(alice.workspace_id, "operator")
    browser = app.test_client()
    sign_in(browser)
    return browser


def send(browser: FlaskClient, path: str, **fields: str) -> Any:
    return browser.post(path, data={"csrf_token": read_token(browser.get("/account").text), **fields})


def list_audit_actions(producer: Producer) -> list[str]:
    return [entry["action"] for entry in producer.get("/api/audit").json["entries"]]


def test_a_person_changes_their_name(bob: FlaskClient, alice: Producer) -> None:
    assert send(bob, "/account/name", name=" Robert Byron ").status_code == 303
    assert 'value="Robert Byron"' in bob.get("/account").text
    assert alice.get("/api/members").json["members"][0]["name"] == "Robert Byron"
    for name in ("", "   ", "x" * 201, "a\nb"):
        assert send(bob, "/account/name", name=name).status_code in (422, 429)
    assert alice.get("/api/members").json["members"][0]["name"] == "Robert Byron"


def test_a_new_password_requires_the_old_one_and_ends_other_sessions(
    bob: FlaskClient, alice: Producer, charlie: Producer, app: flask.Flask
) -> None:
    join(charlie.workspace_id, "viewer")
    elsewhere = app.test_client()
    sign_in(elsewhere)
    send(elsewhere, "/account/workspace", workspace=charlie.workspace_id)
    wrong = send(bob, "/account/password", old="wrong", new=NEW_PASSWORD)
    assert wrong.status_code == 401
    assert "current password is wrong" in wrong.text
    assert elsewhere.get("/api/contacts").status_code == 200
    assert send(bob, "/account/password", old=PASSWORD, new=NEW_PASSWORD).status_code == 303
    assert bob.get("/api/contacts").status_code == 200
    assert elsewhere.get("/api/contacts").status_code == 401
    assert list_audit_actions(alice)[0] == list_audit_actions(charlie)[0] == "user.password_changed"
    assert sign_in(app.test_client()).status_code == 401


@pytest.mark.parametrize("password", ["short", "password1234", "bob@example.com", "lamp rain " * 30])
def test_an_invalid_password_is_rejected(bob: FlaskClient, password: str) -> None:
    response = send(bob, "/account/password", old=PASSWORD, new=password)
    assert response.status_code == 422
    assert not re.findall(r'<input name="(?:old|new)"[^>]*value', response.text)
    assert send(bob, "/account/password", old=PASSWORD, new=NEW_PASSWORD).status_code == 303


def test_guesses_of_the_old_password_share_the_limit_of_sign_ins(bob: FlaskClient, alice: Producer) -> None:
    # A known browser has five attempts of its own, then those of its address: one of five, because four were counted
    # beside its own.
    statuses = [send(bob, "/account/password", old="x", new=NEW_PASSWORD).status_code for _ in range(5)]
    assert statuses == [401] * 5
    for path, fields in (
        ("/account/password", {"old": PASSWORD, "new": NEW_PASSWORD}),
        ("/account/name", {"name": "Robert"}),
    ):
        response = send(bob, path, **fields)
        assert response.status_code == 429
        assert int(response.headers["Retry-After"]) > 0
    assert sign_in(alice.client).status_code == 429


@pytest.mark.parametrize("path", ["/account/name", "/account/password", "/account/workspace"])
def test_another_site_changes_nothing(bob: FlaskClient, path: str) -> None:
    fields = {"name": "Mallory", "old": PASSWORD, "new": NEW_PASSWORD}
    assert bob.post(path, data=fields).status_code == 403
    token = read_token(bob.get("/account").text)
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        assert bob.post(path, data={**fields, "csrf_token": token}, headers=headers).status_code == 403


def test_without_a_session_the_page_redirects_and_ignores_api_keys(
    bob: FlaskClient, alice: Producer, app: flask.Flask
) -> None:
    keyed = {"Authorization": f"Bearer {alice.secret}"}
    for headers in ({}, keyed):
        assert app.test_client().get("/account", headers=headers).headers["Location"] == "/sign-in?next=/account"
    assert "bob@example.com" in bob.get("/account", headers=keyed).text
    assert bob.post("/account/name", data={"name": "Mallory"}, headers=keyed).status_code == 403


def test_a_person_switches_to_another_of_their_workspaces_and_to_no_other(
    bob: FlaskClient, alice: Producer, charlie: Producer
) -> None:
    assert "Charlie&#39;s shop" not in bob.get("/automations").text
    for stranger in (charlie.workspace_id, "nonsense", ""):
        assert send(bob, "/account/workspace", workspace=stranger).status_code == 404
    join(charlie.workspace_id, "viewer")
    assert "Charlie&#39;s shop" in bob.get("/automations").text
    former = bob.get_cookie("beckon_session")
    response = send(bob, "/account/workspace", workspace=charlie.workspace_id)
    assert (response.status_code, response.headers["Location"]) == (303, "/overview")
    assert "Bob (Viewer)" in bob.get("/automations").text
    assert bob.get(charlie.automations).status_code == 200
    assert bob.get(alice.automations).status_code == 404
    assert list_audit_actions(charlie)[0] == "user.signed_in"
    assert former is not None
    bob.set_cookie("beckon_session", former.value)
    assert bob.get("/api/contacts").status_code == 401


def test_switching_workspaces_does_not_extend_the_session(bob: FlaskClient, alice: Producer, charlie: Producer) -> None:
    join(charlie.workspace_id, "viewer")
    first = bob.get_cookie("beckon_session")
    assert first is not None
    before = session.find(first.value)
    assert before is not None
    for workspace_id in (charlie.workspace_id, alice.workspace_id):
        assert send(bob, "/account/workspace", workspace=workspace_id).status_code == 303
    last = bob.get_cookie("beckon_session")
    assert last is not None
    after = session.find(last.value)
    assert after is not None
    assert (after.expires_at, after.workspace_id) == (before.expires_at, alice.workspace_id)


def test_accepting_an_invitation_does_not_extend_the_session(bob: FlaskClient, charlie: Producer) -> None:
    response = charlie.post("/api/invitations", {"email": "another@example.com", "role": "viewer"})
    path = str(response.json["invitation"]["url"]).removeprefix("http://localhost")
    first = bob.get_cookie("beckon_session")
    assert first is not None
    before = session.find(first.value)
    assert before is not None
    assert bob.post(f"{path}/accept", data={"csrf_token": read_token(bob.get(path).text)}).status_code == 303
    last = bob.get_cookie("beckon_session")
    assert last is not None
    after = session.find(last.value)
    assert after is not None
    assert (after.expires_at, after.workspace_id) == (before.expires_at, charlie.workspace_id)
    assert session.find(first.value) is None


def test_a_changed_name_is_in_the_audit_log(bob: FlaskClient, alice: Producer) -> None:
    send(bob, "/account/name", name="Alice")
    newest = alice.get("/api/audit").json["entries"][0]
    assert (newest["action"], newest["actorName"]) == ("user.renamed", "Bob")
    assert newest["detail"] == {"before": {"name": "Bob"}, "after": {"name": "Alice"}}
