"""The scheduler process: one of any number leads and runs each periodic job at its time; another takes over when it
ends, stands still or hangs.

Leadership is a lease (`models.leadership`), which a thread renews while the jobs run one after another. Every
transaction of a job is fenced with the lease's token: after a takeover the earlier leader's next one is refused, and it
steps down. A process in which a job hangs ends itself (`workers.watchdog`). `tasks/periodic_jobs` defines the jobs.
"""

from __future__ import annotations

import os
import signal
import threading
import time

import structlog

import logs
import metrics
import settings as settings_module
import traces
from ephemeral.connection import open_ephemeral
from ephemeral.heartbeats import Heartbeat
from models import database, deployment, leadership, periodic_job
from models.connection_pools import SCHEDULER_POOL
from models.database import CONNECTION_ERRORS
from models.fencing import Fence, LeadershipLost, fenced
from settings import Settings
from tasks.periodic_jobs import PERIODIC_JOBS, PeriodicJob
from tasks.runtime import broker
from workers.renewal import Renewal
from workers.watchdog import Watchdog, end_process

log = structlog.get_logger(__name__)

#: Interval at which a process that does not lead tries to become the leader.
ELECTION_INTERVAL_SECONDS = 2.0
#: Minimum pause between two checks for due jobs.
TICK_SECONDS = 0.2
#: PostgreSQL ends a statement after 30 seconds; a job or an election that begins or commits no transaction for this
#: long waits on a dead connection.
SILENCE_SECONDS = 60.0


def run_scheduler() -> None:
    """Lead while no other process does, until SIGTERM or SIGINT."""
    settings = settings_module.load()
    logs.set_up("scheduler", settings.log_level)
    logs.log_uncaught_exceptions()
    traces.set_up("scheduler", settings.otlp_endpoint)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    database.open_pool(settings.database_service_url, "beckon_service", SCHEDULER_POOL)
    open_ephemeral(settings)
    broker.set_up(settings)
    heartbeat = Heartbeat("scheduler").start()
    watchdog = Watchdog(end_process).start()
    Scheduler(settings, heartbeat, watchdog, stopping).run()
    watchdog.stop()
    heartbeat.stop()
    log.info("scheduler stopped")


class Scheduler:
    """A candidate for the leadership, until `stopping` is set."""

    def __init__(self, settings: Settings, heartbeat: Heartbeat, watchdog: Watchdog, stopping: threading.Event) -> None:
        self._settings = settings
        self._heartbeat = heartbeat
        self._watchdog = watchdog
        self._stopping = stopping
        self._is_recorded = False
        #: The token of this process's lease, also while PostgreSQL is unreachable.
        self._token: str | None = None

    def run(self) -> None:
        """Lead again and again; release the lease at the end."""
        while not self._stopping.is_set():
            try:
                self._lead_if_free()
            except LeadershipLost as error:
                log.warning("leadership lost, this scheduler steps down", error=str(error))
                self._token = None
            except CONNECTION_ERRORS as error:
                log.warning("the connection to postgres is lost, periodic jobs wait", error=str(error).strip())
            self._heartbeat.leader = False
            self._stopping.wait(ELECTION_INTERVAL_SECONDS)

    def _lead_if_free(self) -> None:
        with self._watchdog.watch("election", SILENCE_SECONDS):
            if not self._is_recorded:
                deployment.record(metrics.read_version())
                self._is_recorded = True
            self._take_or_keep()
        if self._token is None:
            return
        self._heartbeat.leader = True
        log.info("leading", pid=os.getpid())
        lead(self._settings, self._token, self._watchdog, self._stopping)
        if self._stopping.is_set():
            leadership.release(self._token)

    def _take_or_keep(self) -> None:
        if self._token is None:
            self._token = leadership.take()
        elif not leadership.renew(self._token):
            raise LeadershipLost("another scheduler took over while this one did not renew its lease")


def lead(settings: Settings, token: str, watchdog: Watchdog, stopping: threading.Event) -> None:
    """Run every periodic job at its time until `stopping` is set or the lease was not renewed in time.

    Raises LeadershipLost when another scheduler leads.
    """
    next_run_at = {job.name: 0.0 for job in PERIODIC_JOBS}
    with Renewal(token, watchdog) as renewal:
        while not stopping.is_set() and not renewal.is_overdue():
            for job in PERIODIC_JOBS:
                if time.monotonic() < next_run_at[job.name]:
                    continue
                next_run_at[job.name] = time.monotonic() + job.every_seconds
                run_fenced(job, settings, token, watchdog)
                if stopping.is_set() or renewal.is_overdue():
                    break
            stopping.wait(TICK_SECONDS)


def run_fenced(job: PeriodicJob, settings: Settings, token: str, watchdog: Watchdog) -> None:
    """Run one periodic job as `run_job` does, with every transaction fenced; end the process if the job hangs."""
    with (
        watchdog.watch(f"periodic job {job.name}", job.deadline_seconds),
        watchdog.watch(f"a transaction of the periodic job {job.name}", SILENCE_SECONDS) as transactions,
        fenced(Fence(token, transactions.note_progress)),
    ):
        run_job(job, settings)


def run_job(job: PeriodicJob, settings: Settings) -> None:
    """Run one periodic job and record the result. A failed job runs again at its next time; the others continue."""
    try:
        counts = job.run_once(settings)
    except (*CONNECTION_ERRORS, LeadershipLost):
        raise
    except Exception as error:
        log.exception("periodic job failed", job=job.name)
        periodic_job.note_failure(job.name, f"{type(error).__name__}: {error}")
        return
    if any(counts.values()):
        log.info("periodic job done", job=job.name, **counts)
    periodic_job.note_success(job.name, counts)
