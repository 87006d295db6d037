"""The scheduler process: one of any number leads and runs each periodic job at its time; another takes over when it
ends.

Leadership is an advisory lock of PostgreSQL on a separate connection, so it ends with the process, however that ends.
The leader runs the jobs one after another; `tasks/periodic_jobs` defines them.
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
from models import database, deployment, periodic_job
from models.database import CONNECTION_ERRORS
from settings import Settings
from tasks.periodic_jobs import PERIODIC_JOBS, PeriodicJob
from tasks.runtime import broker

log = structlog.get_logger(__name__)

#: Interval at which a process that does not lead tries to become the leader.
ELECTION_INTERVAL_SECONDS = 2.0
#: Minimum pause between two checks for due jobs.
TICK_SECONDS = 0.2


def run_scheduler() -> None:
    """Lead while no other process does, until SIGTERM or SIGINT."""
    settings = settings_module.load()
    logs.set_up("scheduler", settings.log_level)
    logs.log_uncaught_exceptions()
    traces.set_up("scheduler", settings.otlp_endpoint)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    database.open_pool(settings.database_service_url, "beckon_service", 4)
    open_ephemeral(settings)
    broker.set_up(settings)
    heartbeat = Heartbeat("scheduler").start()
    is_recorded = False
    while not stopping.is_set():
        try:
            if not is_recorded:
                deployment.record(metrics.read_version())
                is_recorded = True
            with periodic_job.try_to_lead() as leader:
                heartbeat.leader = leader is not None
                if leader is not None:
                    log.info("leading", pid=os.getpid())
                    lead(settings, leader, stopping)
        except CONNECTION_ERRORS as error:
            log.warning("postgres is unreachable, no scheduler leads", error=str(error).strip())
        heartbeat.leader = False
        stopping.wait(ELECTION_INTERVAL_SECONDS)
    heartbeat.stop()
    log.info("scheduler stopped")


def lead(settings: Settings, leader: periodic_job.Leader, stopping: threading.Event) -> None:
    """Run every periodic job at its time while the lock is held."""
    next_run_at = {job.name: 0.0 for job in PERIODIC_JOBS}
    while not stopping.is_set() and leader.renew():
        for job in PERIODIC_JOBS:
            if time.monotonic() < next_run_at[job.name]:
                continue
            next_run_at[job.name] = time.monotonic() + job.every_seconds
            run_job(job, settings)
            if stopping.is_set():
                break
        stopping.wait(TICK_SECONDS)


def run_job(job: PeriodicJob, settings: Settings) -> None:
    """Run one periodic job and record the result. A failed job runs again at its next time; the others continue."""
    try:
        counts = job.run_once(settings)
    except CONNECTION_ERRORS:
        raise
    except Exception as error:
        log.exception("periodic job failed", job=job.name)
        periodic_job.note_failure(job.name, f"{type(error).__name__}: {error}")
        return
    if any(counts.values()):
        log.info("periodic job done", job=job.name, **counts)
    periodic_job.note_success(job.name, counts)
