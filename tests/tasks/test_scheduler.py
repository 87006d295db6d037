"""The scheduler: one of any number leads, another takes over within seconds, and a failing job stops no other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from models import periodic_job, queries
from models.queries import execute, fetch_value
from settings import Settings
from tasks.periodic_jobs import PERIODIC_JOBS, PeriodicJob
from tasks.runtime.engine import Engine
from tests.support.rows import fetch_row
from tests.support.waiting import eventually
from workers import scheduler

#: The holder of the leader's lock in this test's database; the server also has the locks of other tests.
HOLDERS = """
    from pg_locks where locktype = 'advisory'
        and database = (select oid from pg_database where datname = current_database())
"""


def test_of_two_one_leads(engine: Engine) -> None:
    with periodic_job.try_to_lead() as first, periodic_job.try_to_lead() as second:
        assert first is not None
        assert second is None


def test_the_next_scheduler_leads_once_the_first_releases_the_lock(engine: Engine) -> None:
    with periodic_job.try_to_lead() as first:
        assert first is not None
    with periodic_job.try_to_lead() as second:
        assert second is not None


def test_a_leader_whose_session_died_steps_down_and_another_takes_over(engine: Engine, settings: Settings) -> None:
    with periodic_job.try_to_lead() as first:
        assert first is not None
        assert first.renew()
        with closing(psycopg2.connect(settings.database_url)) as owner, owner.cursor() as cursor:
            cursor.execute(f"select pg_terminate_backend(pid) {HOLDERS}")
            owner.commit()
        eventually(lambda: fetch_value(f"select count(*) {HOLDERS}") == 0)

        with periodic_job.try_to_lead() as second:
            assert second is not None
            assert second.renew()
            eventually(lambda: not first.renew(), timeout=periodic_job.HEARTBEAT_SECONDS + 1)


class Program(threading.Thread):
    """A scheduler process, as a thread."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self.stopping = threading.Event()
        self.leads = threading.Event()
        self._settings = settings

    def run(self) -> None:
        while not self.stopping.is_set():
            with periodic_job.try_to_lead() as leader:
                if leader is not None:
                    self.leads.set()
                    scheduler.lead(self._settings, leader, self.stopping)
            self.stopping.wait(0.05)

    def end(self) -> None:
        self.stopping.set()
        self.join(10)


@pytest.fixture
def schedulers(engine: Engine, settings: Settings) -> Iterator[tuple[Program, Program]]:
    programs = Program(settings), Program(settings)
    for program in programs:
        program.start()
    yield programs
    for program in programs:
        program.end()


def test_when_the_leader_ends_the_other_runs_the_jobs(schedulers: tuple[Program, Program]) -> None:
    eventually(lambda: any(program.leads.is_set() for program in schedulers))
    first, second = sorted(schedulers, key=lambda program: not program.leads.is_set())
    assert not second.leads.is_set()
    first.end()

    eventually(second.leads.is_set)
    execute("delete from periodic_jobs")
    eventually(lambda: fetch_row("select 1 from periodic_jobs where name = 'due' and last_succeeded_at is not null"))


def test_the_leader_is_shown_while_it_leads(schedulers: tuple[Program, Program]) -> None:
    leader: dict[str, Any] = eventually(periodic_job.fetch_leader)
    assert leader["pid"]
    execute("update leadership set seen_at = beckon_now() - interval '1 minute'")
    assert periodic_job.fetch_leader() is None


def test_a_failing_job_is_recorded_and_stops_no_other(engine: Engine, settings: Settings) -> None:
    def fail(_: Settings) -> dict[str, int]:
        raise ValueError("this job is broken")

    done = []
    for job in (PeriodicJob("broken", 1.0, fail), PeriodicJob("whole", 1.0, lambda _: done.append(1) or {"done": 1})):
        scheduler.run_job(job, settings)

    assert done == [1]
    assert fetch_row("select last_error from periodic_jobs where name = 'broken'") == {
        "last_error": "ValueError: this job is broken"
    }
    assert fetch_row("select counts, last_error from periodic_jobs where name = 'whole'") == {
        "counts": {"done": 1},
        "last_error": None,
    }


def test_a_job_that_succeeds_again_shows_no_error(engine: Engine, settings: Settings) -> None:
    periodic_job.note_failure("due", "it was broken")
    scheduler.run_job(PERIODIC_JOBS[0], settings)
    assert fetch_row("select last_error from periodic_jobs where name = 'due'") == {"last_error": None}


def test_every_job_runs_on_an_empty_database_and_finds_nothing(engine: Engine, settings: Settings) -> None:
    for job in PERIODIC_JOBS:
        counts = job.run_once(settings)
        assert set(counts.values()) <= {0}, (job.name, counts)
    assert queries.fetch_value("select count(*) from periodic_jobs") == 0
