"""How many connections to PostgreSQL each program opens at most: the one place where pools are sized, by settings.

A process needs a connection for a few milliseconds at a time, so threads share a pool smaller than their number. All
engine processes together hold `ENGINE_CONNECTIONS` at most, or their smallest pools, so that a machine with more cores
needs no larger server.
"""

from __future__ import annotations

from dataclasses import dataclass

from settings import Settings

#: Connections of one web process's pool.
WEB_POOL = 24
#: A web process's connection beside its pool: that of the door of tracked executions.
WEB_DOORS = 1
#: Connections of the scheduler.
SCHEDULER_POOL = 4
#: Connections of `beckon doctor`, whose measurements of Health run at once.
DOCTOR_POOL = 24
#: Connections of any other command: one for the work, one for the executions that it follows.
COMMAND_POOL = 2
#: Connections of a worker process beyond those of its threads: for the group commit, the leases, the completions and
#: the main thread.
WORKER_EXTRA = 4
#: Threads of a worker process that may have a connection at once, and the fewest of an engine process.
MAX_THREAD_CONNECTIONS = 36
MIN_THREAD_CONNECTIONS = 8
#: Connections of all engine processes.
ENGINE_CONNECTIONS = 128
#: Left for commands, migrations and PostgreSQL's own superusers.
RESERVE = DOCTOR_POOL + 3 * COMMAND_POOL + 5
#: The limit of the embedded server, unless the settings need more.
EMBEDDED_CONNECTIONS = 250


@dataclass(frozen=True)
class Demand:
    """The most connections that a program's processes open together."""

    program: str
    processes: int
    connections_each: int

    @property
    def total(self) -> int:
        """The connections of all its processes."""
        return self.processes * self.connections_each


def compute_engine_pool(settings: Settings, threads: int) -> int:
    """Return the pool of an engine process with this many threads."""
    share = max(MIN_THREAD_CONNECTIONS, ENGINE_CONNECTIONS // settings.workers - WORKER_EXTRA)
    return min(threads, MAX_THREAD_CONNECTIONS, share) + WORKER_EXTRA


def compute_tracking_pool(settings: Settings) -> int:
    """Return the pool of the tracking program."""
    return min(settings.threads, MAX_THREAD_CONNECTIONS) + WORKER_EXTRA


def list_demands(settings: Settings) -> list[Demand]:
    """List what each program of a copy opens at most."""
    engine_threads = settings.threads + 2 * settings.io_threads
    return [
        Demand("engine", settings.workers, compute_engine_pool(settings, engine_threads)),
        Demand("tracking", 1, compute_tracking_pool(settings)),
        Demand("scheduler", 1, SCHEDULER_POOL),
        Demand("dashboard", settings.web_workers, WEB_POOL + WEB_DOORS),
    ]


def compute_total(settings: Settings) -> int:
    """Return how many connections all programs of a copy open at most."""
    return sum(demand.total for demand in list_demands(settings))


def compute_embedded_limit(settings: Settings) -> int:
    """Return `max_connections` of the embedded server: it holds all programs and leaves `RESERVE`."""
    return max(EMBEDDED_CONNECTIONS, compute_total(settings) + RESERVE)
