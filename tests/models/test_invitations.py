"""Invitations: which link makes whom a member, and its effect on existing accounts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import clock
import settings
from models import api_key, audit, database, invitation, membership, secret_tokens, session, user
from models.audit import SYSTEM, AuditActor
from models.database import acting_as, transaction
from models.errors import Conflict, NotFound
from models.queries import execute, fetch_value
from tests.support.rows import fetch_rows

ALICE = "alice@example.com"
BOB = "bob@example.com"


@pytest.fixture
def owner(alices: str) -> str:
    """Alice, who owns her workspace."""
    user_id = user.create(ALICE, "Alice", "none of these tests knows it")
    user.join(alices, user_id, "owner")
    return user_id


@pytest.fixture
def by_alice(owner: str) -> AuditActor:
    return AuditActor("user", owner, "Alice")


@pytest.fixture
def bob(charlies: str) -> str:
    """Bob, a viewer of Charlie's workspace with an unverified address."""
    user_id = user.create(BOB, "Bob", "none of these tests knows it")
    user.join(charlies, user_id, "viewer")
    return user_id


@pytest.fixture
def at_the_dashboard(alices: str, owner: str, bob: str) -> None:
    """Connect the process under row security."""
    database.db.close_all()
    database.open_pool(settings.load().database_app_url, "beckon_app", 8)


def list_roles(workspace_id: str) -> dict[str | None, str]:
    return {member["email"]: member["role"] for member in user.list_members(workspace_id)}


def accept_with_new_account(
    token: str, email: str = "dora@example.com", name: str = "Dora"
) -> invitation.Acceptance | None:
    return invitation.accept_with_new_account(token, email, name, user.hash_password("a password of Dora's"))


def query_as_service(sql: str, *parameters: Any) -> list[dict[str, Any]]:
    """Run a query without row security."""
    database.db.close_all()
    database.open_pool(settings.load().database_service_url, "beckon_service", 8)
    with transaction():
        result = fetch_rows(sql, parameters)
    database.db.close_all()
    database.open_pool(settings.load().database_app_url, "beckon_app", 8)
    return result


@pytest.mark.usefixtures("at_the_dashboard")
def test_a_new_person_is_a_member_only_after_accepting(alices: str, by_alice: AuditActor) -> None:
    issued = invitation.create(alices, "dora@example.com", "operator", by_alice)
    assert list_roles(alices) == {ALICE: "owner"}
    accepted = accept_with_new_account(issued.shown_token)
    assert accepted is not None
    assert accepted.member is not None
    assert list_roles(alices) == {ALICE: "owner", "dora@example.com": "operator"}
    member, password_hash = user.find_sign_in("dora@example.com")
    assert member == accepted.member
    assert user.password_matches(password_hash, "a password of Dora's")


@pytest.mark.usefixtures("at_the_dashboard")
def test_only_the_hash_of_a_token_is_stored(alices: str, by_alice: AuditActor) -> None:
    issued = invitation.create(alices, BOB, "viewer", by_alice)
    with acting_as(alices):
        stored = str(fetch_rows("select * from invitations")) + str(fetch_rows("select * from audit"))
    assert len(issued.shown_token) >= 43
    assert issued.shown_token not in stored
    assert issued.mailed_token not in stored
    assert issued.shown_token not in repr(issued)
    assert issued.shown_token != issued.mailed_token


@pytest.mark.usefixtures("at_the_dashboard")
@pytest.mark.parametrize("link", ["shown_token", "mailed_token"])
def test_accepting_by_one_link_invalidates_both(alices: str, by_alice: AuditActor, link: str) -> None:
    issued = invitation.create(alices, "dora@example.com", "viewer", by_alice)
    assert accept_with_new_account(getattr(issued, link)) is not None
    for token in (issued.shown_token, issued.mailed_token):
        assert invitation.find(token) is None
        assert accept_with_new_account(token, "eve@example.com") is None
        assert invitation.accept(token, str(by_alice.id), ALICE, "Alice") is None


@pytest.mark.usefixtures("at_the_dashboard")
def test_one_of_many_concurrent_acceptances_succeeds(
    alices: str, charlies: str, by_alice: AuditActor, bob: str
) -> None:
    issued = invitation.create(alices, "dora@example.com", "viewer", by_alice)
    acceptances = run_concurrently(
        lambda: accept_with_new_account(issued.shown_token),
        lambda: accept_with_new_account(issued.mailed_token),
        lambda: invitation.accept(issued.shown_token, bob, BOB, "Bob"),
        lambda: invitation.accept(issued.mailed_token, bob, BOB, "Bob"),
    )
    assert len(acceptances) == 4
    assert len([acceptance for acceptance in acceptances if acceptance is not None]) == 1
    assert len(list_roles(alices)) == 2


@pytest.mark.usefixtures("at_the_dashboard")
def test_a_link_expires_after_72_hours_by_the_database_s_clock(alices: str, by_alice: AuditActor) -> None:
    started_at = clock.now()
    issued = invitation.create(alices, "dora@example.com", "viewer", by_alice)
    assert started_at <= issued.expires_at - timedelta(hours=72) <= clock.now()
    query_as_service("update invitations set expires_at = beckon_now() - interval '1 second' returning id")
    assert invitation.find(issued.shown_token) is None
    assert accept_with_new_account(issued.mailed_token) is None
    assert invitation.list_pending(alices) == []
    with pytest.raises(NotFound):
        invitation.revoke(alices, issued.id, by_alice)


@pytest.mark.usefixtures("at_the_dashboard")
def test_a_second_invitation_of_an_address_ends_the_first(alices: str, by_alice: AuditActor) -> None:
    first = invitation.create(alices, "dora@example.com", "owner", by_alice)
    second = invitation.create(alices, "dora@example.com", "viewer", by_alice)
    assert invitation.find(first.shown_token) is None
    assert invitation.find(first.mailed_token) is None
    assert [row["id"] for row in invitation.list_pending(alices)] == [second.id]
    assert accept_with_new_account(second.shown_token) is not None
    assert list_roles(alices)["dora@example.com"] == "viewer"


@pytest.mark.usefixtures("at_the_dashboard")
def test_a_member_of_this_workspace_is_not_invited_again(alices: str, charlies: str, by_alice: AuditActor) -> None:
    with pytest.raises(Conflict):
        invitation.create(alices, ALICE, "viewer", by_alice)
    assert invitation.create(charlies, ALICE, "viewer", SYSTEM).email == ALICE


@pytest.mark.usefixtures("at_the_dashboard")
def test_a_workspace_only_sees_and_revokes_its_own_invitations(
    alices: str, charlies: str, by_alice: AuditActor
) -> None:
    issued = invitation.create(alices, "dora@example.com", "viewer", by_alice)
    assert invitation.list_pending(charlies) == []
    with pytest.raises(NotFound):
        invitation.revoke(charlies, issued.id, SYSTEM)
    invitation.revoke(alices, issued.id, by_alice)
    assert invitation.find(issued.shown_token) is None
    actions = [entry["action"] for entry in audit.fetch_page(alices, 5)]
    assert actions == ["invitation.revoked", "invitation.created"]


@pytest.mark.usefixtures("at_the_dashboard")
def test_an_invitation_ends_when_its_inviter_loses_the_permission(
    alices: str, owner: str, by_alice: AuditActor
) -> None:
    issued = invitation.create(alices, "dora@example.com", "owner", by_alice)
    user.join(alices, owner, "operator")
    assert invitation.find(issued.shown_token) is None
    assert invitation.list_pending(alices) == []
    assert accept_with_new_account(issued.shown_token) is None
    key = api_key.issue(alices, "shop")
    issued = invitation.create(alices, "dora@example.com", "owner", AuditActor("api_key", key.id, "shop"))
    assert invitation.find(issued.shown_token) is not None
    api_key.revoke(alices, key.id)
    assert invitation.find(issued.shown_token) is None


@pytest.mark.usefixtures("at_the_dashboard")
def test_any_account_may_accept_and_another_address_does_not_verify_it(
    alices: str, by_alice: AuditActor, bob: str
) -> None:
    issued = invitation.create(alices, "dora@example.com", "operator", by_alice)
    accepted = invitation.accept(issued.mailed_token, bob, BOB, "Bob")
    assert accepted is not None
    assert accepted.outcome == "accepted"
    assert list_roles(alices)[BOB] == "operator"
    assert [member["verified"] for member in user.list_members(alices) if member["email"] == BOB] == [False]
    entry = audit.fetch_page(alices, 1)[0]
    assert (entry["action"], entry["actor_id"], entry["object_id"]) == ("invitation.accepted", bob, issued.id)


@pytest.mark.usefixtures("at_the_dashboard")
@pytest.mark.parametrize(("link", "verified"), [("shown_token", False), ("mailed_token", True)])
def test_only_the_mailed_link_proves_the_address(alices: str, by_alice: AuditActor, link: str, verified: bool) -> None:
    issued = invitation.create(alices, "dora@example.com", "viewer", by_alice)
    accept_with_new_account(getattr(issued, link))
    assert {member["email"]: member["verified"] for member in user.list_members(alices)}["dora@example.com"] is verified


@pytest.mark.usefixtures("at_the_dashboard")
@pytest.mark.parametrize(("link", "verified"), [("shown_token", False), ("mailed_token", True)])
def test_accepting_by_mail_to_its_own_address_verifies_an_account(
    alices: str, by_alice: AuditActor, bob: str, link: str, verified: bool
) -> None:
    issued = invitation.create(alices, BOB, "viewer", by_alice)
    invitation.accept(getattr(issued, link), bob, BOB, "Bob")
    assert {member["email"]: member["verified"] for member in user.list_members(alices)}[BOB] is verified


@pytest.mark.usefixtures("at_the_dashboard")
def test_the_shown_link_changes_nothing_for_an_existing_account(
    alices: str, charlies: str, by_alice: AuditActor, bob: str
) -> None:
    before = query_as_service("select * from users where id = %s", bob)
    issued = invitation.create(alices, BOB, "owner", by_alice)
    acceptance = accept_with_new_account(issued.shown_token, BOB, "Mallory")
    assert acceptance == invitation.Acceptance("taken")
    assert query_as_service("select * from users where id = %s", bob) == before
    assert list_roles(alices) == {ALICE: "owner"}
    assert invitation.find(issued.shown_token) is not None


@pytest.mark.usefixtures("at_the_dashboard")
def test_the_mailed_link_takes_over_only_the_address_of_an_unverified_account(
    alices: str, charlies: str, by_alice: AuditActor, bob: str
) -> None:
    cookie = session.start(user.Membership(bob, BOB, "Bob", charlies, "viewer"))
    issued = invitation.create(alices, BOB, "operator", by_alice)
    accepted = accept_with_new_account(issued.mailed_token, BOB, "The real Bob")
    assert accepted is not None
    assert accepted.member is not None
    assert accepted.member.user_id != bob
    assert session.find(cookie) is None
    assert list_roles(charlies) == {None: "viewer"}
    assert list_roles(alices) == {ALICE: "owner", BOB: "operator"}
    member, password_hash = user.find_sign_in(BOB)
    assert member == accepted.member
    assert user.password_matches(password_hash, "a password of Dora's")
    former = query_as_service("select email, password_hash from users where id = %s", bob)
    assert former == [{"email": None, "password_hash": ""}]
    assert not user.password_matches(former[0]["password_hash"], "")


@pytest.mark.usefixtures("at_the_dashboard")
def test_a_verified_account_is_never_taken_over(alices: str, charlies: str, by_alice: AuditActor) -> None:
    first = invitation.create(charlies, "dora@example.com", "viewer", SYSTEM)
    accept_with_new_account(first.mailed_token)
    before = query_as_service("select * from users where email = 'dora@example.com'")
    issued = invitation.create(alices, "dora@example.com", "viewer", by_alice)
    for token in (issued.mailed_token, issued.shown_token):
        assert accept_with_new_account(token, "dora@example.com", "Mallory") == invitation.Acceptance("taken")
    assert query_as_service("select * from users where email = 'dora@example.com'") == before


@pytest.mark.usefixtures("at_the_dashboard")
def test_a_member_who_accepts_keeps_their_role(alices: str, by_alice: AuditActor, owner: str) -> None:
    issued = invitation.create(alices, "alias@example.com", "viewer", by_alice)
    assert invitation.accept(issued.shown_token, owner, ALICE, "Alice") == invitation.Acceptance("member")
    assert list_roles(alices) == {ALICE: "owner"}
    assert invitation.find(issued.shown_token) is not None


def test_invitations_of_two_workspaces_to_one_address_create_one_account(
    alices: str, charlies: str, by_alice: AuditActor
) -> None:
    first = invitation.create(alices, "dora@example.com", "viewer", by_alice)
    second = invitation.create(charlies, "dora@example.com", "owner", SYSTEM)
    assert accept_with_new_account(first.shown_token) is not None
    assert accept_with_new_account(second.shown_token) == invitation.Acceptance("taken")
    account = user.find_account("Dora@Example.com")
    assert account is not None
    assert invitation.accept(second.shown_token, account.user_id, account.email, account.name) is not None
    assert (list_roles(alices)["dora@example.com"], list_roles(charlies)["dora@example.com"]) == ("viewer", "owner")


def test_acceptance_applies_the_deployment_owner_flag(alices: str, by_alice: AuditActor) -> None:
    issued = invitation.create(alices, "dora@example.com", "owner", by_alice, deployment_owner=True)
    with transaction():
        assert fetch_value("select count(*) from users where deployment_owner") == 0
    accept_with_new_account(issued.shown_token)
    with transaction():
        assert fetch_value("select email from users where deployment_owner") == "dora@example.com"


def test_a_new_invitation_does_not_inherit_the_deployment_owner_flag(alices: str, by_alice: AuditActor) -> None:
    invitation.create(alices, "dora@example.com", "owner", by_alice, deployment_owner=True)
    issued = invitation.create(alices, "dora@example.com", "owner", by_alice)
    accept_with_new_account(issued.shown_token)
    with transaction():
        assert fetch_value("select count(*) from users where deployment_owner") == 0


def test_the_first_owner_s_address_is_not_taken_over(alices: str, charlies: str) -> None:
    user.create("first@example.com", "First", "none of these tests knows it", deployment_owner=True)
    issued = invitation.create(alices, "first@example.com", "viewer", SYSTEM)
    assert accept_with_new_account(issued.mailed_token, "first@example.com") == invitation.Acceptance("taken")


@pytest.mark.usefixtures("at_the_dashboard")
def test_a_role_change_is_audited_and_the_last_owner_stays(
    alices: str, charlies: str, owner: str, by_alice: AuditActor, bob: str
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
    assert [entry["action"] for entry in audit.fetch_page(alices, 5)] == ["member.role_changed"]
    membership.change_role(alices, owner, "operator", by_alice)
    assert list_roles(alices) == {ALICE: "operator", BOB: "owner"}
    with pytest.raises(NotFound):
        membership.change_role(charlies, owner, "owner", by_alice)


def run_concurrently(*attempts: Callable[[], Any]) -> list[Any]:
    """Run all attempts at the same time; return the result or exception of each."""
    start, results = threading.Barrier(len(attempts)), []

    def run(attempt: Callable[[], Any]) -> None:
        with database.connection():
            start.wait(10)
            try:
                results.append(attempt())
            except Exception as error:
                results.append(error)

    threads = [threading.Thread(target=run, args=(attempt,)) for attempt in attempts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return results


@pytest.mark.usefixtures("at_the_dashboard")
def test_the_last_of_many_concurrent_invitations_of_an_address_counts(alices: str, by_alice: AuditActor) -> None:
    results = run_concurrently(*[lambda: invitation.create(alices, "dora@example.com", "viewer", by_alice)] * 5)
    assert [result for result in results if isinstance(result, Exception)] == []
    assert len(results) == 5
    assert len(invitation.list_pending(alices)) == 1
    assert len([result for result in results if invitation.find(result.shown_token)]) == 1


@pytest.mark.usefixtures("at_the_dashboard")
def test_two_owners_cannot_both_leave_at_once(alices: str, owner: str, by_alice: AuditActor, bob: str) -> None:
    user.join(alices, bob, "owner")
    results = run_concurrently(
        lambda: membership.remove(alices, owner, by_alice),
        lambda: membership.change_role(alices, bob, "viewer", by_alice),
    )
    assert sorted(type(result).__name__ for result in results) == ["Conflict", "NoneType"]
    assert "owner" in list_roles(alices).values()


@pytest.mark.usefixtures("at_the_dashboard")
def test_an_invitation_is_either_accepted_or_revoked(alices: str, by_alice: AuditActor) -> None:
    issued = invitation.create(alices, "dora@example.com", "viewer", by_alice)
    results = run_concurrently(
        lambda: accept_with_new_account(issued.shown_token),
        lambda: invitation.revoke(alices, issued.id, by_alice),
    )
    revoked = not any(isinstance(result, NotFound) for result in results)
    assert ("dora@example.com" not in list_roles(alices)) is revoked


@pytest.mark.usefixtures("at_the_dashboard")
def test_concurrent_acceptances_in_two_workspaces_create_one_account(
    alices: str, charlies: str, by_alice: AuditActor
) -> None:
    first = invitation.create(alices, "dora@example.com", "viewer", by_alice)
    second = invitation.create(charlies, "dora@example.com", "viewer", SYSTEM)
    acceptances = run_concurrently(
        lambda: accept_with_new_account(first.shown_token), lambda: accept_with_new_account(second.shown_token)
    )
    assert sorted(acceptance.outcome for acceptance in acceptances) == ["accepted", "taken"]


def test_an_owner_who_cannot_sign_in_does_not_count(alices: str, owner: str, by_alice: AuditActor) -> None:
    former = user.create("former@example.com", "Former", "none of these tests knows it")
    user.join(alices, former, "owner")
    with transaction():
        execute("update users set email = null where id = %s", (former,))
    with pytest.raises(Conflict):
        membership.remove(alices, owner, by_alice)
    membership.remove(alices, former, by_alice)
    assert list_roles(alices) == {ALICE: "owner"}


def test_retention_removes_expired_links(alices: str, by_alice: AuditActor) -> None:
    from models import password_reset
    from models.checks import retention

    invitation.create(alices, "dora@example.com", "viewer", by_alice)
    password_reset.issue(ALICE, SYSTEM)
    retention.run_once()
    with transaction():
        assert (
            fetch_value("select count(*) from invitations") == fetch_value("select count(*) from password_resets") == 1
        )
        execute("update invitations set expires_at = beckon_now() - interval '1 second'")
        execute("update password_resets set expires_at = beckon_now() - interval '1 second'")
    retention.run_once()
    with transaction():
        assert (
            fetch_value("select count(*) from invitations") == fetch_value("select count(*) from password_resets") == 0
        )


def test_a_token_is_256_random_bits() -> None:
    assert len({secret_tokens.generate() for _ in range(100)}) == 100
    assert len(secret_tokens.generate()) == 43


@pytest.mark.usefixtures("at_the_dashboard")
def test_an_account_s_invitations_end_when_it_loses_its_address(
    alices: str, charlies: str, by_alice: AuditActor
) -> None:
    issued = invitation.create(charlies, "squatter@example.com", "owner", SYSTEM)
    squatter = accept_with_new_account(issued.shown_token, "squatter@example.com", "Squatter")
    assert squatter is not None
    assert squatter.member is not None
    kept = invitation.create(
        charlies, "dora@example.com", "owner", AuditActor("user", squatter.member.user_id, "Squatter")
    )
    assert invitation.find(kept.shown_token) is not None
    proof = invitation.create(alices, "squatter@example.com", "viewer", by_alice)
    assert accept_with_new_account(proof.mailed_token, "squatter@example.com", "The person") is not None
    assert invitation.find(kept.shown_token) is None
    assert accept_with_new_account(kept.shown_token) is None
    assert invitation.list_pending(charlies) == []
