"""`beckon user`, `beckon key` and `beckon workspace`: who and what has access."""

from __future__ import annotations

import json
import re

import pytest

from models import api_key, audit, invitation, password_reset, session, user, workspace
from models.database import transaction
from models.queries import fetch_value

PASSWORD = "chosen by Dora herself"


def find_token(output: str, path: str) -> str:
    (token,) = re.findall(rf"http://\S+/{path}/([\w-]{{43}})\b", output)
    return token


def join(output: str, email: str = "dora@example.com") -> str:
    """Let Dora accept the printed link. Returns her id."""
    accepted = invitation.accept_with_new_account(
        find_token(output, "invitations"), email, "Dora", user.hash_password(PASSWORD)
    )
    assert accepted is not None
    assert accepted.member is not None
    return accepted.member.user_id


def test_a_user_is_added_by_a_link_and_never_by_a_password(alice, alice_beckon):
    output = alice_beckon("user", "add", "Dora@Example.com", "--role", "operator").stdout
    assert "password" not in output.lower()
    assert user.find_account("dora@example.com") is None
    assert user.list_members(alice.workspace_id) == []
    join(output)
    assert [(member["email"], member["role"]) for member in user.list_members(alice.workspace_id)] == [
        ("dora@example.com", "operator")
    ]
    assert audit.fetch_page(alice.workspace_id, 2)[1]["action"] == "invitation.created"


def test_an_existing_member_and_an_invalid_address_are_refused(alice_beckon):
    join(alice_beckon("user", "add", "dora@example.com").stdout)
    assert "already a member" in alice_beckon("user", "add", "DORA@example.com", "--role", "owner", code=1).stderr
    assert "EMAIL" in alice_beckon("user", "add", "dora", code=2).stderr


@pytest.mark.parametrize("flags", [(), ("--deployment-owner",)])
def test_only_the_command_sets_the_deployment_owner_s_flag(alice_beckon, alice_json, flags):
    join(alice_beckon("user", "add", "dora@example.com", "--role", "owner", *flags).stdout)
    key = api_key.find(alice_json("key", "create", "Shop", *flags)["secret"])
    assert key is not None
    with transaction():
        assert fetch_value("select deployment_owner from users") is key.deployment_owner is bool(flags)


def test_a_user_sets_a_new_password_through_a_link(alice_beckon, beckon):
    user_id = join(alice_beckon("user", "add", "dora@example.com").stdout)
    member, old_hash = user.find_sign_in("dora@example.com")
    assert member is not None
    cookie = session.start(member)
    token = find_token(beckon("user", "reset", "DORA@example.com").stdout, "password-resets")
    assert user.find_sign_in("dora@example.com")[1] == old_hash
    reset = password_reset.find(token)
    assert reset is not None
    assert reset.user_id == user_id
    assert password_reset.use(token, reset, user.hash_password("another one of hers"))
    assert session.find(cookie) is None
    assert "no user with that e-mail" in beckon("user", "reset", "eve@example.com", code=1).stderr


def test_no_subcommand_sets_or_shows_a_password(beckon):
    assert "No such command" in beckon("user", "password", "dora@example.com", code=2).stderr
    assert "No such option" in beckon("user", "add", "dora@example.com", "--stdin", code=2).stderr


def test_a_member_is_removed_with_their_sessions_but_never_the_last_owner(alice, alice_beckon, alice_json):
    join(alice_beckon("user", "add", "owner@example.com", "--role", "owner").stdout, "owner@example.com")
    join(alice_beckon("user", "add", "dora@example.com").stdout)
    alice_beckon("user", "remove", "Dora@example.com")
    assert [member["email"] for member in alice_json("user", "list")["members"]] == ["owner@example.com"]
    assert "owner@example.com" in alice_beckon("user", "list").stdout
    assert audit.fetch_page(alice.workspace_id, 1)[0]["action"] == "member.removed"
    assert "last owner" in alice_beckon("user", "remove", "owner@example.com", code=1).stderr
    assert "no member with that e-mail" in alice_beckon("user", "remove", "dora@example.com", code=1).stderr


def test_a_key_is_shown_once_and_revoked(alice, alice_beckon, alice_json):
    issued = alice_json("key", "create", "Shop", "--scope", "trigger")
    assert api_key.find(issued["secret"]).scopes == {"trigger"}
    output = alice_beckon("key", "list").stdout
    assert "Shop" in output
    assert issued["secret"] not in output
    alice_beckon("key", "revoke", issued["id"])
    assert api_key.find(issued["secret"]) is None
    assert "no live key" in alice_beckon("key", "revoke", issued["id"], code=1).stderr
    assert {entry["action"] for entry in audit.fetch_page(alice.workspace_id, 2)} == {"key.issued", "key.revoked"}


def test_a_workspace_is_created_with_a_key_and_an_invitation_of_its_owner(alice, beckon):
    arguments = ("workspace", "create", "acme", "--name", "Acme Inc.", "--owner", "Dora@Example.com", "--json")
    created = json.loads(beckon(*arguments).stdout)
    assert set(created) == {"workspaceId", "apiKey", "invitationUrl"}
    key = api_key.find(created["apiKey"])
    assert key is not None
    assert (key.workspace_id, key.scopes) == (created["workspaceId"], frozenset(api_key.SCOPES))
    assert key.deployment_owner is False
    assert workspace.get(created["workspaceId"])["name"] == "Acme Inc."
    join(created["invitationUrl"])
    assert [(member["email"], member["role"]) for member in user.list_members(created["workspaceId"])] == [
        ("dora@example.com", "owner")
    ]
    workspaces = json.loads(beckon("workspace", "list", "--json").stdout)["workspaces"]
    assert [row["slug"] for row in workspaces][-1] == "acme"
    assert "Acme Inc." in beckon("workspace", "list").stdout


def test_a_workspace_without_an_owner_has_no_invitation(alice, beckon):
    created = json.loads(beckon("workspace", "create", "acme", "--json").stdout)
    assert created["invitationUrl"] is None
    assert workspace.get(created["workspaceId"])["name"] == "acme"
    assert invitation.list_pending(created["workspaceId"]) == []
    output = beckon("workspace", "create", "acme-2", "--owner", "dora@example.com").stdout
    assert "bk_" in output
    assert find_token(output, "invitations")


@pytest.mark.parametrize("slug", ["acme", "Acme", "a b", "-x", "01a00000-0000-7000-8000-000000000000"])
def test_a_taken_or_invalid_slug_is_one_clear_line_and_creates_nothing(alice, beckon, slug):
    beckon("workspace", "create", "acme")
    before = len(workspace.list_all())
    refused = beckon("workspace", "create", "--json", "--", slug, code=1)
    assert refused.stdout == ""
    assert refused.stderr.startswith("beckon: ")
    assert "slug" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert len(workspace.list_all()) == before


def test_a_wrong_owner_s_address_creates_nothing(alice, beckon):
    assert "--owner" in beckon("workspace", "create", "acme", "--owner", "nobody", code=2).stderr
    assert workspace.find_by_slug("acme") is None
