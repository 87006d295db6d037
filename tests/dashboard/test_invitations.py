"""Invitations over HTTP: permissions, the same response for existing and unknown addresses, and mail."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

import settings
from dashboard.access import INVITATION_LIMIT
from models import api_key, channel_credential, database
from models.database import transaction
from models.queries import execute
from sandbox.server import RunningSandbox
from tasks.operators import invitations as task
from tests.dashboard.producers import Producer
from tests.dashboard.test_access import add_person
from tests.support.engine_fixtures import shared_sandbox
from tests.support.serving import serve

__all__ = ["shared_sandbox"]

DORA = {"email": "Dora@Example.com", "role": "operator"}


def create_program(alice: Producer, *scopes: Any) -> Producer:
    """A program of Alice's workspace with only these scopes."""
    return Producer(alice.client, alice.workspace_id, api_key.issue(alice.workspace_id, "weak", scopes).secret)


def invite(producer: Producer, **body: Any) -> dict[str, Any]:
    response = producer.post("/api/invitations", {**DORA, **body})
    assert response.status_code == 201, response.json
    invitation: dict[str, Any] = response.json["invitation"]
    return invitation


def list_statements(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The logged SQL, without parameters and savepoint names."""
    logged: list[Any] = [record.msg for record in caplog.records if record.name == "peewee"]
    return [sql for sql, _ in logged if "SAVEPOINT" not in sql]


def run_sql_as_service(sql: str, *parameters: Any) -> None:
    """Run a function with the service role."""
    config = settings.load()
    database.db.close_all()
    database.open_pool(config.database_service_url, "beckon_service", 2)
    with transaction():
        execute(sql, parameters)
    database.db.close_all()
    database.open_pool(config.database_app_url, "beckon_app", 8)


@contextmanager
def quoting_provider() -> Iterator[tuple[str, list[str]]]:
    """A server that rejects every mail and quotes its token; its URL, and the tokens it received."""
    quoted: list[str] = []

    class Quoting(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            quoted.extend(re.findall(r"/invitations/([\w-]{43})", body))
            response = json.dumps({"message": f"not this: {quoted[-1]}"}).encode()
            self.send_response(400)
            self.send_header("Content-Length", str(len(response)))
            self.end_headers()
            self.wfile.write(response)

        def log_message(self, *_: Any) -> None:
            pass

    with serve(HTTPServer(("127.0.0.1", 0), Quoting)) as url:
        yield url, quoted


def list_audit_entries(producer: Producer) -> list[tuple[str, str]]:
    entries = producer.get("/api/audit").json["entries"]
    return [(entry["action"], entry["objectId"]) for entry in entries]


def test_an_invitation_returns_its_link_once(alice: Producer) -> None:
    response = alice.post("/api/invitations", DORA)
    assert response.status_code == 201
    assert (response.json["success"], response.json["mailed"]) == (True, False)
    invitation = response.json["invitation"]
    assert set(invitation) == {"id", "email", "role", "url", "expiresAt"}
    assert (invitation["email"], invitation["role"]) == ("dora@example.com", "operator")
    assert re.fullmatch(r"http://localhost/invitations/[\w-]{43}", invitation["url"])
    listed = alice.get("/api/invitations")
    assert [row["id"] for row in listed.json["invitations"]] == [invitation["id"]]
    assert listed.json["invitations"][0]["invitedBy"] == "alice's shop"
    assert invitation["url"].rsplit("/", 1)[1] not in listed.text
    assert "password" not in response.text


def test_an_invitation_creates_no_member(alice: Producer) -> None:
    assert alice.post("/api/members", {**DORA, "name": "Dora"}).status_code == 405
    invite(alice)
    assert alice.get("/api/members").json["members"] == []


def test_a_revoked_invitation_is_not_listed(alice: Producer, charlie: Producer) -> None:
    path = f"/api/invitations/{invite(alice)['id']}"
    assert charlie.request("DELETE", path).status_code == 404
    assert alice.request("DELETE", path).status_code == 200
    assert alice.request("DELETE", path).status_code == 404
    assert alice.get("/api/invitations").json["invitations"] == []
    assert [action for action, _ in list_audit_entries(alice)] == ["invitation.revoked", "invitation.created"]


def test_a_workspace_sees_only_its_own_invitations(alice: Producer, charlie: Producer) -> None:
    invite(alice)
    assert charlie.get("/api/invitations").json["invitations"] == []


@pytest.mark.parametrize(
    ("scopes", "role", "status"),
    [
        (("admin",), "owner", 403),
        (("admin",), "viewer", 403),
        (("admin", "read"), "viewer", 201),
        (("admin", "read", "write"), "operator", 403),
        (("admin", "read", "write", "trigger", "track"), "operator", 201),
        (("read", "write", "trigger", "track"), "viewer", 403),
    ],
)
def test_an_inviter_grants_no_more_than_their_own_permissions(
    alice: Producer, scopes: tuple[str, ...], role: str, status: int
) -> None:
    add_person(alice.workspace_id, "viewer")
    program = create_program(alice, *scopes)
    assert program.post("/api/invitations", {**DORA, "role": role}).status_code == status
    bob = alice.get("/api/members").json["members"][0]["id"]
    changed_role = program.request("PATCH", f"/api/members/{bob}", json={"role": role}).status_code
    assert changed_role == (200 if status == 201 else 403)


def test_existing_and_unknown_addresses_get_the_same_response(
    alice: Producer, charlie: Producer, caplog: pytest.LogCaptureFixture
) -> None:
    """The same text, and the same queries."""
    add_person(charlie.workspace_id, "owner", "known@example.com")
    responses = {}
    # The first use of a key is recorded.
    alice.get("/api/members")
    for email in ("known@example.com", "strange@example.com"):
        caplog.clear()
        # The credentials of the mail's provider are cached for seconds.
        channel_credential.load_cached.forget(alice.workspace_id)
        with caplog.at_level(logging.DEBUG, "peewee"):
            response = alice.post("/api/invitations", {"email": email, "role": "viewer"})
        invitation = response.json["invitation"]
        text = json.dumps(response.json)
        for volatile in (email, invitation["id"], invitation["url"], invitation["expiresAt"]):
            text = text.replace(volatile, "…")
        responses[email] = response.status_code, text, list_statements(caplog)
        assert responses[email][2]
    assert responses["known@example.com"] == responses["strange@example.com"]


def test_a_member_of_this_workspace_is_a_conflict(alice: Producer) -> None:
    add_person(alice.workspace_id, "viewer")
    response = alice.post("/api/invitations", {"email": "BOB@example.com", "role": "owner"})
    assert (response.status_code, response.json["errors"][0]["path"]) == (409, "email")


@pytest.mark.parametrize("field", [{"email": "nobody"}, {"email": "a@b@c"}, {"role": "king"}, {"role": None}])
def test_an_invalid_address_or_role_is_rejected_by_field(alice: Producer, field: dict[str, Any]) -> None:
    response = alice.post("/api/invitations", {**DORA, **field})
    assert (response.status_code, response.json["errors"][0]["path"]) == (422, next(iter(field)))
    assert alice.get("/api/invitations").json["invitations"] == []


def test_invitations_of_a_workspace_are_limited(alice: Producer, charlie: Producer) -> None:
    for number in range(INVITATION_LIMIT.burst):
        invite(alice, email=f"{number}@example.com")
    response = alice.post("/api/invitations", DORA)
    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) > 0
    invite(charlie)


def test_a_role_is_changed_by_an_owner(alice: Producer, charlie: Producer) -> None:
    add_person(alice.workspace_id, "viewer")
    add_person(alice.workspace_id, "owner", "alice@example.com")
    members = {member["email"]: member["id"] for member in alice.get("/api/members").json["members"]}
    path = f"/api/members/{members['bob@example.com']}"
    assert charlie.request("PATCH", path, json={"role": "owner"}).status_code == 404
    response = alice.request("PATCH", path, json={"role": "operator"})
    assert (response.status_code, response.json["member"]["role"]) == (200, "operator")
    assert list_audit_entries(alice)[0] == ("member.role_changed", members["bob@example.com"])
    last = f"/api/members/{members['alice@example.com']}"
    assert alice.request("PATCH", last, json={"role": "viewer"}).status_code == 409
    assert alice.request("DELETE", last).status_code == 409
    assert alice.request("DELETE", path).status_code == 200
    assert alice.request("DELETE", path).status_code == 404


class TestMailed:
    """With Mailgun configured."""

    @pytest.fixture
    def config(self, shared_sandbox: RunningSandbox) -> settings.Settings:
        shared_sandbox.clear()
        return settings.load().replace(mailgun_api_key="key-of-the-tests", mailgun_domain="mg.example.com",
            mailgun_base_url=shared_sandbox.url,
        )  # fmt: skip

    def test_an_invitation_is_mailed_with_a_link_of_its_own(
        self, alice: Producer, shared_sandbox: RunningSandbox
    ) -> None:
        response = alice.post("/api/invitations", DORA)
        assert response.json["mailed"] is True
        (mail,) = shared_sandbox.list_messages("mailgun", "dora@example.com")
        assert "Alice's shop" in mail["body"]["subject"]
        (mailed,) = re.findall(r"http://localhost/invitations/[\w-]{43}", mail["body"]["text"])
        assert mailed != response.json["invitation"]["url"]
        assert mailed not in response.text

    @pytest.mark.parametrize("fault", ["http_500", "auth", "http_429", "reset_after"])
    def test_an_invitation_stays_valid_where_its_mail_fails(
        self, alice: Producer, shared_sandbox: RunningSandbox, fault: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shared_sandbox.add_fault("mailgun", fault, times=0, seconds=60)
        response = alice.post("/api/invitations", DORA)
        assert (response.status_code, response.json["mailed"]) == (201, False)
        assert len(alice.get("/api/invitations").json["invitations"]) == 1
        assert "an invitation was not mailed" in capsys.readouterr().out

    def test_no_attempt_begins_after_the_deadline(
        self, alice: Producer, shared_sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(task, "DEADLINE_SECONDS", -1.0)
        assert alice.post("/api/invitations", DORA).json["mailed"] is False
        assert shared_sandbox.list_messages("mailgun") == []

    def test_a_token_quoted_by_the_provider_is_not_logged(
        self, alice: Producer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with quoting_provider() as (url, quoted):
            extensions = alice.client.application.extensions
            extensions["settings"] = extensions["settings"].replace(mailgun_base_url=url)
            assert alice.post("/api/invitations", DORA).json["mailed"] is False
        logged = capsys.readouterr().out
        assert "an invitation was not mailed" in logged
        assert "***" in logged
        assert quoted
        assert not [token for token in quoted if token in logged]

    def test_a_workspace_name_cannot_add_headers(self, alice: Producer, shared_sandbox: RunningSandbox) -> None:
        run_sql_as_service("update workspaces set name = %s", "A shop\r\nBcc: eve@example.com")
        assert alice.post("/api/invitations", DORA).json["mailed"] is True
        (mail,) = shared_sandbox.list_messages("mailgun", "dora@example.com")
        assert "\n" not in mail["body"]["subject"]


def test_the_demo_workspace_sends_mail_to_the_sandbox(alice: Producer, shared_sandbox: RunningSandbox) -> None:
    shared_sandbox.clear()
    run_sql_as_service("update workspaces set demo = true")
    alice.client.application.extensions["settings"] = settings.load().replace(
        url="http://localhost", sandbox_port=int(shared_sandbox.url.rsplit(":", 1)[1])
    )
    assert alice.post("/api/invitations", DORA).json["mailed"] is True
    assert len(shared_sandbox.list_messages("mailgun", "dora@example.com")) == 1
