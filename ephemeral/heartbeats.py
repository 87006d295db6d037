"""Heartbeats of every process: each records one every few seconds, and it expires when the process stops.

For display and metrics only; leases in PostgreSQL decide which worker holds an execution. Redis's clock says when a
process was last seen, so that a process whose clock is wrong is neither lost nor kept for it. A program is described by
its queues and its pools of threads alone: one program for all queues and one for each look the same to a reader.
"""

from __future__ import annotations

import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import redis
import structlog

import clock
import metrics
from ephemeral import rates, workflow_cache
from ephemeral.connection import get_ephemeral
from rules.json_text import dump_json, load_json

log = structlog.get_logger(__name__)

#: Time between two heartbeats of a process.
INTERVAL_SECONDS = 5
#: A process without a heartbeat for this long is not listed: one heartbeat may be missed.
TTL_SECONDS = 12
#: For this long a process that ended without removing itself is listed as lost.
LOST_SECONDS = 3600
#: The set of all processes; each read removes the expired ones.
_INDEX = "processes"
#: The last heartbeat of each process that has not removed itself.
_LAST = "last-heartbeats"
_VERSION = metrics.read_version()
_STATM = Path("/proc/self/statm")

# Redis's clock says when the process was seen, in milliseconds.
_RECORD = """
local clock = redis.call('TIME')
local seen_ms = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('HSET', KEYS[1], 'process', ARGV[1], 'seen_ms', seen_ms)
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('SADD', KEYS[2], KEYS[1])
redis.call('HSET', KEYS[3], KEYS[1], string.format('%.0f', seen_ms) .. ' ' .. ARGV[1])
"""


@dataclass(frozen=True)
class Pool:
    """The threads of one process for one queue, and how many of them are busy."""

    size: int
    busy: int


@dataclass(frozen=True)
class Cache:
    """The workflow caches of one process: entries, and the requests since its start."""

    size: int
    capacity: int
    hits: int
    misses: int


@dataclass(frozen=True)
class Process:
    """One process, as its last heartbeat described it; times are RFC 3339."""

    #: The program, such as `engine`, and this copy of it, such as `engine-0`.
    program: str
    name: str
    host: str
    pid: int
    queues: tuple[str, ...]
    started_at: str
    last_seen: str
    version: str
    #: Resident memory.
    memory_bytes: int
    #: By how much the clock of its host is ahead of Redis's; network latency counts as behind.
    clock_skew_seconds: float
    #: Whether it is the scheduler that leads.
    leader: bool
    cache: Cache
    pools: dict[str, Pool] = field(default_factory=dict)


def record(
    queues: Sequence[str],
    started_at: datetime,
    *,
    program: str = "worker",
    pools: Mapping[str, Pool] | None = None,
    leader: bool = False,
) -> None:
    """Record a heartbeat of this process. Raises `ephemeral.connection.ERRORS` without Redis; the next one retries."""
    report = {
        "program": program,
        "name": metrics.SLOT or program,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "queues": list(queues),
        "started_at": _format_time(started_at),
        "version": _VERSION,
        "memory_bytes": measure_memory(),
        "leader": leader,
        "cache": workflow_cache.read_stats(),
        "pools": {name: asdict(pool) for name, pool in (pools or {}).items()},
        "reported_ms": int(time.time() * 1000),
    }
    script = get_ephemeral().register_script(_RECORD)
    script([_own_key(program), _INDEX, _LAST], [dump_json(report), TTL_SECONDS])


def remove(program: str = "worker") -> None:
    """Remove this process at its end. Raises `ephemeral.connection.ERRORS` without Redis."""
    key = _own_key(program)
    get_ephemeral().delete(key)
    get_ephemeral().srem(_INDEX, key)
    get_ephemeral().hdel(_LAST, key)


def list_processes() -> list[Process]:
    """Return every live process, by host, name and pid. Raises `ephemeral.connection.ERRORS` without Redis."""
    client = get_ephemeral()
    keys = sorted(client.smembers(_INDEX))
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.hmget(key, "process", "seen_ms")
    values = pipe.execute() if keys else []
    expired = [key for key, (report, _) in zip(keys, values, strict=True) if report is None]
    if expired:
        # A server that refuses to change anything can still tell what it knows.
        with suppress(redis.ResponseError):
            client.srem(_INDEX, *expired)
    processes = [_parse(str(report), int(seen_ms)) for report, seen_ms in values if report is not None]
    return sorted(processes, key=lambda process: (process.host, process.name, process.pid))


def list_lost(live: Sequence[Process]) -> list[Process]:
    """Return the processes that ended within LOST_SECONDS without removing themselves, and that no later process of the
    same program and at least the same queues replaces, by the live ones.

    Raises `ephemeral.connection.ERRORS` without Redis.
    """
    client = get_ephemeral()
    seconds, _ = client.time()
    last: dict[str, str] = client.hgetall(_LAST)  # type: ignore[assignment]
    live_keys = {_build_key(process.program, process.host, process.pid) for process in live}
    ended = {key: text.partition(" ") for key, text in last.items() if key not in live_keys}
    expired = [key for key, (seen_ms, _, _) in ended.items() if int(seen_ms) < (seconds - LOST_SECONDS) * 1000]
    if expired:
        with suppress(redis.ResponseError):
            client.hdel(_LAST, *expired)
    lost = [_parse(report, int(seen_ms)) for key, (seen_ms, _, report) in ended.items() if key not in expired]
    return _exclude_replaced(sorted(lost, key=lambda process: process.last_seen, reverse=True), live)


def _exclude_replaced(lost: Sequence[Process], live: Sequence[Process]) -> list[Process]:
    """Return the lost processes without one that started after them; each process replaces one, also one that was lost
    later itself.

    Newest first: what can replace a process can also replace every one that was lost before it.
    """
    spare = list(live)
    remaining = []
    for process in lost:
        replacement = next((other for other in spare if _replaces(other, process)), None)
        if replacement is None:
            remaining.append(process)
        else:
            spare.remove(replacement)
        spare.append(process)
    return remaining


def _replaces(process: Process, lost: Process) -> bool:
    serves_the_same = process.program == lost.program and set(process.queues) >= set(lost.queues)
    return serves_the_same and _is_after(process, lost)


def _is_after(process: Process, lost: Process) -> bool:
    skew = timedelta(seconds=process.clock_skew_seconds)
    return datetime.fromisoformat(process.started_at) - skew > datetime.fromisoformat(lost.last_seen)


def list_workers() -> list[Process]:
    """Return every live process that serves queues. Raises `ephemeral.connection.ERRORS` without Redis."""
    return [process for process in list_processes() if process.queues]


def measure_memory() -> int:
    """Return this process's resident memory in bytes."""
    return int(_STATM.read_text().split()[1]) * resource.getpagesize()


class Heartbeat:
    """The heartbeat of one process. `leader` may be set at any time; the next heartbeat reports it."""

    def __init__(
        self, program: str, queues: Sequence[str] = (), read_pools: Callable[[], Mapping[str, Pool]] = dict
    ) -> None:
        self.leader = False
        self._program = program
        self._queues = queues
        self._read_pools = read_pools
        self._started_at = clock.now()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self.run_until, args=(self._stopping,), name="heartbeat", daemon=True)

    def start(self) -> Heartbeat:
        """Beat on a separate thread until `stop`."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End the thread; the process is listed no more."""
        self._stopping.set()
        self._thread.join(5)

    def run_until(self, stopping: threading.Event) -> None:
        """Record a heartbeat every INTERVAL_SECONDS until `stopping` is set, then remove the process."""
        while True:
            self._beat()
            if stopping.wait(INTERVAL_SECONDS):
                break
        try:
            remove(self._program)
        except redis.RedisError as error:
            log.warning("redis is unreachable, this process stays listed until its heartbeat expires", error=str(error))

    def _beat(self) -> None:
        try:
            record(self._queues, self._started_at, program=self._program, pools=self._read_pools(), leader=self.leader)
            rates.flush()
        except redis.RedisError as error:
            log.warning("redis is unreachable, heartbeat not recorded", error=str(error))


def _parse(report: str, seen_ms: int) -> Process:
    fields = load_json(report)
    skew_ms = fields.pop("reported_ms") - seen_ms
    return Process(
        **{
            **fields,
            "queues": tuple(fields["queues"]),
            "pools": {name: Pool(**pool) for name, pool in fields["pools"].items()},
            "cache": Cache(**fields["cache"]),
            "last_seen": _format_time(clock.shift(datetime.fromtimestamp(seen_ms / 1000, UTC))),
            "clock_skew_seconds": skew_ms / 1000,
        }
    )


def _format_time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _own_key(program: str) -> str:
    return _build_key(program, socket.gethostname(), os.getpid())


def _build_key(program: str, host: str, pid: int) -> str:
    return f"process:{program}:{host}:{pid}"
