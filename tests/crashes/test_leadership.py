"""Leadership with real schedulers: stopped in the middle of each job, cut off, behind a pooler, with wrong clocks."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import redis

import settings as settings_module
from models import leadership
from models.queries import execute, fetch_value
from settings import Settings
from tasks.periodic_jobs import PERIODIC_JOBS
from tests.support import servers as real
from tests.support.factories import HELLO, Alice
from tests.support.fault_proxy import FaultProxy
from tests.support.poolers import needs_pgbouncer, parse_socket_path, pooler, with_socket
from tests.support.programs import Program, Programs, notice_hanging_soon, run_one_job
from tests.support.rows import fetch_rows
from tests.support.waiting import eventually

#: Another scheduler leads within this time in production; the leases of most tests are shorter.
TAKEOVER_SECONDS = 15.0
#: A test waits for three times as long: other tests run at the same time.
PATIENCE_SECONDS = 3 * TAKEOVER_SECONDS
SKEWED_WORKER = str(Path(__file__).with_name("skewed_worker.py"))
LOST = "leadership lost"

#: Notes which program commits a change to a table.
_NOTE_WRITER = """
    create table noted_writers (program text);
    create function note_writer() returns trigger language plpgsql security definer set search_path = public as
        $$ begin insert into noted_writers values (current_setting('application_name')); return null; end $$;
"""
_NOTE_WRITERS_OF = """
    create trigger note_writer after insert or update or delete on {table}
        for each statement execute function note_writer()
"""
_BACKENDS = "from pg_stat_activity where datname = current_database() and application_name = %s"
_FORGET_WRITERS = "drop function if exists note_writer cascade; drop table if exists noted_writers"


@dataclass(frozen=True)
class Stop:
    """Where a job is stopped: the table that it then waits for, before it reads or before it writes, what it finds,
    and the effect that must happen once, as a query."""

    table: str
    before: str
    prepare: Callable[[Alice], None] = lambda _: None
    effect: str = "select 1"


def _make_due(changes: str) -> Callable[[Alice], None]:
    def prepare(alice: Alice) -> None:
        alice.automation(HELLO)
        alice.trigger()
        execute(f"update executions set {changes}")

    return prepare


def _lose_notification(alice: Alice) -> None:
    _make_due(f"rung_at = {_OLD}")(alice)
    redis.Redis.from_url(settings_module.load().broker_url).flushdb()


def _schedule(alice: Alice) -> None:
    alice.triggers([{"type": "seen"}])
    alice.automation(HELLO, trigger={"type": "schedule", "with": {"cron": "0 9 * * *"}})
    execute("update automation_schedules set next_at = beckon_now() - interval '1 minute'")


def _keep_old_key(alice: Alice) -> None:
    alice.trigger(idempotency_key="old")
    execute("update idempotency_keys set created_at = beckon_now() - interval '2 days'")


_OLD = "beckon_now() - interval '1 hour'"
_WAITS = f"status = 'waiting', due_at = {_OLD}, rung_at = beckon_now() - interval '2 hours'"
_ELAPSED = f"{_WAITS}, stage = 'eligible', waiting_for = 'time'"
_FAILED = f"{_WAITS}, stage = 'failed', waiting_for = 'retry', next_retry_at = {_OLD}, error_class = 'network'"
_NOTIFIED = "select count(*) from executions where rung_at > beckon_now() - interval '1 minute'"
_TALLIED = "select sign(count(*)) from analytics_tallies where not exists (select 1 from analytics_changes)"
STOPS = {
    "schedules": Stop("triggers", "write", _schedule, "select count(*) from triggers where source = 'schedule'"),
    "due": Stop("executions", "write", _make_due(_ELAPSED), _NOTIFIED),
    "leases": Stop("executions", "read"),
    "notifications": Stop("executions", "write", _lose_notification, _NOTIFIED),
    "reconciliations": Stop("messages", "write"),
    "callbacks": Stop("inbound_events", "read"),
    "tracking": Stop("tracking_intake", "read"),
    "operations": Stop("operations", "write"),
    "runs": Stop("executions", "read"),
    "pauses": Stop("pauses", "read"),
    "breakers": Stop("executions", "write"),
    "retry": Stop("executions", "write", _make_due(_FAILED), _NOTIFIED),
    "rollups": Stop("stage_tallies", "write", effect="select count(*) from tallied"),
    "analytics": Stop("analytics_tallies", "write", _make_due("due_at = due_at"), _TALLIED),
    "lateness": Stop("lateness_samples", "write", _make_due(f"due_at = {_OLD}"), "select late from lateness_samples"),
    "test_runs": Stop("test_runs", "read"),
    "retention": Stop("idempotency_keys", "write", _keep_old_key, "select 1 - count(*) from idempotency_keys"),
}


@pytest.fixture
def writers(settings: Settings, clean: None) -> Iterator[Callable[[str], None]]:
    """A function that has the writers of a table noted."""
    real.run_sql(settings.database_url, _FORGET_WRITERS, _NOTE_WRITER)
    yield lambda table: real.run_sql(settings.database_url, _NOTE_WRITERS_OF.format(table=table))
    real.run_sql(settings.database_url, _FORGET_WRITERS)


def list_writers(settings: Settings) -> set[str]:
    with closing(psycopg2.connect(settings.database_url)) as owner, owner.cursor() as cursor:
        cursor.execute("select distinct program from noted_writers")
        return {name for (name,) in cursor.fetchall()}


@contextmanager
def locked(settings: Settings, stop: Stop) -> Iterator[None]:
    """Make every program wait that reads or writes the table."""
    mode = {"read": "access exclusive", "write": "share row exclusive"}[stop.before]
    with closing(psycopg2.connect(settings.database_url)) as owner:
        owner.cursor().execute(f"lock table {stop.table} in {mode} mode")
        yield


def start_scheduler(programs: Programs, settings: Settings, name: str, url: str = "") -> Program:
    """Start a scheduler whose connections have a name."""
    url = url or settings.database_service_url
    return programs.start("scheduler", DATABASE_SERVICE_URL=f"{url}&application_name={name}")


def count_backends(name: str, condition: str) -> int:
    """Count a program's connections to this test's database."""
    return int(fetch_value(f"select count(*) {_BACKENDS} and {condition}", (name,)))


def is_led_by(program: Program) -> bool:
    leader = leadership.fetch_leader()
    return leader is not None and leader["pid"] == program.pid


def test_every_periodic_job_is_stopped() -> None:
    assert STOPS.keys() == {job.name for job in PERIODIC_JOBS}


@pytest.mark.parametrize(
    "name", [name if name == "schedules" else pytest.param(name, marks=pytest.mark.slow) for name in STOPS]
)
def test_a_leader_stopped_in_a_job_changes_nothing_when_it_wakes(
    programs: Programs, settings: Settings, writers: Callable[[str], None], name: str
) -> None:
    stop = STOPS[name]
    stop.prepare(Alice())
    for table in {stop.table, "periodic_jobs"}:
        writers(table)
    programs.setup = partial(run_one_job, name)
    with locked(settings, stop):
        earlier = start_scheduler(programs, settings, "earlier")
        eventually(lambda: count_backends("earlier", "wait_event_type = 'Lock'"), timeout=PATIENCE_SECONDS)
        earlier.send_signal(signal.SIGSTOP)
        later = start_scheduler(programs, settings, "later")
        eventually(lambda: is_led_by(later), timeout=PATIENCE_SECONDS)
    eventually(lambda: count_backends("earlier", "state like 'idle in transaction%%'"), timeout=PATIENCE_SECONDS)
    earlier.send_signal(signal.SIGCONT)

    eventually(lambda: LOST in programs.read_logs(), timeout=PATIENCE_SECONDS)
    succeeded = "select count(*) from periodic_jobs where name = %s and last_succeeded_at is not null"
    eventually(lambda: fetch_value(succeeded, (name,)), timeout=PATIENCE_SECONDS)
    eventually(lambda: fetch_value(stop.effect) == 1)
    assert list_writers(settings) == {"later"}
    assert programs.read_logs().count(LOST) == 1
    assert (is_led_by(later), earlier.poll()) == (True, None)


@pytest.mark.slow
def test_a_leader_that_stands_still_in_a_transaction_frees_its_rows(
    programs: Programs, settings: Settings, writers: Callable[[str], None]
) -> None:
    stop = STOPS["due"]
    stop.prepare(Alice())
    writers(stop.table)
    programs.setup = partial(run_one_job, "due")
    with locked(settings, stop):
        earlier = start_scheduler(programs, settings, "earlier")
        eventually(lambda: count_backends("earlier", "wait_event_type = 'Lock'"), timeout=PATIENCE_SECONDS)
        earlier.send_signal(signal.SIGSTOP)
    eventually(lambda: count_backends("earlier", "state like 'idle in transaction%%'"), timeout=PATIENCE_SECONDS)
    start_scheduler(programs, settings, "later")
    eventually(lambda: fetch_value(stop.effect) == 1, timeout=PATIENCE_SECONDS)
    earlier.send_signal(signal.SIGCONT)

    eventually(lambda: LOST in programs.read_logs(), timeout=PATIENCE_SECONDS)
    assert list_writers(settings) == {"later"}
    assert "Traceback" not in programs.read_logs()


@pytest.mark.slow
@needs_pgbouncer
def test_of_two_schedulers_behind_a_pooler_one_leads(
    programs: Programs, settings: Settings, database_urls: Any
) -> None:
    with pooler(database_urls.owner, ignore_startup_parameters=False) as url:
        service = real.with_user(url, "beckon_service")
        first = start_scheduler(programs, settings, "first", service)
        eventually(lambda: is_led_by(first), timeout=PATIENCE_SECONDS)
        second = start_scheduler(programs, settings, "second", service)
        token = fetch_value("select token from leadership")
        eventually(lambda: fetch_value("select seen_at > since + interval '4 seconds' from leadership"))
        assert programs.read_logs().count('"leading"') == 1
        assert fetch_value("select token from leadership") == token

        first.send_signal(signal.SIGSTOP)
        eventually(lambda: is_led_by(second), timeout=PATIENCE_SECONDS)
        first.send_signal(signal.SIGCONT)
        eventually(lambda: LOST in programs.read_logs(), timeout=PATIENCE_SECONDS)
        assert is_led_by(second)


@pytest.mark.slow
def test_a_stopped_leader_is_replaced_within_15_seconds(programs: Programs, settings: Settings) -> None:
    programs.setup = None
    first = start_scheduler(programs, settings, "first")
    eventually(lambda: is_led_by(first), timeout=PATIENCE_SECONDS)
    second = start_scheduler(programs, settings, "second")
    eventually(lambda: count_backends("second", "true"), timeout=PATIENCE_SECONDS)
    first.send_signal(signal.SIGSTOP)
    eventually(lambda: is_led_by(second), timeout=PATIENCE_SECONDS)


@pytest.mark.slow
def test_a_leader_whose_connections_are_dead_ends_itself(programs: Programs, settings: Settings) -> None:
    programs.setup = notice_hanging_soon
    with tempfile.TemporaryDirectory(prefix="beckon-line-") as directory:
        proxy = FaultProxy(Path(directory, ".s.PGSQL.5432"), parse_socket_path(settings.database_service_url))
        url = with_socket(settings.database_service_url, Path(directory), 5432)
        first = start_scheduler(programs, settings, "first", url)
        eventually(lambda: is_led_by(first), timeout=PATIENCE_SECONDS)
        second = start_scheduler(programs, settings, "second")
        with proxy.stall():
            eventually(lambda: is_led_by(second), timeout=PATIENCE_SECONDS)
            eventually(lambda: first.poll() == 1, timeout=PATIENCE_SECONDS)
        proxy.close()
    assert "the process hangs and ends itself" in programs.read_logs()


@pytest.mark.slow
def test_a_leader_whose_connections_end_goes_on_leading(programs: Programs, settings: Settings) -> None:
    leader = start_scheduler(programs, settings, "leader")
    eventually(lambda: is_led_by(leader), timeout=PATIENCE_SECONDS)
    token = fetch_value("select token from leadership")
    execute(f"select pg_terminate_backend(pid) {_BACKENDS}", ("leader",))
    execute("delete from periodic_jobs")
    eventually(lambda: fetch_rows("select 1 from periodic_jobs where name = 'due'"), timeout=PATIENCE_SECONDS)
    assert fetch_value("select token from leadership") == token


@pytest.mark.slow
@pytest.mark.parametrize("ahead", ["600", "-600"])
def test_a_scheduler_whose_clock_is_wrong_neither_takes_over_nor_loses(
    programs: Programs, settings: Settings, ahead: str
) -> None:
    first = start_scheduler(programs, settings, "first")
    eventually(lambda: is_led_by(first), timeout=PATIENCE_SECONDS)
    skewed = programs.start(
        SKEWED_WORKER,
        ahead,
        "scheduler",
        DATABASE_SERVICE_URL=f"{settings.database_service_url}&application_name=skewed",
    )
    eventually(lambda: count_backends("skewed", "true"), timeout=PATIENCE_SECONDS)
    eventually(lambda: fetch_value("select seen_at > since + interval '6 seconds' from leadership"), timeout=30)
    assert is_led_by(first)
    first.terminate()
    eventually(lambda: is_led_by(skewed), timeout=PATIENCE_SECONDS)
    start_scheduler(programs, settings, "third")
    eventually(lambda: count_backends("third", "true"), timeout=PATIENCE_SECONDS)
    eventually(lambda: fetch_value("select seen_at > since + interval '6 seconds' from leadership"), timeout=30)
    assert is_led_by(skewed)
