"""A person's own name and password: changed by themselves, by a session or by a reset's link, and by nobody else."""

from __future__ import annotations

import pytest

from models import audit, membership, password_reset, session, user
from models.audit import SYSTEM, Actor
from models.database import rows, transaction
from models.refusals import NotThere
from models.user import Membership

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


def test_a_password_that_was_changed_meanwhile_is_not_changed_again(alice: Membership) -> None:
    cookie, old_hash = session.start(alice), stored_hash()
    assert change(cookie, alice, old_hash)
    assert not change(cookie, alice, old_hash)
    assert not change("no session", alice, stored_hash())


def test_a_name_is_changed_by_a_session_alone(alice: Membership) -> None:
    user.rename(session.start(alice), "Alice Byron")
    user.rename("no session", "Mallory")
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
