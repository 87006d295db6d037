"""The faults of the chaos test: what each does, how many there were, and how long the copy took to heal.

A fault begins when its share of the triggers is accepted. Right after it, a trigger of its own is posted (the probe):
the time from the fault's end to the end of the probe's execution is how long healing took.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from chaos_servers import ChaosServers
from chaos_triggers import Producer
from running_copy import Copy

#: Of the faults that are no kills, in turns.
KINDS = (
    "engine stopped in order", "engine stands still", "PostgreSQL stands still", "Redis stands still",
    "Redis refuses writes", "connections dead", "leader stands still", "another tenant floods", "Redis emptied",
    "PostgreSQL restarted",
)  # fmt: skip
#: Seconds that a server stands still or refuses, an engine (its lease passes), and a leader (another takes over).
SERVER_SECONDS, ENGINE_SECONDS, LEADER_SECONDS = 6.0, 15.0, 15.0
FLOOD = 500
REFUSALS = (("maxmemory", "1"), ("min-replicas-to-write", "1"))


@dataclass
class Record:
    """The number of each fault, its slowest healing, and the executions that ran under killed processes."""

    counts: dict[str, int] = field(default_factory=dict)
    healed_seconds: dict[str, float] = field(default_factory=dict)
    #: Executions that were running under a killed process, each with the time of the kill.
    orphans: dict[str, float] = field(default_factory=dict)
    #: Seconds from each stop of the leader until another scheduler led.
    takeovers: list[float] = field(default_factory=list)

    def add(self, kind: str, healed_seconds: float) -> None:
        """Count a fault."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.healed_seconds[kind] = max(self.healed_seconds.get(kind, 0.0), healed_seconds)


#: Faults between two readings of what the sandbox has received.
COLLECT_EVERY = 40


class Faults:
    """Injects the faults, each when its share of the triggers is accepted."""

    def __init__(self, servers: ChaosServers, copy: Copy, producer: Producer, rng: random.Random) -> None:
        self.servers, self.copy, self.producer, self.rng = servers, copy, producer, rng
        self.record = Record()
        self._timers: list[threading.Timer] = []
        self._actions: dict[str, Callable[[], None]] = {
            "process killed": self._kill, "engine stopped in order": self._stop_engine,
            "engine stands still": self._suspend_engine, "PostgreSQL stands still": self._suspend_postgres,
            "Redis stands still": self._suspend_redis, "Redis refuses writes": self._refuse_writes,
            "connections dead": servers.freeze_connections, "leader stands still": self._suspend_leader,
            "another tenant floods": lambda: producer.flood(FLOOD), "Redis emptied": servers.flush_redis,
            "PostgreSQL restarted": servers.restart_postgres,
        }  # fmt: skip

    def inject(self, kills: int, faults: int) -> None:
        """Inject them all, mixed."""
        kinds = ["process killed"] * kills + [KINDS[number % len(KINDS)] for number in range(faults)]
        self.rng.shuffle(kinds)
        try:
            for number, kind in enumerate(kinds):
                self.producer.permit((number + 1) / len(kinds))
                self.producer.wait_for_share(number / len(kinds))
                self._actions[kind]()
                self.record.add(kind, self.producer.measure_probe(f"probe-{number}"))
                if number % COLLECT_EVERY == 0:
                    self.producer.collect_received()
            self.producer.permit(1.0)
        finally:
            for timer in self._timers:
                timer.join()

    # Processes

    def _kill(self) -> None:
        name = self.rng.choice(["engine-0", "engine-0", "engine-1", "engine-1", "tracking-0", "scheduler"])
        pid = self.copy.list_programs().get(name)
        if pid is None:
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        for (execution_id,) in self.producer.fetch_rows(
            "select id from executions where status = 'running' and lease_owner like %s", (f"%:{pid}:%",)
        ):
            self.record.orphans.setdefault(execution_id, time.time())

    def _stop_engine(self) -> None:
        self._signal_engine(signal.SIGTERM)

    def _suspend_engine(self) -> None:
        pid = self._signal_engine(signal.SIGSTOP)
        if pid is not None:
            self._resume_later(pid, ENGINE_SECONDS)

    def _signal_engine(self, number: int) -> int | None:
        pid = self.copy.list_programs().get(self.rng.choice(["engine-0", "engine-1"]))
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return pid

    def _suspend_leader(self) -> None:
        """Suspend the scheduler that leads, and wait until another does."""
        rows, began = self.producer.fetch_rows("select pid, token from leadership"), time.monotonic()
        for pid, token in rows:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                self._resume_later(pid, LEADER_SECONDS)
            self.producer.await_rows("select from leadership where token <> %s", (token,), 60.0)
            self.record.takeovers.append(time.monotonic() - began)

    def _resume_later(self, pid: int, seconds: float) -> None:
        def resume() -> None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

        timer = threading.Timer(seconds, resume)
        timer.start()
        self._timers.append(timer)

    # Servers

    def _suspend_postgres(self) -> None:
        with self.servers.faulty.hang_postgres():
            time.sleep(SERVER_SECONDS)

    def _suspend_redis(self) -> None:
        with self.servers.faulty.hang_redis():
            time.sleep(SERVER_SECONDS)

    def _refuse_writes(self) -> None:
        with self.servers.refuse_writes(*self.rng.choice(REFUSALS)):
            time.sleep(SERVER_SECONDS)
