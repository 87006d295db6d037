"""What the Redis server says of itself: its memory, its eviction policy and its start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ephemeral.connection import get_ephemeral

#: The only policy under which Redis keeps every notification.
REQUIRED_POLICY = "noeviction"


@dataclass(frozen=True)
class RedisServer:
    """Memory in bytes; `memory_limit` is `maxmemory`, else the host's memory, else 0. Times are seconds since 1970."""

    memory_used: int
    memory_limit: int
    policy: str
    started_at: float

    @property
    def memory_ratio(self) -> float:
        """The used part of the memory; 0 if the server does not say how much it has."""
        return self.memory_used / self.memory_limit if self.memory_limit else 0.0


def read_server() -> RedisServer:
    """Ask the server. Raises `ephemeral.connection.ERRORS` without Redis."""
    pipe = get_ephemeral().pipeline(transaction=False)
    pipe.info("memory")
    pipe.info("server")
    pipe.time()
    memory, server, (seconds, _) = pipe.execute()
    return _build_server(memory, server, seconds)


def _build_server(memory: dict[str, Any], server: dict[str, Any], now: int) -> RedisServer:
    # A managed server may hide the host's memory.
    limit = int(memory.get("maxmemory") or memory.get("total_system_memory") or 0)
    return RedisServer(
        memory_used=int(memory["used_memory"]),
        memory_limit=limit,
        policy=str(memory.get("maxmemory_policy", REQUIRED_POLICY)),
        started_at=float(now - int(server.get("uptime_in_seconds", 0))),
    )
