"""Heartbeats of worker processes: each records one every few seconds, and expires when it stops.

For display and metrics only; leases in PostgreSQL decide which worker holds an execution.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import clock
from ephemeral.connection import get_ephemeral
from rules.json_text import dump_json, load_json

#: Time between two heartbeats of a process.
INTERVAL_SECONDS = 5
#: A process without a heartbeat for this long is not listed.
TTL_SECONDS = 20
#: The set of all processes; each read removes the expired ones.
_INDEX = "workers"


@dataclass(frozen=True)
class Worker:
    """One process: its host, its queues, and when it started and was last seen (RFC 3339)."""

    host: str
    pid: int
    queues: tuple[str, ...]
    started_at: str
    last_seen: str


def record(queues: Sequence[str], started_at: datetime) -> None:
    """Record a heartbeat of this process. Raises `ephemeral.connection.ERRORS` without Redis; the next one retries."""
    worker = Worker(socket.gethostname(), os.getpid(), tuple(queues), started_at.isoformat(), clock.now().isoformat())
    key = _key(worker)
    pipe = get_ephemeral().pipeline(transaction=False)
    pipe.set(key, dump_json(asdict(worker)), ex=TTL_SECONDS)
    pipe.sadd(_INDEX, key)
    pipe.execute()


def remove() -> None:
    """Remove this process at its end. Raises `ephemeral.connection.ERRORS` without Redis."""
    key = f"worker:{socket.gethostname()}:{os.getpid()}"
    get_ephemeral().delete(key)
    get_ephemeral().srem(_INDEX, key)


def list_workers() -> list[Worker]:
    """Return every live process, by host and pid. Raises `ephemeral.connection.ERRORS` without Redis."""
    client = get_ephemeral()
    keys = sorted(client.smembers(_INDEX))
    if not keys:
        return []
    values = client.mget(keys)
    expired = [key for key, text in zip(keys, values, strict=True) if text is None]
    if expired:
        client.srem(_INDEX, *expired)
    return [_parse_worker(str(text)) for text in values if text is not None]


def _parse_worker(text: str) -> Worker:
    fields = load_json(text)
    return Worker(**{**fields, "queues": tuple(fields["queues"])})


def _key(worker: Worker) -> str:
    return f"worker:{worker.host}:{worker.pid}"
