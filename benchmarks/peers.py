"""Executions per second of Beckon, a hand-written actor, Oban, DBOS, PgQueuer and Absurd, interleaved in one run.

Each contestant checks, has a text generated and sends it, through the same sandbox, and stores every step on the same
PostgreSQL; `benchmarks/peers/` has each as its documentation recommends it for throughput. They run in turns, round by
round, while the others are paused (SIGSTOP). In each round a contestant first works off executions that were enqueued a
hundred a call, then gets others one a call from eight threads while it works. Processor time is that of its processes,
PostgreSQL and Redis, without the sandbox and the producer.
Run: `make bench-peers`, or `python benchmarks/peers.py [rounds] [executions a round]`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import peers_environment
import psycopg2
from executions import DEFINITION, Bench, Contestant, Round
from measurements import describe_machine, median, show, show_table
from own_engine import Process, prepare, start_engine, start_program
from own_servers import BenchmarkServers, run_servers
from running_copy import ROOT

PROCESSES, THREADS = 2, 4
#: All contestants keep their connections while they are paused.
MAX_CONNECTIONS = 400
#: Without a finished execution for so long, a contestant is taken out of the run.
STALLED_SECONDS = 60.0


@dataclass(frozen=True)
class Peer:
    """A contestant: its program in `benchmarks/peers`, its package, and the query that counts its open executions."""

    title: str
    program: str
    package: str
    settings: str
    count_open: str
    processes: int = PROCESSES
    database: str = "peers"


PEERS = (
    Peer("Beckon", "beckon_peer.py", "", f"{THREADS} threads",
         "select %(total)s - sum(executions) from automations", database="beckon"),
    Peer("hand-written actor", "actor_peer.py", "", f"{THREADS} threads, a commit for each step",
         "select count(*) from plain.runs where status in ('queued', 'running')"),
    Peer("Oban", "oban_peer.py", "oban", "asyncio, queue limit 20, a commit for each step",
         "select count(*) from oban_jobs where state in ('available', 'executing', 'scheduled', 'retryable')"),
    Peer("DBOS", "dbos_peer.py", "dbos", "32 threads, polled every 50 ms",
         "select count(*) from dbos.workflow_status where status in ('ENQUEUED', 'PENDING')"),
    Peer("PgQueuer", "pgqueuer_peer.py", "pgqueuer", "asyncio on uvloop, batches of 25, a commit for each step",
         "select count(*) from pgqueuer"),
    Peer("Absurd", "absurd_peer.py", "absurd-sdk", "8 processes of one task, polled every 50 ms when idle",
         "select count(*) from absurd.t_executions where state not in ('completed', 'failed', 'cancelled')", 8),
)  # fmt: skip


@dataclass
class Running:
    """A peer with its processes and its results."""

    peer: Peer
    contestant: Contestant
    produce: Callable[[str, int], None]
    rounds: dict[str, list[Round]] = field(default_factory=lambda: {"batch": [], "singly": []})


class Run:
    """The servers, and the contestants that could be started on them."""

    def __init__(self, servers: BenchmarkServers, stack: ExitStack) -> None:
        self.servers, self.stack, self.bench = servers, stack, Bench(servers)
        self.bench.cursor.execute("create database peers")
        self.peers_url = servers.database_url.replace("/beckon?", "/peers?")
        self.workspace_id = _create_workspace()
        self.environ = {
            "PEERS_DATABASE_URL": self.peers_url, "PLAIN_DATABASE_URL": self.peers_url,
            "PEERS_SANDBOX_URL": servers.sandbox_url, "PLAIN_SANDBOX_URL": servers.sandbox_url,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'benchmarks'}",
            "PLAIN_REDIS_URL": servers.redis_url.replace("db=0", "db=8"), "PEERS_WORKSPACE_ID": self.workspace_id,
        }  # fmt: skip

    def start(self, peer: Peer) -> Running:
        """Install a peer's tables, start its processes, and wait until they work."""
        command = [peers_environment.PYTHON if peer.package else sys.executable,
                   str(ROOT / "benchmarks" / "peers" / peer.program)]  # fmt: skip
        if peer.title == "Beckon":
            processes = start_engine(self.servers, PROCESSES, BECKON_IO_THREADS=str(THREADS))
        else:
            self._install(command)
            slots = [f"{peer.program}-{number}" for number in range(peer.processes)]
            processes = [start_program([*command, "work"], self.servers, slot, **self.environ) for slot in slots]
        log = self.servers.home / f"{peer.program}.log"
        producer = self.stack.enter_context(_start_producer([*command, "produce"], os.environ | self.environ, log))
        return self._build(peer, processes, producer)

    def _install(self, command: list[str]) -> None:
        completed = subprocess.run(
            [*command, "install"], cwd=self.servers.home, env=os.environ | self.environ, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if completed.returncode != 0:
            raise RuntimeError(completed.stderr.strip().splitlines()[-1])

    def _build(self, peer: Peer, processes: list[Process], producer: Process) -> Running:
        url = self.peers_url if peer.database == "peers" else self.servers.database_url
        connection = self.stack.enter_context(closing(psycopg2.connect(url)))
        connection.autocommit = True
        cursor, totals = connection.cursor(), {"total": 0}

        def produce(mode: str, count: int) -> None:
            _ask(producer, f"{mode} {totals['total']} {count}")
            totals["total"] += count

        def count_open() -> int:
            cursor.execute(peer.count_open, totals)
            return int(cursor.fetchone()[0])

        return Running(
            peer, Contestant(peer.title, processes, lambda count: produce("batch", count), count_open), produce
        )

    def measure_batch(self, running: Running, executions: int) -> Round:
        """Measure executions that were enqueued while the contestant was paused."""
        running.produce("batch", executions)
        return self._measure(running, executions, lambda: None)

    def measure_singly(self, running: Running, executions: int) -> Round:
        """Measure executions that are enqueued while the contestant works."""
        return self._measure(running, executions, lambda: running.produce("singly", executions))

    def _measure(self, running: Running, executions: int, produce: Callable[[], None]) -> Round:
        before, began = self.bench.measure_costs(running.contestant), time.monotonic()
        with running.contestant.resume():
            produce()
            _await_done(running.contestant)
            seconds = time.monotonic() - began
        after = self.bench.measure_costs(running.contestant)
        return Round(executions, seconds, after[0] - before[0], after[1] - before[1], after[2] - before[2])


def _create_workspace() -> str:
    from models import automation, workspace
    from models.audit import SYSTEM

    workspace_id = workspace.create("benchmark", "Benchmark", demo=True)
    automation.create(
        workspace_id, name="Benchmark", type="workflow", definition=DEFINITION, actor=SYSTEM, enabled=True
    )
    return workspace_id


@contextmanager
def _start_producer(command: list[str], environ: dict[str, str], log: Path) -> Iterator[Any]:
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output, text=True
        )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _ask(producer: Any, line: str) -> None:
    producer.stdin.write(line + "\n")
    producer.stdin.flush()
    if producer.stdout.readline() != "done\n":
        raise RuntimeError("its producer has ended")


def _await_done(contestant: Contestant) -> None:
    """Wait until nothing is open; RuntimeError if nothing ends for a while."""
    last, deadline = -1, 0.0
    while remaining := contestant.count_open():
        if remaining != last:
            last, deadline = remaining, time.monotonic() + STALLED_SECONDS
        if time.monotonic() > deadline:
            raise RuntimeError(f"{remaining} executions stay open")
        time.sleep(0.02)


def main(rounds: int = 3, executions: int = 1_000) -> int:
    """Measure and print. Returns 1 if Beckon is not ahead of every contestant in executions a second."""
    versions = peers_environment.install()
    with run_servers({"max_connections": str(MAX_CONNECTIONS)}) as servers, ExitStack() as stack:
        prepare(servers, BECKON_IO_THREADS=str(THREADS))
        run = Run(servers, stack)
        contestants = _start_all(run, versions)
        show(f"{PROCESSES} processes each, {describe_machine()}; peers on CPython {versions['python']}")
        for number in range(rounds):
            for running in list(contestants):
                try:
                    running.rounds["batch"].append(run.measure_batch(running, executions))
                    running.rounds["singly"].append(run.measure_singly(running, executions // 2))
                    rates = [f"{rounds[-1].executions / rounds[-1].seconds:.0f}" for rounds in running.rounds.values()]
                    show(f"round {number + 1}: {running.peer.title} {' and '.join(rates)} executions/s")
                except RuntimeError as error:
                    show(f"{running.peer.title} is left out from round {number + 1} on: {error}")
                    contestants.remove(running)
    return _report(contestants, versions)


def _start_all(run: Run, versions: dict[str, str]) -> list[Running]:
    contestants = []
    for peer in PEERS:
        if peer.package and peer.package not in versions:
            show(f"{peer.title} is left out: its package {peer.package} is not installed")
            continue
        try:
            running = run.start(peer)
            # Warm, and the tables no longer empty, when they are paused for the first time.
            running.produce("batch", 200)
            _await_done(running.contestant)
            running.contestant.pause()
            contestants.append(running)
        except RuntimeError as error:
            show(f"{peer.title} is left out: {error}")
    return contestants


def _report(contestants: list[Running], versions: dict[str, str]) -> int:
    show_table(
        ("", "version", "settings", "100 a call: executions/s", "CPU s per 1,000", "commits each",
         "one a call: executions/s", "CPU s per 1,000"),
        [_format(running, versions) for running in contestants],
    )  # fmt: skip
    rates = {running.peer.title: _rate(running.rounds["batch"]) for running in contestants}
    slower = [title for title, rate in rates.items() if rate > rates.get("Beckon", 0.0)]
    show(f"more executions a second than Beckon: {', '.join(slower) or 'none'}")
    return int(bool(slower))


def _format(running: Running, versions: dict[str, str]) -> list[str]:
    batch, singly = running.rounds["batch"], running.rounds["singly"]
    commits = median(round_.commits / round_.executions for round_ in batch)
    return [
        running.peer.title, versions.get(running.peer.package, ""), running.peer.settings,
        f"{_rate(batch):.0f}", f"{_cost(batch):.2f}", f"{commits:.2f}", f"{_rate(singly):.0f}", f"{_cost(singly):.2f}",
    ]  # fmt: skip


def _rate(rounds: list[Round]) -> float:
    return median(round_.executions / round_.seconds for round_ in rounds)


def _cost(rounds: list[Round]) -> float:
    return median(round_.processor / round_.executions * 1000 for round_ in rounds)


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
