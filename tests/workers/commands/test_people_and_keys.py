"""`beckon user` and `beckon key`: who and what may come in."""

from __future__ import annotations

from models import api_key, audit, user


def test_a_new_person_can_sign_in_with_the_shown_password(alice, hers):
    shown = hers("user", "add", "Dora@Example.com", "--role", "operator", "--name", "Dora").stdout
    member, password_hash = user.find_sign_in("dora@example.com")
    assert (member.role, member.workspace_id) == ("operator", alice.workspace_id)
    assert user.password_matches(password_hash, shown.strip().rsplit(" ", 1)[1])


def test_a_member_gets_another_role_and_keeps_the_password(alice, hers, told):
    hers("user", "add", "dora@example.com", "--stdin", stdin="chosen by Dora\n")
    hers("user", "add", "dora@example.com", "--role", "owner")
    assert told("user", "list")["members"][0]["role"] == "owner"
    assert user.password_matches(user.find_sign_in("dora@example.com")[1], "chosen by Dora")
    assert "dora@example.com" in hers("user", "list").stdout


def test_a_password_is_changed(hers, beckon):
    hers("user", "add", "dora@example.com")
    beckon("user", "password", "dora@example.com", "--stdin", stdin="another password\n")
    assert user.password_matches(user.find_sign_in("dora@example.com")[1], "another password")
    assert "at least 10" in beckon("user", "password", "dora@example.com", "--stdin", stdin="short\n", code=1).stderr
    assert "nobody with that e-mail" in beckon("user", "password", "eve@example.com", code=1).stderr


def test_a_member_is_removed_with_their_sessions_but_never_the_last_owner(alice, hers, told):
    hers("user", "add", "owner@example.com", "--role", "owner")
    hers("user", "add", "dora@example.com")
    hers("user", "remove", "dora@example.com")
    assert [one["email"] for one in told("user", "list")["members"]] == ["owner@example.com"]
    assert audit.page(alice.workspace_id, 1)[0]["action"] == "member.removed"
    assert "last owner" in hers("user", "remove", "owner@example.com", code=1).stderr
    assert "Nobody with that e-mail" in hers("user", "remove", "dora@example.com", code=1).stderr


def test_a_key_is_shown_once_and_revoked(alice, hers, told):
    issued = told("key", "create", "Shop", "--scope", "trigger")
    assert api_key.find(issued["secret"]).scopes == {"trigger"}
    listed = hers("key", "list").stdout
    assert "Shop" in listed
    assert issued["secret"] not in listed
    hers("key", "revoke", issued["id"])
    assert api_key.find(issued["secret"]) is None
    assert "no live key" in hers("key", "revoke", issued["id"], code=1).stderr
    assert {one["action"] for one in audit.page(alice.workspace_id, 2)} == {"key.issued", "key.revoked"}
