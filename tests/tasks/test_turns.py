"""Turns: a claim divides a queue's due executions between the workspaces, whoever's notifications come first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from dramatiq import Worker

from models.engine.group_commit import GroupCommit
from models.queries import execute, fetch_values
from tasks.runtime.turns import claim_notified
from tests.support.factories import HELLO, Alice, execution


@pytest.fixture
def group_commit(idle: Worker) -> Iterator[GroupCommit]:
    instance = GroupCommit("a worker", lease_seconds=30.0)
    yield instance
    instance.close()


def start(name: str, count: int) -> Alice:
    """A workspace with `count` executions that are due, the first notified first."""
    owner = Alice(name=name)
    owner.automation(HELLO)
    owner.triggers([{"contact": {"external_id": f"c-{n}", "email": f"c{n}@example.com"}} for n in range(count)])
    return owner


def count_claims(group_commit: GroupCommit, count: int) -> Counter[str]:
    """How many executions of each workspace one claim takes."""
    return Counter(row["workspace_id"] for row in group_commit.claim_in_turns("sending", count))


def test_a_claim_takes_an_equal_share_of_each_workspace(group_commit: GroupCommit) -> None:
    flooding, calm = start("alice", 40), start("bob", 40)
    assert count_claims(group_commit, 16) == {flooding.workspace_id: 8, calm.workspace_id: 8}


def test_a_workspace_that_came_last_is_served_by_the_next_claim(group_commit: GroupCommit) -> None:
    flooding, calm = start("alice", 40), start("bob", 1)
    assert count_claims(group_commit, 16)[calm.workspace_id] == 1
    assert count_claims(group_commit, 16) == {flooding.workspace_id: 16}


def test_each_workspace_is_served_before_any_is_served_twice(group_commit: GroupCommit) -> None:
    owners = [start(f"owner{number}", 3) for number in range(5)]
    served = [row["workspace_id"] for _ in range(5) for row in group_commit.claim_in_turns("sending", 2)]
    assert Counter(served) == dict.fromkeys((owner.workspace_id for owner in owners), 2)


def test_of_one_workspace_the_longest_due_are_claimed_first(group_commit: GroupCommit) -> None:
    start("alice", 5)
    oldest = fetch_values("select id from executions order by due_at, id limit 3")
    assert {row["id"] for row in group_commit.claim_in_turns("sending", 3)} == set(oldest)


def test_a_claim_takes_nothing_of_other_queues_and_nothing_that_is_not_due(group_commit: GroupCommit) -> None:
    start("alice", 2)
    execute("update executions set queue = 'generation' where id = (select min(id::text)::uuid from executions)")
    execute(
        "update executions set status = 'waiting', waiting_for = 'time', due_at = beckon_now() + interval '1 hour'"
        " where queue = 'sending'"
    )
    assert group_commit.claim_in_turns("sending", 16) == []
    assert len(group_commit.claim_in_turns("generation", 16)) == 1


def test_as_many_are_claimed_as_were_notified_though_shares_leave_some(group_commit: GroupCommit) -> None:
    start("alice", 20)
    calm = start("bob", 1)
    notified = fetch_values(
        "select id from executions where workspace_id <> %s order by id limit 8", (calm.workspace_id,)
    )
    rows = list(claim_notified(group_commit, "sending", notified, rescued=False))
    assert len(rows) == len({row["id"] for row in rows}) == 8
    assert calm.workspace_id in {row["workspace_id"] for row in rows}


def test_an_execution_that_is_due_and_not_noted_as_notified_is_claimed_by_its_notification(
    group_commit: GroupCommit,
) -> None:
    start("alice", 1)
    execute("update executions set rung_at = due_at - interval '1 millisecond'")
    (execution_id,) = fetch_values("select id from executions")
    assert group_commit.claim_in_turns("sending", 1) == []
    assert [row["id"] for row in claim_notified(group_commit, "sending", [execution_id], rescued=False)] == [
        execution_id
    ]


def test_a_rescued_execution_is_claimed_by_its_own_notification(group_commit: GroupCommit) -> None:
    start("alice", 2)
    first, second = fetch_values("select id from executions order by due_at, id")
    group_commit.claim_many([second])
    execute("update executions set lease_until = beckon_now() - interval '1 second' where status = 'running'")
    assert [row["id"] for row in claim_notified(group_commit, "sending", [second], rescued=True)] == [second]
    assert execution(first)["status"] == "pending"
