"""The scheduler process: of any number of them one leads, and does each duty at its time; another takes over when it
dies.

Leadership is an advisory lock of PostgreSQL, held by a connection of its own: it ends with the process, whichever way
that ends. Duties run one after the other on the leader; what a duty does is in `tasks/sweeps`.
"""

from __future__ import annotations

import os
import signal
import threading
import time

import structlog

import logs
import settings as settings_module
from ephemeral.connection import open_ephemeral
from models import database, periodic_job
from models.database import CONNECTION_ERRORS
from settings import Settings
from tasks.periodic_jobs import PERIODIC_JOBS, PeriodicJob
from tasks.runtime import broker

log = structlog.get_logger(__name__)

#: How often a process that does not lead asks whether it may.
ELECTION_INTERVAL_SECONDS = 2.0
#: Shortest pause between two looks at what is due.
TICK_SECONDS = 0.2


def run_scheduler() -> None:
    """Lead when nobody else does, until SIGTERM or SIGINT."""
    settings = settings_module.load()
    logs.set_up("scheduler", settings.log_level)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    database.open_pool(settings.database_service_url, "beckon_service", 4)
    open_ephemeral(settings)
    broker.set_up(settings)
    while not stopping.is_set():
        try:
            with periodic_job.try_to_lead() as leader:
                if leader is not None:
                    log.info("leading", pid=os.getpid())
                    lead(settings, leader, stopping)
        except CONNECTION_ERRORS as error:
            log.warning("postgres is away, nobody leads", error=str(error).strip())
        stopping.wait(ELECTION_INTERVAL_SECONDS)
    log.info("scheduler stopped")


def lead(settings: Settings, leader: periodic_job.Leader, stopping: threading.Event) -> None:
    """Do every duty at its time for as long as the lock is held."""
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
    """Do one duty and note how it went; a duty that fails is tried again at its next time, and the others go on."""
    try:
        counts = job.run_once(settings)
    except CONNECTION_ERRORS:
        raise
    except Exception as error:
        log.exception("a duty failed", duty=job.name)
        periodic_job.note_failure(job.name, f"{type(error).__name__}: {error}")
        return
    if any(counts.values()):
        log.info("duty done", duty=job.name, **counts)
    periodic_job.note_success(job.name, counts)
