"""A person's own name and password: changed by themselves, by a session or by a reset's link, and by nobody else."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from models import audit, credential, membership, password_reset, session, user
from models.audit import SYSTEM, Actor
from models.database import changed, rows, transaction, value
from models.refusals import Conflict, NotThere
from models.user import Membership
from waiting import eventually

ALICE = "alice@example.com"


@pytest.fixture
def alice(alices: str, charlies: str) -> Membership:
    """Alice owns her workspace and watches Charlie's."""
    user_id = user.create(ALICE, "Alice", "correct horse")
    user.join(alices, user_id, "owner")
    user.join(charlies, user_id, "viewer")
    return Membership(user_id, ALICE, "Alice", alices, "owner")


def stored_hash() -> str:
    account = user.find_account(ALICE)
    assert account is not None
    return account.password_hash


def change(cookie: str, alice: Membership, old_hash: str) -> bool:
    actor = Actor("user", alice.user_id, alice.name)
    return user.change_password(cookie, actor, old_hash, user.hash_password("battery staple"))


def test_a_changed_password_ends_the_other_sessions_everywhere_and_is_logged(
    alice: Membership, alices: str, charlies: str
) -> None:
    here, there = session.start(alice), session.start(alice)
    elsewhere = session.start(Membership(alice.user_id, ALICE, "Alice", charlies, "viewer"))
    link = password_reset.issue(ALICE, SYSTEM)
    assert change(here, alice, stored_hash())
    assert session.find(here) is not None
    assert session.find(there) is None
    assert session.find(elsewhere) is None
    assert password_reset.find(link) is None
    assert user.password_matches(stored_hash(), "battery staple")
    for workspace_id in (alices, charlies):
        assert audit.page(workspace_id, 1)[0]["action"] == "user.password_changed"


def somebody_waits() -> bool:
    """Whether a statement waits for another transaction of this database."""
    waiting = "select exists (select from pg_locks where not granted)"
    return bool(value(waiting))


def started(member: Membership, **proof: str) -> bool:
    """Whether a sign-in with this proof still succeeds."""
    try:
        session.start(member, **proof)
    except Conflict:
        return False
    return True


def test_a_sign_in_that_runs_while_the_password_changes_starts_no_session(
    alice: Membership, as_dashboard: None
) -> None:
    proven = stored_hash()
    here, other_tab = (session.start(alice, password_hash=proven) for _ in range(2))
    assert change(here, alice, proven)
    assert not started(alice, password_hash=proven)
    assert not started(alice, former=other_tab)
    assert started(alice, former=here)
    assert started(alice, password_hash=stored_hash())


def test_a_sign_in_that_runs_while_the_address_or_membership_goes_starts_no_session(
    alice: Membership, alices: str, charlies: str
) -> None:
    proven, cookie = stored_hash(), session.start(alice)
    assert not started(replace(alice, workspace_id=str(uuid.uuid4())), password_hash=proven)
    with transaction():
        changed("delete from memberships where workspace_id = %s", (charlies,))
    assert not started(replace(alice, workspace_id=charlies), former=cookie)
    with transaction():
        changed("update users set email = null")
    for proof in ({"password_hash": proven}, {"former": cookie}, {}):
        assert not started(alice, **proof)


def test_a_session_of_another_person_proves_nothing(alice: Membership, alices: str) -> None:
    bob = user.create("bob@example.com", "Bob", "battery staple")
    user.join(alices, bob, "viewer")
    bobs = session.start(Membership(bob, "bob@example.com", "Bob", alices, "viewer"))
    assert not started(alice, former=bobs)
    assert not started(alice, former="no session")
    assert session.find(bobs) is not None


def test_a_browser_that_signs_in_again_keeps_one_session(alice: Membership) -> None:
    former = session.start(alice)
    assert session.find(session.start(alice, password_hash=stored_hash(), former=former)) is not None
    assert session.find(former) is None


def test_a_sign_in_waits_for_a_change_of_the_password_that_is_under_way(alice: Membership) -> None:
    """The change has ended every session already, and has not committed."""
    proven = stored_hash()
    with ThreadPoolExecutor(1) as threads:
        with transaction():
            changed("update users set password_hash = 'another'")
            changed("delete from sessions")
            attempt = threads.submit(started, alice, password_hash=proven)
            eventually(somebody_waits)
        assert attempt.result() is False


def test_a_change_of_the_password_ends_a_session_that_is_about_to_start(alice: Membership) -> None:
    proven, reset = stored_hash(), password_reset.issue(ALICE, SYSTEM)
    opened = password_reset.find(reset)
    assert opened is not None
    with ThreadPoolExecutor(1) as threads:
        with transaction():
            token = session.start(alice, password_hash=proven)
            attempt = threads.submit(password_reset.use, reset, opened, "another")
            eventually(somebody_waits)
        assert attempt.result() is True
    assert session.find(token) is None


def test_an_account_without_an_address_has_no_session_however_it_came_to_be(alice: Membership) -> None:
    token = session.start(alice)
    with transaction():
        changed("update users set email = null")
    assert session.find(token) is None
    assert credential.valid([session.digest(token)]) == {}


def test_a_password_that_was_changed_meanwhile_is_not_changed_again(alice: Membership) -> None:
    cookie, old_hash = session.start(alice), stored_hash()
    assert change(cookie, alice, old_hash)
    assert not change(cookie, alice, old_hash)
    assert not change("no session", alice, stored_hash())


def test_a_name_is_changed_by_a_session_alone(alice: Membership) -> None:
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
    assert user.password_matches(stored_hash(), "battery staple")
    for workspace_id in (alices, charlies):
        actions = [each["action"] for each in audit.page(workspace_id, 2)]
        assert actions == ["user.password_reset", "user.reset_issued"]


def test_a_reset_link_is_stored_hashed_and_a_newer_one_replaces_it(alice: Membership) -> None:
    first, second = password_reset.issue(ALICE, SYSTEM), password_reset.issue(ALICE, SYSTEM)
    assert password_reset.find(first) is None
    assert password_reset.find(second) is not None
    with transaction():
        assert second not in str(rows("select * from password_resets"))
    with pytest.raises(NotThere):
        password_reset.issue("nobody@example.com", SYSTEM)


def test_a_reset_link_is_dead_after_its_time_and_for_an_account_without_an_address(alice: Membership) -> None:
    link = password_reset.issue(ALICE, SYSTEM)
    reset = password_reset.find(link)
    assert reset is not None
    for change_of in ("password_resets set expires_at = beckon_now()", "users set email = null"):
        with transaction():
            rows(f"update {change_of} returning 1")
        assert password_reset.find(link) is None
        assert not password_reset.use(link, reset, "hash")
        with transaction():
            rows("update password_resets set expires_at = beckon_now() + interval '1 hour' returning 1")


def test_a_session_lists_the_workspaces_of_its_person_alone(alice: Membership, alices: str, charlies: str) -> None:
    cookie = session.start(alice)
    listed = {each["id"]: each["role"] for each in membership.of_session(cookie)}
    assert listed == {alices: "owner", charlies: "viewer"}
    assert membership.of_session("no session") == []
