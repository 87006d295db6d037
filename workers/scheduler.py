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
from models import database, duty
from models.database import CONNECTION_ERRORS
from settings import Settings
from tasks import broker
from tasks.sweeps import DUTIES, Duty

log = structlog.get_logger(__name__)

#: How often a process that does not lead asks whether it may.
ASK_EVERY_SECONDS = 2.0
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
            with duty.leading() as leader:
                if leader is not None:
                    log.info("leading", pid=os.getpid())
                    lead(settings, leader, stopping)
        except CONNECTION_ERRORS as error:
            log.warning("postgres is away, nobody leads", error=str(error).strip())
        stopping.wait(ASK_EVERY_SECONDS)
    log.info("scheduler stopped")


def lead(settings: Settings, leader: duty.Leader, stopping: threading.Event) -> None:
    """Do every duty at its time for as long as the lock is held."""
    next_at = {one.name: 0.0 for one in DUTIES}
    while not stopping.is_set() and leader.still_leads():
        for one in DUTIES:
            if time.monotonic() < next_at[one.name]:
                continue
            next_at[one.name] = time.monotonic() + one.every_seconds
            do(one, settings)
            if stopping.is_set():
                break
        stopping.wait(TICK_SECONDS)


def do(one: Duty, settings: Settings) -> None:
    """Do one duty and note how it went; a duty that fails is tried again at its next time, and the others go on."""
    try:
        counts = one.run_once(settings)
    except CONNECTION_ERRORS:
        raise
    except Exception as error:
        log.exception("a duty failed", duty=one.name)
        duty.note_failure(one.name, f"{type(error).__name__}: {error}")
        return
    if any(counts.values()):
        log.info("duty done", duty=one.name, **counts)
    duty.note_success(one.name, counts)
