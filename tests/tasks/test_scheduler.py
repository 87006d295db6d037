"""The scheduler: one of any number leads, another takes over, an earlier leader's jobs change nothing.

A job that fails stops no other, and one that hangs ends the process.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from ephemeral.heartbeats import Heartbeat
from models import leadership, periodic_job, queries
from models.database import connection
from models.fencing import Fence, LeadershipLost, fenced
from models.queries import execute, fetch_value
from settings import Settings
from tasks.periodic_jobs import PERIODIC_JOBS, PeriodicJob
from tasks.runtime.engine import Engine
from tests.support.rows import fetch_row
from tests.support.waiting import eventually
from workers import scheduler, watchdog
from workers.scheduler import Scheduler
from workers.watchdog import Watchdog

EARLIER_TOKEN = "00000000-0000-7000-8000-000000000000"


class Program(threading.Thread):
    """A scheduler process, as a thread."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self.stopping = threading.Event()
        self.heartbeat = Heartbeat("scheduler")
        self.hung: list[str] = []
        self._watchdog = Watchdog(self.hung.append)
        self._scheduler = Scheduler(settings, self.heartbeat, self._watchdog, self.stopping)

    def run(self) -> None:
        self._watchdog.start()
        self._scheduler.run()
        self._watchdog.stop()

    def end(self) -> None:
        self.stopping.set()
        self.join(10)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short leases and elections."""
    monkeypatch.setattr(leadership, "LEASE_SECONDS", 1.0)
    monkeypatch.setattr(leadership, "RENEWAL_SECONDS", 0.1)
    monkeypatch.setattr(scheduler, "ELECTION_INTERVAL_SECONDS", 0.05)
    monkeypatch.setattr(watchdog, "TICK_SECONDS", 0.02)


@pytest.fixture
def schedulers(engine: Engine, settings: Settings, fast: None) -> Iterator[list[Program]]:
    """Two schedulers; the test starts and orders them by who leads."""
    programs = [Program(settings), Program(settings)]
    yield programs
    for program in programs:
        if program.is_alive():
            program.end()


def start_all(programs: list[Program]) -> tuple[Program, Program]:
    """Start both; return the one that leads and the other."""
    for program in programs:
        program.start()
    eventually(lambda: any(program.heartbeat.leader for program in programs))
    leader, standby = sorted(programs, key=lambda program: not program.heartbeat.leader)
    return leader, standby


def use_jobs(monkeypatch: pytest.MonkeyPatch, *jobs: PeriodicJob) -> None:
    """Run these jobs instead of the scheduler's."""
    monkeypatch.setattr(scheduler, "PERIODIC_JOBS", jobs)


def fetch_token() -> Any:
    return fetch_value("select token from leadership")


def test_when_the_leader_ends_the_other_runs_the_jobs(schedulers: list[Program]) -> None:
    first, second = start_all(schedulers)
    assert not second.heartbeat.leader
    first.end()

    eventually(lambda: second.heartbeat.leader)
    execute("delete from periodic_jobs")
    eventually(lambda: fetch_row("select 1 from periodic_jobs where name = 'due' and last_succeeded_at is not null"))


def test_the_leader_is_shown_while_it_leads(schedulers: list[Program]) -> None:
    start_all(schedulers)
    leader: dict[str, Any] = eventually(leadership.fetch_leader)
    assert leader["pid"]
    for program in schedulers:
        program.end()
    assert leadership.fetch_leader() is None


def test_a_job_that_takes_longer_than_the_lease_keeps_the_leadership(
    schedulers: list[Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, end = threading.Event(), threading.Event()

    def wait(_: Settings) -> dict[str, int]:
        begun.set()
        end.wait(20)
        return {}

    use_jobs(monkeypatch, PeriodicJob("slow", 60.0, wait))
    first, second = start_all(schedulers)
    assert begun.wait(10)
    token, renewed = fetch_token(), fetch_value("select seen_at + interval '1.5 seconds' from leadership")
    eventually(lambda: fetch_value("select seen_at > %s from leadership", (renewed,)))
    assert (fetch_token(), second.heartbeat.leader) == (token, False)
    end.set()
    eventually(lambda: fetch_row("select 1 from periodic_jobs where name = 'slow'"))
    assert (first.hung, second.hung) == ([], [])


@pytest.mark.parametrize("limit", ["deadline", "silence"])
def test_a_job_that_hangs_is_found(
    schedulers: list[Program], settings: Settings, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    end = threading.Event()

    def hang(_: Settings) -> dict[str, int]:
        end.wait(20)
        return {}

    monkeypatch.setattr(scheduler, "SILENCE_SECONDS", 0.2 if limit == "silence" else 60.0)
    use_jobs(monkeypatch, PeriodicJob("hung", 60.0, hang, deadline_seconds=0.2 if limit == "deadline" else 60.0))
    program = schedulers[0]
    program.start()
    names = {"deadline": "periodic job hung", "silence": "a transaction of the periodic job hung"}
    eventually(lambda: program.hung == [names[limit]])
    end.set()


def test_a_takeover_in_the_middle_of_a_job_is_logged_once_and_the_leader_steps_down(
    schedulers: list[Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    def be_taken_over(_: Settings) -> dict[str, int]:
        execute("delete from periodic_jobs")
        if not taken:
            taken.append(1)
            run_apart(lambda: execute("update leadership set token = gen_random_uuid()"))
        return {"done": 1}

    taken: list[int] = []
    use_jobs(monkeypatch, PeriodicJob("due", 0.0, be_taken_over))
    with capture_logs() as logs:
        first, _ = start_all(schedulers)
        eventually(lambda: taken and fetch_row("select 1 from periodic_jobs where name = 'due'"))
    assert [entry["log_level"] for entry in logs if "leadership lost" in entry["event"]] == ["warning"]
    assert first.hung == []


def run_apart(work: Any) -> None:
    """Run `work` outside of the calling thread's fence."""

    def run() -> None:
        with connection():
            work()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)


def test_no_job_of_an_earlier_leader_runs(engine: Engine, settings: Settings) -> None:
    assert leadership.take()
    for job in PERIODIC_JOBS:
        with fenced(Fence(EARLIER_TOKEN, lambda: None)), pytest.raises(LeadershipLost):
            job.run_once(settings)


def test_every_job_runs_with_the_leader_s_token(engine: Engine, settings: Settings) -> None:
    token = leadership.take()
    assert token
    for job in PERIODIC_JOBS:
        scheduler.run_fenced(job, settings, token, Watchdog(pytest.fail))
    recorded = "select count(*) from periodic_jobs where last_succeeded_at is not null and last_error is null"
    assert fetch_value(recorded) == len(PERIODIC_JOBS)


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
