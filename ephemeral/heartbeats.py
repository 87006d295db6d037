"""Which worker processes are alive: each says so every few seconds, and is forgotten when it stops.

For people and for metrics only; whose execution is whose is decided by leases in PostgreSQL.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import clock
from ephemeral.connection import ephemeral

#: A process should speak this often.
EVERY_SECONDS = 5
#: A process that was silent for so long is not listed.
LIFETIME_SECONDS = 20
#: The set of all processes that spoke; those that went silent are taken out by whoever reads.
_INDEX = "workers"


@dataclass(frozen=True)
class Worker:
    """One process: where it runs, which queues it serves, and when it was started and last heard (RFC 3339)."""

    host: str
    pid: int
    queues: tuple[str, ...]
    started_at: str
    last_seen: str


def beat(queues: Sequence[str], started: datetime) -> None:
    """Say that this process is alive. Raises `ephemeral.connection.ERRORS` without Redis: try again next time."""
    worker = Worker(socket.gethostname(), os.getpid(), tuple(queues), started.isoformat(), clock.now().isoformat())
    key = _key(worker)
    pipe = ephemeral().pipeline(transaction=False)
    pipe.set(key, json.dumps(asdict(worker)), ex=LIFETIME_SECONDS)
    pipe.sadd(_INDEX, key)
    pipe.execute()


def stop() -> None:
    """Say that this process ends now. Raises `ephemeral.connection.ERRORS` without Redis."""
    key = f"worker:{socket.gethostname()}:{os.getpid()}"
    ephemeral().delete(key)
    ephemeral().srem(_INDEX, key)


def workers() -> list[Worker]:
    """Every process that is alive, by host and pid. Raises `ephemeral.connection.ERRORS` without Redis."""
    client = ephemeral()
    keys = sorted(client.smembers(_INDEX))
    if not keys:
        return []
    found = client.mget(keys)
    silent = [key for key, text in zip(keys, found, strict=True) if text is None]
    if silent:
        client.srem(_INDEX, *silent)
    return [_worker(str(text)) for text in found if text is not None]


def _worker(text: str) -> Worker:
    told = json.loads(text)
    return Worker(**{**told, "queues": tuple(told["queues"])})


def _key(worker: Worker) -> str:
    return f"worker:{worker.host}:{worker.pid}"
