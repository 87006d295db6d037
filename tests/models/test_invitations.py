"""Invitations: who becomes a member by which link, and what happens to the accounts around it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import clock
import settings
from models import api_key, audit, database, invitation, links, membership, session, user
from models.audit import SYSTEM, Actor
from models.database import acting_as, changed, rows, transaction, value
from models.refusals import Conflict, NotThere

ALICE = "alice@example.com"
BOB = "bob@example.com"


@pytest.fixture
def owner(alices: str) -> str:
    """Alice, who owns her workspace."""
    user_id = user.create(ALICE, "Alice", "none of these tests knows it")
    user.join(alices, user_id, "owner")
    return user_id


@pytest.fixture
def by_alice(owner: str) -> Actor:
    return Actor("user", owner, "Alice")


@pytest.fixture
def bob(charlies: str) -> str:
    """Bob, who has an account because he watches Charlie's workspace; nobody proved his address."""
    user_id = user.create(BOB, "Bob", "none of these tests knows it")
    user.join(charlies, user_id, "viewer")
    return user_id


@pytest.fixture
def at_the_dashboard(alices: str, owner: str, bob: str) -> None:
    """From here on the process is bound by row security."""
    database.db.close_all()
    database.open_pool(settings.load().database_app_url, "beckon_app", 8)


def roles(workspace_id: str) -> dict[str | None, str]:
    return {each["email"]: each["role"] for each in user.members(workspace_id)}


def new_account(token: str, email: str = "dora@example.com", name: str = "Dora") -> invitation.Acceptance | None:
    return invitation.accept_with_new_account(token, email, name, user.hash_password("a password of Dora's"))


def as_service(sql: str, *parameters: Any) -> list[dict[str, Any]]:
    """Ask past row security."""
    database.db.close_all()
    database.open_pool(settings.load().database_service_url, "beckon_service", 8)
    with transaction():
        answer = rows(sql, parameters)
    database.db.close_all()
    database.open_pool(settings.load().database_app_url, "beckon_app", 8)
    return answer


@pytest.mark.usefixtures("at_the_dashboard")
def test_a_new_person_is_a_member_only_after_accepting(alices: str, by_alice: Actor) -> None:
    issued = invitation.create(alices, "dora@example.com", "operator", by_alice)
    assert roles(alices) == {ALICE: "owner"}
    accepted = new_account(issued.shown_token)
    assert accepted is not None
    assert accepted.member is not None
    assert roles(alices) == {ALICE: "owner", "dora@example.com": "operator"}
    member, password_hash = user.find_sign_in("dora@example.com")
    assert member == accepted.member
    assert user.password_matches(password_hash, "a password of Dora's")


@pytest.mark.usefixtures("at_the_dashboard")
def test_only_the_hash_of_a_token_is_stored(alices: str, by_alice: Actor) -> None:
    issued = invitation.create(alices, BOB, "viewer", by_alice)
    with acting_as(alices):
        stored = str(rows("select * from invitations")) + str(rows("select * from audit"))
    assert len(issued.shown_token) >= 43
    assert issued.shown_token not in stored
    assert issued.mailed_token not in stored
    assert issued.shown_token not in repr(issued)
    assert issued.shown_token != issued.mailed_token


@pytest.mark.usefixtures("at_the_dashboard")
@pytest.mark.parametrize("link", ["shown_token", "mailed_token"])
def test_a_link_works_once_and_takes_the_other_one_with_it(alices: str, by_alice: Actor, link: str) -> None:
    issued = invitation.create(alices, "dora@example.com", "viewer", by_alice)
    assert new_account(getattr(issued, link)) is not None
    for token in (issued.shown_token, issued.mailed_token):
        assert invitation.find(token) is None
        assert new_account(token, "eve@example.com") is None
        assert invitation.accept(token, str(by_alice.id), ALICE, "Alice") is None


@pytest.mark.usefixtures("at_the_dashboard")
def test_of_many_who_accept_at_once_one_gets_in(alices: str, charlies: str, by_alice: Actor, bob: str) -> None:
    issued = invitation.create(alices, "dora@example.com", "viewer", by_alice)
    accepted = at_once(
        lambda: new_account(issued.shown_token),
        lambda: new_account(issued.mailed_token),
        lambda: invitation.accept(issued.shown_token, bob, BOB, "Bob"),
        lambda: invitation.accept(issued.mailed_token, bob, BOB, "Bob"),
    )
    assert len(accepted) == 4
    assert len([each for each in accepted if each is not None]) == 1
    assert len(roles(alices)) == 2


@pytest.mark.usefixtures("at_the_dashboard")
def test_a_link_is_dead_after_72_hours_of_the_database_s_clock(alices: str, by_alice: Actor) -> None:
    issued = invitation.create(alices, "dora@example.com", "viewer", by_alice)
    assert timedelta(hours=71) < issued.expires_at - clock.now() <= timedelta(hours=72)
    as_service("update invitations set expires_at = beckon_now() - interval '1 second' returning id")
    assert invitation.find(issued.shown_token) is None
    assert new_account(issued.mailed_token) is None
    assert invitation.pending(alices) == []
    with pytest.raises(NotThere):
        invitation.revoke(alices, issued.id, by_alice)


@pytest.mark.usefixtures("at_the_dashboard")
def test_a_second_invitation_of_an_address_ends_the_first(alices: str, by_alice: Actor) -> None:
    first = invitation.create(alices, "dora@example.com", "owner", by_alice)
    second = invitation.create(alices, "dora@example.com", "viewer", by_alice)
    assert invitation.find(first.shown_token) is None
    assert invitation.find(first.mailed_token) is None
    assert [each["id"] for each in invitation.pending(alices)] == [second.id]
    assert new_account(second.shown_token) is not None
    assert roles(alices)["dora@example.com"] == "viewer"


@pytest.mark.usefixtures("at_the_dashboard")
def test_a_member_of_this_workspace_is_not_invited_again(alices: str, charlies: str, by_alice: Actor) -> None:
    with pytest.raises(Conflict):
        invitation.create(alices, ALICE, "viewer", by_alice)
    assert invitation.create(charlies, ALICE, "viewer", SYSTEM).email == ALICE


@pytest.mark.usefixtures("at_the_dashboard")
def test_a_workspace_sees_and_revokes_its_own_invitations_alone(alices: str, charlies: str, by_alice: Actor) -> None:
    issued = invitation.create(alices, "dora@example.com", "viewer", by_alice)
    assert invitation.pending(charlies) == []
    with pytest.raises(NotThere):
        invitation.revoke(charlies, issued.id, SYSTEM)
    invitation.revoke(alices, issued.id, by_alice)
    assert invitation.find(issued.shown_token) is None
    actions = [each["action"] for each in audit.page(alices, 5)]
    assert actions == ["invitation.revoked", "invitation.created"]


@pytest.mark.usefixtures("at_the_dashboard")
def test_an_invitation_ends_when_its_maker_could_not_make_it_any_more(alices: str, owner: str, by_alice: Actor) -> None:
    issued = invitation.create(alices, "dora@example.com", "owner", by_alice)
    user.join(alices, owner, "operator")
    assert invitation.find(issued.shown_token) is None
    assert invitation.pending(alices) == []
    assert new_account(issued.shown_token) is None
    key = api_key.issue(alices, "shop")
    issued = invitation.create(alices, "dora@example.com", "owner", Actor("api_key", key.id, "shop"))
    assert invitation.find(issued.shown_token) is not None
    api_key.revoke(alices, key.id)
    assert invitation.find(issued.shown_token) is None


@pytest.mark.usefixtures("at_the_dashboard")
def test_any_account_may_accept_and_is_not_proven_by_another_address(alices: str, by_alice: Actor, bob: str) -> None:
    issued = invitation.create(alices, "dora@example.com", "operator", by_alice)
    accepted = invitation.accept(issued.mailed_token, bob, BOB, "Bob")
    assert accepted is not None
    assert accepted.outcome == "accepted"
    assert roles(alices)[BOB] == "operator"
    assert [each["verified"] for each in user.members(alices) if each["email"] == BOB] == [False]
    entry = audit.page(alices, 1)[0]
    assert (entry["action"], entry["actor_id"], entry["object_id"]) == ("invitation.accepted", bob, issued.id)


@pytest.mark.usefixtures("at_the_dashboard")
@pytest.mark.parametrize(("link", "verified"), [("shown_token", False), ("mailed_token", True)])
def test_only_the_mailed_link_proves_the_address(alices: str, by_alice: Actor, link: str, verified: bool) -> None:
    issued = invitation.create(alices, "dora@example.com", "viewer", by_alice)
    new_account(getattr(issued, link))
    assert {each["email"]: each["verified"] for each in user.members(alices)}["dora@example.com"] is verified


@pytest.mark.usefixtures("at_the_dashboard")
@pytest.mark.parametrize(("link", "verified"), [("shown_token", False), ("mailed_token", True)])
def test_an_account_that_accepts_by_mail_to_its_own_address_is_proven(
    alices: str, by_alice: Actor, bob: str, link: str, verified: bool
) -> None:
    issued = invitation.create(alices, BOB, "viewer", by_alice)
    invitation.accept(getattr(issued, link), bob, BOB, "Bob")
    assert {each["email"]: each["verified"] for each in user.members(alices)}[BOB] is verified


@pytest.mark.usefixtures("at_the_dashboard")
def test_the_shown_link_changes_nothing_about_a_person_with_an_account(
    alices: str, charlies: str, by_alice: Actor, bob: str
) -> None:
    before = as_service("select * from users where id = %s", bob)
    issued = invitation.create(alices, BOB, "owner", by_alice)
    refused = new_account(issued.shown_token, BOB, "Mallory")
    assert refused == invitation.Acceptance("taken")
    assert as_service("select * from users where id = %s", bob) == before
    assert roles(alices) == {ALICE: "owner"}
    assert invitation.find(issued.shown_token) is not None


@pytest.mark.usefixtures("at_the_dashboard")
def test_the_mailed_link_takes_an_unproven_address_over_and_nothing_else_of_that_account(
    alices: str, charlies: str, by_alice: Actor, bob: str
) -> None:
    cookie = session.start(user.Membership(bob, BOB, "Bob", charlies, "viewer"))
    issued = invitation.create(alices, BOB, "operator", by_alice)
    accepted = new_account(issued.mailed_token, BOB, "The real Bob")
    assert accepted is not None
    assert accepted.member is not None
    assert accepted.member.user_id != bob
    assert session.find(cookie) is None
    assert roles(charlies) == {None: "viewer"}
    assert roles(alices) == {ALICE: "owner", BOB: "operator"}
    member, password_hash = user.find_sign_in(BOB)
    assert member == accepted.member
    assert user.password_matches(password_hash, "a password of Dora's")
    former = as_service("select email, password_hash from users where id = %s", bob)
    assert former == [{"email": None, "password_hash": ""}]
    assert not user.password_matches(former[0]["password_hash"], "")


@pytest.mark.usefixtures("at_the_dashboard")
def test_a_proven_account_is_never_taken_over(alices: str, charlies: str, by_alice: Actor) -> None:
    first = invitation.create(charlies, "dora@example.com", "viewer", SYSTEM)
    new_account(first.mailed_token)
    before = as_service("select * from users where email = 'dora@example.com'")
    issued = invitation.create(alices, "dora@example.com", "viewer", by_alice)
    for token in (issued.mailed_token, issued.shown_token):
        assert new_account(token, "dora@example.com", "Mallory") == invitation.Acceptance("taken")
    assert as_service("select * from users where email = 'dora@example.com'") == before


@pytest.mark.usefixtures("at_the_dashboard")
def test_a_member_who_accepts_stays_what_they_are(alices: str, by_alice: Actor, owner: str) -> None:
    issued = invitation.create(alices, "alias@example.com", "viewer", by_alice)
    assert invitation.accept(issued.shown_token, owner, ALICE, "Alice") == invitation.Acceptance("member")
    assert roles(alices) == {ALICE: "owner"}
    assert invitation.find(issued.shown_token) is not None


def test_two_workspaces_may_invite_a_new_address_and_one_account_comes_of_it(
    alices: str, charlies: str, by_alice: Actor
) -> None:
    first = invitation.create(alices, "dora@example.com", "viewer", by_alice)
    second = invitation.create(charlies, "dora@example.com", "owner", SYSTEM)
    assert new_account(first.shown_token) is not None
    assert new_account(second.shown_token) == invitation.Acceptance("taken")
    account = user.find_account("Dora@Example.com")
    assert account is not None
    assert invitation.accept(second.shown_token, account.user_id, account.email, account.name) is not None
    assert (roles(alices)["dora@example.com"], roles(charlies)["dora@example.com"]) == ("viewer", "owner")


def test_the_deployment_owner_s_flag_is_carried_until_it_is_accepted(alices: str, by_alice: Actor) -> None:
    issued = invitation.create(alices, "dora@example.com", "owner", by_alice, deployment_owner=True)
    with transaction():
        assert value("select count(*) from users where deployment_owner") == 0
    new_account(issued.shown_token)
    with transaction():
        assert value("select email from users where deployment_owner") == "dora@example.com"


def test_whoever_invites_again_does_not_inherit_the_deployment_owner_s_flag(alices: str, by_alice: Actor) -> None:
    invitation.create(alices, "dora@example.com", "owner", by_alice, deployment_owner=True)
    issued = invitation.create(alices, "dora@example.com", "owner", by_alice)
    new_account(issued.shown_token)
    with transaction():
        assert value("select count(*) from users where deployment_owner") == 0


def test_the_first_owner_s_address_is_not_taken_over(alices: str, charlies: str) -> None:
    user.create("first@example.com", "First", "none of these tests knows it", deployment_owner=True)
    issued = invitation.create(alices, "first@example.com", "viewer", SYSTEM)
    assert new_account(issued.mailed_token, "first@example.com") == invitation.Acceptance("taken")


@pytest.mark.usefixtures("at_the_dashboard")
def test_a_role_is_changed_with_a_line_in_the_log_and_the_last_owner_stays(
    alices: str, charlies: str, owner: str, by_alice: Actor, bob: str
) -> None:
    user.join(alices, bob, "viewer")
    for change in (
        lambda: membership.change_role(alices, owner, "viewer", by_alice),
        lambda: membership.remove(alices, owner, by_alice),
    ):
        with pytest.raises(Conflict):
            change()
    membership.change_role(alices, bob, "owner", by_alice)
    membership.change_role(alices, bob, "owner", by_alice)
    assert [each["action"] for each in audit.page(alices, 5)] == ["member.role_changed"]
    membership.change_role(alices, owner, "operator", by_alice)
    assert roles(alices) == {ALICE: "operator", BOB: "owner"}
    with pytest.raises(NotThere):
        membership.change_role(charlies, owner, "owner", by_alice)


def at_once(*attempts: Callable[[], Any]) -> list[Any]:
    """What each answered, or raised, when all began together."""
    start, answers = threading.Barrier(len(attempts)), []

    def run(attempt: Callable[[], Any]) -> None:
        with database.connection():
            start.wait(10)
            try:
                answers.append(attempt())
            except Exception as error:
                answers.append(error)

    threads = [threading.Thread(target=run, args=(attempt,)) for attempt in attempts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return answers


@pytest.mark.usefixtures("at_the_dashboard")
def test_of_many_who_invite_an_address_at_once_the_last_one_counts(alices: str, by_alice: Actor) -> None:
    issued = at_once(*[lambda: invitation.create(alices, "dora@example.com", "viewer", by_alice)] * 5)
    assert [each for each in issued if isinstance(each, Exception)] == []
    assert len(issued) == 5
    assert len(invitation.pending(alices)) == 1
    assert len([each for each in issued if invitation.find(each.shown_token)]) == 1


@pytest.mark.usefixtures("at_the_dashboard")
def test_two_owners_who_leave_at_once_do_not_both_leave(alices: str, owner: str, by_alice: Actor, bob: str) -> None:
    user.join(alices, bob, "owner")
    left = at_once(
        lambda: membership.remove(alices, owner, by_alice),
        lambda: membership.change_role(alices, bob, "viewer", by_alice),
    )
    assert sorted(type(each).__name__ for each in left) == ["Conflict", "NoneType"]
    assert "owner" in roles(alices).values()


@pytest.mark.usefixtures("at_the_dashboard")
def test_an_accepted_and_a_revoked_invitation_is_one_of_the_two(alices: str, by_alice: Actor) -> None:
    issued = invitation.create(alices, "dora@example.com", "viewer", by_alice)
    answers = at_once(
        lambda: new_account(issued.shown_token),
        lambda: invitation.revoke(alices, issued.id, by_alice),
    )
    revoked = not any(isinstance(each, NotThere) for each in answers)
    assert ("dora@example.com" not in roles(alices)) is revoked


@pytest.mark.usefixtures("at_the_dashboard")
def test_two_workspaces_invitations_of_an_address_accepted_at_once_make_one_account(
    alices: str, charlies: str, by_alice: Actor
) -> None:
    first = invitation.create(alices, "dora@example.com", "viewer", by_alice)
    second = invitation.create(charlies, "dora@example.com", "viewer", SYSTEM)
    answers = at_once(lambda: new_account(first.shown_token), lambda: new_account(second.shown_token))
    assert sorted(each.outcome for each in answers) == ["accepted", "taken"]


def test_an_owner_who_cannot_sign_in_is_not_counted_as_one(alices: str, owner: str, by_alice: Actor) -> None:
    former = user.create("former@example.com", "Former", "none of these tests knows it")
    user.join(alices, former, "owner")
    with transaction():
        changed("update users set email = null where id = %s", (former,))
    with pytest.raises(Conflict):
        membership.remove(alices, owner, by_alice)
    membership.remove(alices, former, by_alice)
    assert roles(alices) == {ALICE: "owner"}


def test_expired_links_are_removed_in_time(alices: str, by_alice: Actor) -> None:
    from models import password_reset, retention

    invitation.create(alices, "dora@example.com", "viewer", by_alice)
    password_reset.issue(ALICE, SYSTEM)
    retention.run_once()
    with transaction():
        assert value("select count(*) from invitations") == value("select count(*) from password_resets") == 1
        changed("update invitations set expires_at = beckon_now() - interval '1 second'")
        changed("update password_resets set expires_at = beckon_now() - interval '1 second'")
    retention.run_once()
    with transaction():
        assert value("select count(*) from invitations") == value("select count(*) from password_resets") == 0


def test_a_token_is_256_random_bits() -> None:
    assert len({links.new_token() for _ in range(100)}) == 100
    assert len(links.new_token()) == 43


@pytest.mark.usefixtures("at_the_dashboard")
def test_what_an_account_invited_ends_when_it_loses_its_address(alices: str, charlies: str, by_alice: Actor) -> None:
    issued = invitation.create(charlies, "squatter@example.com", "owner", SYSTEM)
    squatter = new_account(issued.shown_token, "squatter@example.com", "Squatter")
    assert squatter is not None
    assert squatter.member is not None
    kept = invitation.create(charlies, "dora@example.com", "owner", Actor("user", squatter.member.user_id, "Squatter"))
    assert invitation.find(kept.shown_token) is not None
    proof = invitation.create(alices, "squatter@example.com", "viewer", by_alice)
    assert new_account(proof.mailed_token, "squatter@example.com", "The person") is not None
    assert invitation.find(kept.shown_token) is None
    assert new_account(kept.shown_token) is None
    assert invitation.pending(charlies) == []
