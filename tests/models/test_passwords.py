"""A user's name and password: only the user changes them, with a session or a reset link."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from models import audit, credential, membership, password_reset, session, user
from models.audit import SYSTEM, AuditActor
from models.database import transaction
from models.errors import Conflict, NotFound
from models.queries import execute, fetch_value
from models.user import Membership
from tests.support.rows import fetch_rows
from tests.support.waiting import eventually

ALICE = "alice@example.com"


@pytest.fixture
def alice(alices: str, charlies: str) -> Membership:
    """Alice, who owns her workspace and is a viewer of Charlie's."""
    user_id = user.create(ALICE, "Alice", "correct horse")
    user.join(alices, user_id, "owner")
    user.join(charlies, user_id, "viewer")
    return Membership(user_id, ALICE, "Alice", alices, "owner")


def fetch_password_hash() -> str:
    account = user.find_account(ALICE)
    assert account is not None
    return account.password_hash


def change_password(cookie: str, alice: Membership, old_hash: str) -> bool:
    actor = AuditActor("user", alice.user_id, alice.name)
    return user.change_password(cookie, actor, old_hash, user.hash_password("battery staple"))


def test_a_changed_password_ends_the_other_sessions_everywhere_and_is_logged(
    alice: Membership, alices: str, charlies: str
) -> None:
    current_cookie, other_cookie = session.start(alice), session.start(alice)
    other_workspace_cookie = session.start(Membership(alice.user_id, ALICE, "Alice", charlies, "viewer"))
    link = password_reset.issue(ALICE, SYSTEM)
    assert change_password(current_cookie, alice, fetch_password_hash())
    assert session.find(current_cookie) is not None
    assert session.find(other_cookie) is None
    assert session.find(other_workspace_cookie) is None
    assert password_reset.find(link) is None
    assert user.password_matches(fetch_password_hash(), "battery staple")
    for workspace_id in (alices, charlies):
        assert audit.fetch_page(workspace_id, 1)[0]["action"] == "user.password_changed"


def has_waiting_statement() -> bool:
    """Return whether a statement waits for another transaction of this database."""
    query = "select exists (select from pg_locks where not granted)"
    return bool(fetch_value(query))


def can_start_session(member: Membership, **proof: str) -> bool:
    """Return whether a sign-in with this proof succeeds."""
    try:
        session.start(member, **proof)
    except Conflict:
        return False
    return True


def test_a_sign_in_during_a_password_change_starts_no_session(alice: Membership, as_dashboard: None) -> None:
    password_hash = fetch_password_hash()
    current_cookie, other_cookie = (session.start(alice, password_hash=password_hash) for _ in range(2))
    assert change_password(current_cookie, alice, password_hash)
    assert not can_start_session(alice, password_hash=password_hash)
    assert not can_start_session(alice, previous_token=other_cookie)
    assert can_start_session(alice, previous_token=current_cookie)
    assert can_start_session(alice, password_hash=fetch_password_hash())


def test_a_sign_in_during_the_loss_of_address_or_membership_starts_no_session(
    alice: Membership, alices: str, charlies: str
) -> None:
    password_hash, cookie = fetch_password_hash(), session.start(alice)
    assert not can_start_session(replace(alice, workspace_id=str(uuid.uuid4())), password_hash=password_hash)
    with transaction():
        execute("delete from memberships where workspace_id = %s", (charlies,))
    assert not can_start_session(replace(alice, workspace_id=charlies), previous_token=cookie)
    with transaction():
        execute("update users set email = null")
    for proof in ({"password_hash": password_hash}, {"previous_token": cookie}, {}):
        assert not can_start_session(alice, **proof)


def test_a_session_of_another_person_proves_nothing(alice: Membership, alices: str) -> None:
    bob = user.create("bob@example.com", "Bob", "battery staple")
    user.join(alices, bob, "viewer")
    bob_cookie = session.start(Membership(bob, "bob@example.com", "Bob", alices, "viewer"))
    assert not can_start_session(alice, previous_token=bob_cookie)
    assert not can_start_session(alice, previous_token="no session")
    assert session.find(bob_cookie) is not None


def test_a_browser_that_signs_in_again_keeps_one_session(alice: Membership) -> None:
    former = session.start(alice)
    assert session.find(session.start(alice, password_hash=fetch_password_hash(), previous_token=former)) is not None
    assert session.find(former) is None


def test_a_sign_in_waits_for_an_uncommitted_password_change(alice: Membership) -> None:
    """The change has ended every session, but has not committed."""
    password_hash = fetch_password_hash()
    with ThreadPoolExecutor(1) as threads:
        with transaction():
            execute("update users set password_hash = 'another'")
            execute("delete from sessions")
            attempt = threads.submit(can_start_session, alice, password_hash=password_hash)
            eventually(has_waiting_statement)
        assert attempt.result() is False


def test_a_password_change_ends_a_session_that_is_about_to_start(alice: Membership) -> None:
    password_hash, reset = fetch_password_hash(), password_reset.issue(ALICE, SYSTEM)
    opened = password_reset.find(reset)
    assert opened is not None
    with ThreadPoolExecutor(1) as threads:
        with transaction():
            token = session.start(alice, password_hash=password_hash)
            attempt = threads.submit(password_reset.use, reset, opened, "another")
            eventually(has_waiting_statement)
        assert attempt.result() is True
    assert session.find(token) is None


def test_an_account_without_an_address_has_no_session(alice: Membership) -> None:
    token = session.start(alice)
    with transaction():
        execute("update users set email = null")
    assert session.find(token) is None
    assert credential.find_valid([session.digest(token)]) == {}


def test_a_password_changed_meanwhile_is_not_changed_again(alice: Membership) -> None:
    cookie, old_hash = session.start(alice), fetch_password_hash()
    assert change_password(cookie, alice, old_hash)
    assert not change_password(cookie, alice, old_hash)
    assert not change_password("no session", alice, fetch_password_hash())


def test_only_a_session_of_the_user_changes_a_name(alice: Membership) -> None:
    user.rename(session.start(alice), SYSTEM, "Alice Byron")
    user.rename("no session", SYSTEM, "Mallory")
    account = user.find_account(ALICE)
    assert account is not None
    assert account.name == "Alice Byron"


def test_a_reset_link_sets_the_password_once_and_ends_all_sessions(
    alice: Membership, alices: str, charlies: str
) -> None:
    cookie = session.start(alice)
    link = password_reset.issue(ALICE.upper(), SYSTEM)
    assert session.find(cookie) is not None
    reset = password_reset.find(link)
    assert reset == password_reset.PasswordReset(alice.user_id, ALICE, "Alice")
    assert password_reset.use(link, reset, user.hash_password("battery staple"))
    assert not password_reset.use(link, reset, user.hash_password("another one"))
    assert session.find(cookie) is None
    assert user.password_matches(fetch_password_hash(), "battery staple")
    for workspace_id in (alices, charlies):
        actions = [entry["action"] for entry in audit.fetch_page(workspace_id, 2)]
        assert actions == ["user.password_reset", "user.reset_issued"]


def test_a_reset_link_is_stored_hashed_and_a_newer_one_replaces_it(alice: Membership) -> None:
    first, second = password_reset.issue(ALICE, SYSTEM), password_reset.issue(ALICE, SYSTEM)
    assert password_reset.find(first) is None
    assert password_reset.find(second) is not None
    with transaction():
        assert second not in str(fetch_rows("select * from password_resets"))
    with pytest.raises(NotFound):
        password_reset.issue("nobody@example.com", SYSTEM)


def test_a_reset_link_expires_and_is_invalid_for_an_account_without_an_address(alice: Membership) -> None:
    link = password_reset.issue(ALICE, SYSTEM)
    reset = password_reset.find(link)
    assert reset is not None
    for assignment in ("password_resets set expires_at = beckon_now()", "users set email = null"):
        with transaction():
            fetch_rows(f"update {assignment} returning 1")
        assert password_reset.find(link) is None
        assert not password_reset.use(link, reset, "hash")
        with transaction():
            fetch_rows("update password_resets set expires_at = beckon_now() + interval '1 hour' returning 1")


def test_a_session_lists_only_its_user_s_workspaces(alice: Membership, alices: str, charlies: str) -> None:
    cookie = session.start(alice)
    listed = {row["id"]: row["role"] for row in membership.list_workspaces_for_session(cookie)}
    assert listed == {alices: "owner", charlies: "viewer"}
    assert membership.list_workspaces_for_session("no session") == []
