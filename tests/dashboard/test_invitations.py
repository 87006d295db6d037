"""Invitations over HTTP: made by whoever may give the role, told alike for known and unknown addresses, mailed."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

import settings
from dashboard.access import INVITATIONS
from engine_ground import shared_sandbox
from models import api_key, database
from models.database import changed, transaction
from sandbox.server import Running
from tasks import invitations as task
from tests.dashboard.cast import Producer
from tests.dashboard.test_access import add_person

__all__ = ["shared_sandbox"]

DORA = {"email": "Dora@Example.com", "role": "operator"}


def weak(alice: Producer, *scopes: Any) -> Producer:
    """A program of Alice's with these scopes alone."""
    return Producer(alice.client, alice.workspace_id, api_key.issue(alice.workspace_id, "weak", scopes).secret)


def invited(producer: Producer, **body: Any) -> dict[str, Any]:
    answer = producer.post("/api/invitations", {**DORA, **body})
    assert answer.status_code == 201, answer.json
    invitation: dict[str, Any] = answer.json["invitation"]
    return invitation


def statements(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The SQL that was logged, without parameters and the names of savepoints."""
    logged: list[Any] = [record.msg for record in caplog.records if record.name == "peewee"]
    return [sql for sql, _ in logged if "SAVEPOINT" not in sql]


def as_service(sql: str, *parameters: Any) -> None:
    """Change what the dashboard may not."""
    loaded = settings.load()
    database.db.close_all()
    database.open_pool(loaded.database_service_url, "beckon_service", 2)
    with transaction():
        changed(sql, parameters)
    database.db.close_all()
    database.open_pool(loaded.database_app_url, "beckon_app", 8)


@contextmanager
def quoting_provider() -> Iterator[tuple[str, list[str]]]:
    """A server that refuses every mail with the token in it; its address, and the tokens that it saw."""
    quoted: list[str] = []

    class Quoting(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            quoted.extend(re.findall(r"/invitations/([\w-]{43})", body))
            answer = json.dumps({"message": f"not this: {quoted[-1]}"}).encode()
            self.send_response(400)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Quoting) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", quoted
        server.shutdown()
        thread.join()


def audited(producer: Producer) -> list[tuple[str, str]]:
    entries = producer.get("/api/audit").json["entries"]
    return [(each["action"], each["objectId"]) for each in entries]


def test_an_invitation_is_answered_with_its_link_once(alice: Producer) -> None:
    answer = alice.post("/api/invitations", DORA)
    assert answer.status_code == 201
    assert (answer.json["success"], answer.json["mailed"]) == (True, False)
    invitation = answer.json["invitation"]
    assert set(invitation) == {"id", "email", "role", "url", "expiresAt"}
    assert (invitation["email"], invitation["role"]) == ("dora@example.com", "operator")
    assert re.fullmatch(r"http://localhost/invitations/[\w-]{43}", invitation["url"])
    listed = alice.get("/api/invitations")
    assert [each["id"] for each in listed.json["invitations"]] == [invitation["id"]]
    assert listed.json["invitations"][0]["invitedBy"] == "alice's shop"
    assert invitation["url"].rsplit("/", 1)[1] not in listed.text
    assert "password" not in answer.text


def test_a_member_is_never_made_by_the_inviter(alice: Producer) -> None:
    assert alice.post("/api/members", {**DORA, "name": "Dora"}).status_code == 405
    invited(alice)
    assert alice.get("/api/members").json["members"] == []


def test_a_revoked_invitation_is_gone(alice: Producer, charlie: Producer) -> None:
    path = f"/api/invitations/{invited(alice)['id']}"
    assert charlie.ask("DELETE", path).status_code == 404
    assert alice.ask("DELETE", path).status_code == 200
    assert alice.ask("DELETE", path).status_code == 404
    assert alice.get("/api/invitations").json["invitations"] == []
    assert [action for action, _ in audited(alice)] == ["invitation.revoked", "invitation.created"]


def test_a_workspace_sees_its_own_invitations_alone(alice: Producer, charlie: Producer) -> None:
    invited(alice)
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
def test_nobody_gives_more_than_they_have(alice: Producer, scopes: tuple[str, ...], role: str, status: int) -> None:
    add_person(alice.workspace_id, "viewer")
    program = weak(alice, *scopes)
    assert program.post("/api/invitations", {**DORA, "role": role}).status_code == status
    bob = alice.get("/api/members").json["members"][0]["id"]
    changed_role = program.ask("PATCH", f"/api/members/{bob}", json={"role": role}).status_code
    assert changed_role == (200 if status == 201 else 403)


def test_a_known_and_an_unknown_address_are_answered_alike(
    alice: Producer, charlie: Producer, caplog: pytest.LogCaptureFixture
) -> None:
    """In words, and in what is asked of the database."""
    add_person(charlie.workspace_id, "owner", "known@example.com")
    answers = {}
    # A key's first use is noted.
    alice.get("/api/members")
    for email in ("known@example.com", "strange@example.com"):
        caplog.clear()
        with caplog.at_level(logging.DEBUG, "peewee"):
            answer = alice.post("/api/invitations", {"email": email, "role": "viewer"})
        invitation = answer.json["invitation"]
        text = json.dumps(answer.json)
        for volatile in (email, invitation["id"], invitation["url"], invitation["expiresAt"]):
            text = text.replace(volatile, "…")
        answers[email] = answer.status_code, text, statements(caplog)
        assert answers[email][2]
    assert answers["known@example.com"] == answers["strange@example.com"]


def test_a_member_of_this_workspace_is_a_conflict(alice: Producer) -> None:
    add_person(alice.workspace_id, "viewer")
    answer = alice.post("/api/invitations", {"email": "BOB@example.com", "role": "owner"})
    assert (answer.status_code, answer.json["errors"][0]["path"]) == (409, "email")


@pytest.mark.parametrize("field", [{"email": "nobody"}, {"email": "a@b@c"}, {"role": "king"}, {"role": None}])
def test_what_is_no_address_or_role_is_refused_by_its_name(alice: Producer, field: dict[str, Any]) -> None:
    answer = alice.post("/api/invitations", {**DORA, **field})
    assert (answer.status_code, answer.json["errors"][0]["path"]) == (422, next(iter(field)))
    assert alice.get("/api/invitations").json["invitations"] == []


def test_a_workspace_sends_so_many_invitations_at_once(alice: Producer, charlie: Producer) -> None:
    for number in range(INVITATIONS.burst):
        invited(alice, email=f"{number}@example.com")
    answer = alice.post("/api/invitations", DORA)
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    invited(charlie)


def test_a_role_is_changed_by_an_owner(alice: Producer, charlie: Producer) -> None:
    add_person(alice.workspace_id, "viewer")
    add_person(alice.workspace_id, "owner", "alice@example.com")
    members = {each["email"]: each["id"] for each in alice.get("/api/members").json["members"]}
    path = f"/api/members/{members['bob@example.com']}"
    assert charlie.ask("PATCH", path, json={"role": "owner"}).status_code == 404
    answer = alice.ask("PATCH", path, json={"role": "operator"})
    assert (answer.status_code, answer.json["member"]["role"]) == (200, "operator")
    assert audited(alice)[0] == ("member.role_changed", members["bob@example.com"])
    last = f"/api/members/{members['alice@example.com']}"
    assert alice.ask("PATCH", last, json={"role": "viewer"}).status_code == 409
    assert alice.ask("DELETE", last).status_code == 409
    assert alice.ask("DELETE", path).status_code == 200
    assert alice.ask("DELETE", path).status_code == 404


class TestMailed:
    """With Mailgun configured."""

    @pytest.fixture
    def told(self, shared_sandbox: Running) -> settings.Settings:
        shared_sandbox.clear()
        return replace(
            settings.load(), mailgun_api_key="key-of-the-tests", mailgun_domain="mg.example.com",
            mailgun_base_url=shared_sandbox.url,
        )  # fmt: skip

    def test_an_invitation_is_mailed_with_a_link_of_its_own(self, alice: Producer, shared_sandbox: Running) -> None:
        answer = alice.post("/api/invitations", DORA)
        assert answer.json["mailed"] is True
        (mail,) = shared_sandbox.messages("mailgun", "dora@example.com")
        assert "Alice's shop" in mail["body"]["subject"]
        (mailed,) = re.findall(r"http://localhost/invitations/[\w-]{43}", mail["body"]["text"])
        assert mailed != answer.json["invitation"]["url"]
        assert mailed not in answer.text

    @pytest.mark.parametrize("fault", ["http_500", "auth", "http_429", "reset_after"])
    def test_an_invitation_whose_mail_fails_stands_and_says_so(
        self, alice: Producer, shared_sandbox: Running, fault: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shared_sandbox.fault("mailgun", fault, times=0, seconds=60)
        answer = alice.post("/api/invitations", DORA)
        assert (answer.status_code, answer.json["mailed"]) == (201, False)
        assert len(alice.get("/api/invitations").json["invitations"]) == 1
        assert "an invitation was not mailed" in capsys.readouterr().out

    def test_no_try_begins_after_the_deadline(
        self, alice: Producer, shared_sandbox: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(task, "DEADLINE_SECONDS", -1.0)
        assert alice.post("/api/invitations", DORA).json["mailed"] is False
        assert shared_sandbox.messages("mailgun") == []

    def test_a_provider_that_quotes_the_mail_puts_no_token_into_the_log(
        self, alice: Producer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with quoting_provider() as (url, quoted):
            extensions = alice.client.application.extensions
            extensions["settings"] = replace(extensions["settings"], mailgun_base_url=url)
            assert alice.post("/api/invitations", DORA).json["mailed"] is False
        logged = capsys.readouterr().out
        assert "an invitation was not mailed" in logged
        assert "***" in logged
        assert quoted
        assert not [token for token in quoted if token in logged]

    def test_a_workspace_s_name_adds_no_header(self, alice: Producer, shared_sandbox: Running) -> None:
        as_service("update workspaces set name = %s", "A shop\r\nBcc: eve@example.com")
        assert alice.post("/api/invitations", DORA).json["mailed"] is True
        (mail,) = shared_sandbox.messages("mailgun", "dora@example.com")
        assert "\n" not in mail["body"]["subject"]


def test_the_demo_workspace_mails_to_the_sandbox(alice: Producer, shared_sandbox: Running) -> None:
    shared_sandbox.clear()
    as_service("update workspaces set demo = true")
    alice.client.application.extensions["settings"] = replace(
        settings.load(), url="http://localhost", sandbox_port=int(shared_sandbox.url.rsplit(":", 1)[1])
    )
    assert alice.post("/api/invitations", DORA).json["mailed"] is True
    assert len(shared_sandbox.messages("mailgun", "dora@example.com")) == 1
