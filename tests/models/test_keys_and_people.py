"""Keys, users and sessions: valid and invalid credentials of a workspace."""

from __future__ import annotations

import argon2
import pytest

from models import api_key, audit, credential, session, site_key, user
from models.checks import retention
from models.database import acting_as, transaction
from models.queries import execute, fetch_value
from tests.support.rows import fetch_rows


def test_a_secret_finds_its_key_under_row_security(as_dashboard: None, alices: str) -> None:
    issued = api_key.issue(alices, "shop", ["trigger", "read"])
    key = api_key.find(issued.secret)
    assert key == api_key.ApiKey(issued.id, alices, "shop", frozenset({"trigger", "read"}))
    assert issued.secret not in repr(issued)


def test_a_key_s_secret_is_stored_nowhere(as_service: None, alices: str) -> None:
    issued = api_key.issue(alices, "shop")
    with transaction():
        assert issued.secret not in str(fetch_rows("select * from api_keys"))


def test_a_revoked_key_is_invalid(as_dashboard: None, alices: str) -> None:
    issued = api_key.issue(alices, "shop")
    assert api_key.revoke(alices, issued.id)
    assert api_key.find(issued.secret) is None
    assert not api_key.revoke(alices, issued.id)


def test_a_key_of_another_workspace_cannot_be_revoked(as_dashboard: None, alices: str, charlies: str) -> None:
    issued = api_key.issue(alices, "shop")
    assert not api_key.revoke(charlies, issued.id)
    assert api_key.list_all(charlies) == []


def test_a_key_has_the_time_of_its_last_use(as_dashboard: None, alices: str) -> None:
    issued = api_key.issue(alices, "shop")
    assert api_key.list_all(alices)[0]["last_used_at"] is None
    api_key.note_use(alices, issued.id)
    assert api_key.list_all(alices)[0]["last_used_at"] is not None


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://shop.example", True),
        ("http://localhost:5173", True),
        ("http://localhost", True),
        ("https://shop.example.evil", False),
        ("http://localhost.evil", False),
        ("null", False),
        (None, False),
    ],
)
def test_a_site_key_serves_only_its_origins(alices: str, origin: str | None, allowed: bool) -> None:
    issued = site_key.issue(alices, "site", ["https://shop.example", "http://localhost"])
    key = site_key.find(issued.key)
    assert key == issued
    assert key.allows(origin) is allowed


def test_a_person_signs_in_with_the_right_password_in_any_case_of_the_email(alices: str) -> None:
    alice = user.create("Alice@example.com", "Alice", "correct horse")
    user.join(alices, alice, "owner")
    member, password_hash = user.find_sign_in("alice@EXAMPLE.com")
    assert member == user.Membership(alice, "Alice@example.com", "Alice", alices, "owner")
    assert user.password_matches(password_hash, "correct horse")
    assert not user.password_matches(password_hash, "wrong")
    assert user.find_sign_in("bob@example.com") == (None, None)
    assert not user.password_matches(None, "anything")


def test_a_session_lasts_until_it_is_ended(alices: str) -> None:
    alice = user.create("alice@example.com", "Alice", "correct horse")
    user.join(alices, alice, "viewer")
    member, _ = user.find_sign_in("alice@example.com")
    assert member is not None
    token = session.start(member)
    current_session = session.find(token)
    assert current_session is not None
    assert (current_session.workspace_id, current_session.role) == (alices, "viewer")
    session.end(current_session, token)
    assert session.find(token) is None


@pytest.fixture
def token(alices: str) -> str:
    """The token of a session of Alice, a viewer."""
    user.join(alices, user.create("alice@example.com", "Alice", "correct horse"), "viewer")
    member, _ = user.find_sign_in("alice@example.com")
    assert member is not None
    return session.start(member)


def move_back(column: str, interval: str) -> None:
    with transaction():
        execute(f"update sessions set {column} = {column} - %s::interval", (interval,))


@pytest.mark.parametrize(
    ("column", "interval", "is_over"),
    [
        ("used_at", "11 hours 59 minutes", False),
        ("used_at", "12 hours", True),
        ("expires_at", "13 days 23 hours 59 minutes", False),
        ("expires_at", "14 days", True),
    ],
)
def test_a_session_ends_after_twelve_idle_hours_and_after_fourteen_days(
    token: str, column: str, interval: str, is_over: bool
) -> None:
    move_back(column, interval)
    assert (session.find(token) is None) is is_over
    assert (credential.find_valid([session.digest(token)]) == {}) is is_over
    retention.run_once()
    with transaction():
        assert fetch_value("select count(*) from sessions") == (0 if is_over else 1)


def test_a_used_session_continues_and_is_updated_once_a_minute(token: str, as_dashboard: None) -> None:
    current_session = session.find(token)
    assert current_session is not None

    def fetch_used_at() -> object:
        with acting_as(current_session.workspace_id):
            return fetch_value("select used_at from sessions")

    first_used_at = fetch_used_at()
    session.record_use(current_session, token)
    assert fetch_used_at() == first_used_at
    with acting_as(current_session.workspace_id):
        execute("update sessions set used_at = used_at - interval '11 hours'")
    session.record_use(current_session, token)
    assert fetch_used_at() > first_used_at


def test_credentials_of_many_workspaces_are_checked_at_once(
    token: str, as_dashboard: None, alices: str, charlies: str
) -> None:
    key = api_key.issue(charlies, "shop", ["read", "track"])
    hashes = [session.digest(token), api_key.digest(key.secret), session.digest("nobody's")]
    assert credential.find_valid(hashes) == {
        hashes[0]: credential.Credential(alices, frozenset(), "viewer"),
        hashes[1]: credential.Credential(charlies, frozenset({"read", "track"}), None),
    }
    api_key.revoke(charlies, key.id)
    assert set(credential.find_valid(hashes)) == {hashes[0]}
    assert credential.find_valid([]) == {}


def test_guessing_a_password_costs_time_and_memory(peoples_hasher: argon2.PasswordHasher) -> None:
    assert (peoples_hasher.type, peoples_hasher.time_cost) == (argon2.Type.ID, 3)
    assert peoples_hasher.memory_cost >= 64 * 1024


def test_a_role_change_applies_at_once_and_a_new_password_ends_sessions(alices: str) -> None:
    alice = user.create("alice@example.com", "Alice", "correct horse")
    user.join(alices, alice, "viewer")
    member, _ = user.find_sign_in("alice@example.com")
    assert member is not None
    token = session.start(member)
    user.join(alices, alice, "operator")
    current_session = session.find(token)
    assert current_session is not None
    assert current_session.role == "operator"
    user.set_password(alice, "battery staple")
    assert session.find(token) is None


def test_the_audit_log_is_read_newest_first_by_its_own_workspace(
    as_dashboard: None, alices: str, charlies: str
) -> None:
    for number in range(3):
        audit.record(alices, audit.SYSTEM, "thing.done", "thing", str(number))
    first = audit.fetch_page(alices, 2)
    rest = audit.fetch_page(alices, 2, first[-1]["id"])
    ids = [str(entry["id"]) for entry in (*first, *rest)]
    assert ids == sorted(ids, reverse=True)
    assert sorted(entry["object_id"] for entry in (*first, *rest)) == ["0", "1", "2"]
    assert audit.fetch_page(charlies, 2) == []
