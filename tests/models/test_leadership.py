"""Leadership: one lease, which PostgreSQL's clock ends, and a token without which a transaction changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import peewee
import pytest

import settings
from models import automation_schedule, database, fencing, leadership
from models.database import acting_as, connection, snapshot, transaction
from models.fencing import Fence, LeadershipLost, fenced
from models.queries import execute, fetch_value
from tests.support import servers as real
from tests.support.concurrency import run_concurrently
from tests.support.poolers import needs_pgbouncer, pooler
from tests.support.rows import fetch_row

pytestmark = pytest.mark.usefixtures("as_service")

NAME_JOB = "insert into periodic_jobs (name) values ('due')"
COUNT_JOBS = "select count(*) from periodic_jobs"
#: Of a scheduler of the earlier version, which led by a session lock.
OLD_RENEWAL = """
    insert into leadership (one, host, pid, since, seen_at) values (true, 'other', 1, beckon_now(), beckon_now())
    on conflict (one) do update set
        since = case when (leadership.host, leadership.pid) = (excluded.host, excluded.pid)
            then leadership.since else excluded.since end,
        host = excluded.host, pid = excluded.pid, seen_at = excluded.seen_at
"""
AGE_LEASE = "update leadership set seen_at = beckon_now() + interval %s"


def take() -> str:
    """Take the leadership, which is free."""
    token = leadership.take()
    assert token is not None
    return token


def take_over() -> str:
    """Take the leadership of a leader that stood still, in another thread, as another process would."""
    tokens: list[str] = []

    def end_and_take() -> None:
        with connection():
            execute(AGE_LEASE, ("-11 seconds",))
            tokens.append(take())

    thread = threading.Thread(target=end_and_take)
    thread.start()
    thread.join(10)
    return tokens[0]


def fence(token: str) -> Any:
    """Fence this thread's transactions with a token."""
    return fenced(Fence(token, lambda: None))


def test_of_four_schedulers_at_the_same_moment_one_leads() -> None:
    for _ in range(5):
        assert sum(token is not None for token in run_concurrently(4, lambda _: leadership.take())) == 1
        execute(AGE_LEASE, ("-11 seconds",))


def test_the_next_scheduler_leads_once_the_first_releases_the_lease() -> None:
    first = take()
    assert leadership.take() is None
    leadership.release(first)
    assert leadership.fetch_leader() is None
    assert take() != first


@pytest.mark.parametrize(("age", "is_free"), [("-11 seconds", True), ("-9 seconds", False), ("1 hour", True)])
def test_a_lease_ends_ten_seconds_after_its_renewal_or_when_the_clock_is_set_back(age: str, is_free: bool) -> None:
    token = take()
    execute(AGE_LEASE, (age,))
    assert (leadership.fetch_leader() is None) is is_free
    assert (leadership.take() is not None) is is_free
    assert leadership.renew(token) is not is_free


def test_a_lease_that_nobody_took_is_renewed_after_its_end() -> None:
    token = take()
    execute(AGE_LEASE, ("-1 hour",))
    assert leadership.renew(token)
    assert leadership.take() is None


def test_a_row_deleted_by_hand_ends_the_leadership_and_frees_it() -> None:
    token = take()
    execute("delete from leadership")
    assert not leadership.renew(token)
    with pytest.raises(LeadershipLost), fence(token), transaction():
        pass
    assert take() != token


def test_a_scheduler_of_the_earlier_version_that_takes_the_row_ends_the_leadership() -> None:
    execute(OLD_RENEWAL)
    assert leadership.take() is None
    execute(AGE_LEASE, ("-11 seconds",))
    token = take()
    execute(OLD_RENEWAL)
    assert not leadership.renew(token)
    assert leadership.take() is None


def run_as_statement() -> None:
    with connection():
        execute(NAME_JOB)


def run_in_transaction() -> None:
    with transaction():
        execute(NAME_JOB)


def run_with_first() -> None:
    with acting_as("00000000-0000-7000-8000-000000000000", with_first=True, lock_timeout_ms=50):
        assert fetch_value("show lock_timeout") == "50ms"
        execute(NAME_JOB)


def run_nested() -> None:
    with transaction(), transaction():
        execute(NAME_JOB)


@pytest.mark.parametrize("run", [run_as_statement, run_in_transaction, run_with_first, run_nested])
def test_an_earlier_leader_changes_nothing(run: Callable[[], None]) -> None:
    earlier, later = take(), take_over()
    with pytest.raises(LeadershipLost), fence(earlier):
        run()
    assert fetch_value(COUNT_JOBS) == 0
    with fence(later):
        run()
    assert fetch_value(COUNT_JOBS) == 1


def test_a_takeover_waits_for_no_open_transaction_and_its_commit_is_refused() -> None:
    notified: list[int] = []

    def be_taken_over() -> None:
        with transaction():
            execute(NAME_JOB)
            database.db.after_commit(lambda: notified.append(1))
            take_over()

    with fence(take()), pytest.raises(LeadershipLost):
        be_taken_over()
    assert (fetch_value(COUNT_JOBS), notified) == (0, [])
    run_in_transaction()


def test_a_takeover_waits_for_a_commit_that_has_locked_the_row() -> None:
    token = take()
    execute(AGE_LEASE, ("-11 seconds",))
    with transaction():
        execute(NAME_JOB)
        execute(fencing.LOCK, (token,))
        with pytest.raises(peewee.OperationalError, match="lock timeout"):
            run_concurrently(1, lambda _: take_within(milliseconds=100))
    assert leadership.renew(token)


def take_within(milliseconds: int) -> None:
    with transaction():
        execute(f"set local lock_timeout = {milliseconds}")
        leadership.take()


def test_a_transaction_that_changes_nothing_locks_and_writes_nothing() -> None:
    with fence(take()):
        before = fetch_row("select xmin, xmax from leadership")
        with transaction():
            fetch_value(COUNT_JOBS)
        run_in_transaction()
        after = fetch_row("select xmin, xmax from leadership")
    assert before is not None
    assert after is not None
    assert (after["xmin"], before["xmax"]) == (before["xmin"], "0")
    assert after["xmax"] != "0", "the second transaction changed something"


def test_a_snapshot_is_read_inside_a_fence() -> None:
    with fence(take()), snapshot():
        assert fetch_value(COUNT_JOBS) == 0


def test_a_fenced_transaction_of_a_read_only_server_says_so() -> None:
    with fence(take()), pytest.raises(database.ReadOnlyServer), transaction():
        execute("set local transaction_read_only = on; select pg_current_xact_id()")


def test_a_fenced_transaction_that_stands_still_ends_before_the_takeover() -> None:
    with fence(take()), transaction():
        timeout = fetch_value("select setting::int from pg_settings where name = 'idle_in_transaction_session_timeout'")
        assert timeout <= leadership.LEASE_SECONDS * 1000
    with transaction():
        assert fetch_value("show idle_in_transaction_session_timeout") == "1min"


def test_a_fence_is_the_thread_s_own_and_ends_with_its_block() -> None:
    with fence("00000000-0000-7000-8000-000000000000"):
        run_concurrently(1, lambda _: run_in_transaction())
    assert automation_schedule.fetch_due()[1] == []
    assert fetch_value(COUNT_JOBS) == 1


@needs_pgbouncer
def test_a_fence_holds_behind_a_pooler_where_each_transaction_has_another_session() -> None:
    with pooler(settings.load().database_url, ignore_startup_parameters=False) as url:
        database.open_pool(real.with_user(url, "beckon_service"), "beckon_service", 4)
        try:
            test_a_takeover_waits_for_no_open_transaction_and_its_commit_is_refused()
        finally:
            database.db.close_all()
