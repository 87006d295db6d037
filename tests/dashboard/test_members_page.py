"""The members of a workspace on a page, which is the owners' alone."""

from __future__ import annotations

import re
from typing import Any

import flask
import pytest
from flask.testing import FlaskClient

from tests.dashboard.producers import Producer
from tests.dashboard.test_access import add_person, read_token, sign_in

PATH = "/settings/members"


def sign_in_as(app: flask.Flask, alice: Producer, role: Any) -> FlaskClient:
    email = f"{role}@example.com"
    add_person(alice.workspace_id, role, email)
    browser = app.test_client()
    assert sign_in(browser, email).status_code == 303
    return browser


@pytest.fixture
def owner(app: flask.Flask, alice: Producer) -> FlaskClient:
    return sign_in_as(app, alice, "owner")


def send(browser: FlaskClient, path: str, **fields: str) -> Any:
    return browser.post(path, data={"csrf_token": read_token(browser.get(PATH).text), **fields})


def fetch_ids(alice: Producer) -> dict[str, str]:
    return {member["email"]: member["id"] for member in alice.get("/api/members").json["members"]}


def test_an_owner_invites_and_sees_the_link_once(owner: FlaskClient, alice: Producer) -> None:
    response = send(owner, "/settings/invitations", email="Dora@Example.com", role="operator")
    assert response.status_code == 201
    (url,) = re.findall(r"http://localhost(/invitations/[\w-]{43})", response.text)
    assert "No e-mail was sent" in response.text
    assert owner.get(url).status_code == 200
    page = owner.get(PATH).text
    assert "dora@example.com" in page
    assert url not in page
    assert "beckon_notice" not in str(response.headers)


def test_an_invitation_is_revoked(owner: FlaskClient, alice: Producer) -> None:
    send(owner, "/settings/invitations", email="dora@example.com", role="viewer")
    (invitation,) = alice.get("/api/invitations").json["invitations"]
    path = f"/settings/invitations/{invitation['id']}/revoke"
    assert path in owner.get(PATH).text
    assert send(owner, path).status_code == 303
    assert alice.get("/api/invitations").json["invitations"] == []
    assert send(owner, path).status_code == 404
    assert send(owner, "/settings/invitations/nonsense/revoke").status_code == 404


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"email": "nobody", "role": "viewer"}, 422),
        ({"email": "a@example.com", "role": "king"}, 422),
        ({}, 422),
        ({"email": "owner@example.com", "role": "viewer"}, 409),
    ],
)
def test_what_cannot_be_invited_is_told_on_the_page(
    owner: FlaskClient, alice: Producer, fields: dict[str, str], status: int
) -> None:
    response = send(owner, "/settings/invitations", **fields)
    assert response.status_code == status
    assert 'role="alert"' in response.text
    assert alice.get("/api/invitations").json["invitations"] == []


def test_a_role_is_changed_and_a_member_is_removed_after_a_question(
    owner: FlaskClient, app: flask.Flask, alice: Producer
) -> None:
    viewer = sign_in_as(app, alice, "viewer")
    path = f"/settings/members/{fetch_ids(alice)['viewer@example.com']}"
    assert send(owner, f"{path}/role", role="operator").status_code == 303
    assert "Bob (Operator)" in viewer.get("/automations").text
    assert send(owner, f"{path}/role", role="king").status_code == 303
    assert "Bob (Operator)" in viewer.get("/automations").text
    assert "Remove “Bob”?" in owner.get(f"{path}/delete").text
    assert "viewer@example.com" in fetch_ids(alice)
    assert send(owner, f"{path}/delete").status_code == 303
    assert "viewer@example.com" not in fetch_ids(alice)
    assert viewer.get("/api/contacts").status_code == 401
    for way in ("role", "delete"):
        assert send(owner, f"{path}/{way}", role="viewer").status_code == 404


def test_the_last_owner_is_told_why_they_stay_one(owner: FlaskClient, alice: Producer) -> None:
    path = f"/settings/members/{fetch_ids(alice)['owner@example.com']}"
    for way in ("role", "delete"):
        assert send(owner, f"{path}/{way}", role="viewer").status_code == 303
        assert "last owner" in owner.get(PATH).text
    assert fetch_ids(alice)


@pytest.mark.parametrize("role", ["operator", "viewer"])
def test_others_see_and_change_nothing(app: flask.Flask, alice: Producer, owner: FlaskClient, role: str) -> None:
    send(owner, "/settings/invitations", email="dora@example.com", role="viewer")
    browser = sign_in_as(app, alice, role)
    assert PATH not in browser.get("/settings").text
    assert browser.get(PATH).status_code == 403
    before = fetch_ids(alice)
    member = fetch_ids(alice)["owner@example.com"]
    (invitation,) = alice.get("/api/invitations").json["invitations"]
    for path in (
        "/settings/invitations", f"/settings/invitations/{invitation['id']}/revoke",
        f"/settings/members/{member}/role", f"/settings/members/{member}/delete",
    ):  # fmt: skip
        token = read_token(browser.get("/settings").text)
        fields = {"csrf_token": token, "email": "eve@example.com", "role": "owner"}
        assert browser.post(path, data=fields).status_code == 403
    assert browser.get(f"/settings/members/{member}/delete").status_code == 403
    assert fetch_ids(alice) == before
    assert len(alice.get("/api/invitations").json["invitations"]) == 1


def test_a_member_of_another_workspace_is_not_there(owner: FlaskClient, alice: Producer, charlie: Producer) -> None:
    add_person(charlie.workspace_id, "viewer")
    stranger = charlie.get("/api/members").json["members"][0]["id"]
    assert "bob@example.com" not in owner.get(PATH).text
    for way in ("role", "delete"):
        assert send(owner, f"/settings/members/{stranger}/{way}", role="owner").status_code == 404
