"""Executions per second: Beckon compared with plain dramatiq actors, in one run on the same servers.

Four contestants take turns, round by round, each with 2 processes of 4 threads, while the others are paused (SIGSTOP):

    (a)  an actor of dramatiq that does nothing
    (b)  one actor that does the workflow, with a row and a commit for each step (`baseline_actor.plain`)
    (b') the same without a database, the ceiling (`baseline_actor.bare`)
    (c)  Beckon: two engine processes and the scheduler, from accepted triggers to completed executions

The workflow is a check, a generated text and an e-mail. The sandbox answers both requests at once, and its cost is not
counted. The work is enqueued while the workers are paused; the time runs from their start to the last finished
execution, and a round is long enough (three seconds) that its start and end weigh little.
Then (b) and (c) get 20 triggers a second, and the time from the trigger to the provider's call is measured. At last
Beckon gets triggers one at a time from eight threads while its processes run.
Run: `python benchmarks/executions.py [rounds] [executions a round] [seconds at 20 a second]`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg2
import redis
import urllib3
from measurements import (
    count_transactions_written,
    describe_machine,
    median,
    percentile,
    read_processor_seconds,
    show,
    show_table,
)
from own_engine import Process, prepare, start_engine, start_program
from own_servers import BenchmarkServers, run_servers
from running_copy import ROOT

PROCESSES, THREADS = 2, 4
RATE = 20
MIN_RATIO, MAX_PROCESSOR_RATIO, MAX_P50_MS, MAX_P99_MS = 1.6, 0.6, 12.0, 25.0
#: Threads that send one trigger after the other, and what Beckon must reach: executions a second, and processor seconds
#: for a thousand of them, without those of the threads.
PRODUCERS, MIN_SINGLES, MAX_SINGLES_PROCESSOR = 8, 300, 5.0

DEFINITION = {
    "trigger": {"type": "benchmark.started"},
    "steps": [
        {"id": "write", "action": "generate_message", "with": {"prompt": "Write to {{ contact.first_name }}"}},
        {"id": "hello", "action": "send_email", "with": {"subject": "Hello", "body": "{{ steps.write.text }}"}},
    ],
}


@dataclass
class Round:
    """The result of one round of a contestant."""

    executions: int
    seconds: float
    processor: float
    commits: int
    commands: int


@dataclass
class Contestant:
    """A contestant: its processes, a function that enqueues work, and one that counts the open executions."""

    name: str
    processes: list[Process]
    fill: Callable[[int], None]
    count_open: Callable[[], int]
    rounds: list[Round] = field(default_factory=list)

    def signal(self, number: int) -> None:
        for process in self.processes:
            process.send_signal(number)

    def pause(self) -> None:
        """Pause the processes, which may be in the middle of their work."""
        self.signal(signal.SIGSTOP)

    @contextmanager
    def resume(self) -> Iterator[None]:
        self.signal(signal.SIGCONT)
        try:
            yield
        finally:
            self.signal(signal.SIGSTOP)


class Bench:
    """The servers, the contestants' work on them, and the measurement of its cost."""

    def __init__(self, servers: BenchmarkServers) -> None:
        self.servers = servers
        self.connection = psycopg2.connect(servers.database_url)
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()
        self.redis = redis.Redis.from_url(servers.redis_url)
        self.numbers = 0
        self.accepted = 0

    def fetch_value(self, sql: str) -> Any:
        self.cursor.execute(sql)
        return self.cursor.fetchone()[0]

    def measure_costs(self, contestant: Contestant) -> tuple[float, int, int]:
        """Read the processor seconds of all processes involved, the written transactions and the Redis commands."""
        pids = [process.pid for process in contestant.processes] + [self.servers.postgres, self.servers.redis]
        processor = sum(read_processor_seconds(pid) for pid in pids)
        return processor, count_transactions_written(self.cursor), self.redis.info("stats")["total_commands_processed"]

    def run_round(self, contestant: Contestant, executions: int) -> Round:
        """Enqueue the work, resume the processes, and wait until all executions are done."""
        contestant.fill(executions)
        before, began = self.measure_costs(contestant), time.monotonic()
        with contestant.resume():
            while contestant.count_open():
                time.sleep(0.02)
            seconds = time.monotonic() - began
        after = self.measure_costs(contestant)
        return Round(executions, seconds, after[0] - before[0], after[1] - before[1], after[2] - before[2])

    # Baseline actors

    def create_plain_tables(self) -> None:
        import baseline_actor

        self.cursor.execute(baseline_actor.TABLES)
        self.cursor.execute(
            "insert into plain.people select n, 'Ada', 'plain' || n || '@example.com' from generate_series(1, 200000) n"
        )

    def count_plain_messages(self) -> int:
        return int(self.redis.hlen("plain:plain.msgs"))

    def build_actor_fill(self, name: str) -> Callable[[int], None]:
        import baseline_actor

        def fill(count: int) -> None:
            for number in range(count):
                getattr(baseline_actor, name).send(number)

        return fill

    def fill_plain(self, count: int) -> None:
        import baseline_actor

        for _ in range(count):
            self.numbers += 1
            self.cursor.execute("insert into plain.runs (person) values (%s) returning id", (self.numbers,))
            baseline_actor.plain.send(self.cursor.fetchone()[0])

    # Beckon

    def create_beckon_workspace(self) -> None:
        from models import automation, workspace
        from models.audit import SYSTEM

        self.workspace_id = workspace.create("benchmark", "Benchmark", demo=True)
        automation.create(
            self.workspace_id, name="Benchmark", type="workflow", definition=DEFINITION, actor=SYSTEM, enabled=True
        )

    def fill_beckon(self, count: int) -> None:
        from rules.trigger_requests import TriggerRequest
        from tasks.intake.triggers import accept

        for begin in range(0, count, 100):
            requests = []
            for _ in range(min(100, count - begin)):
                self.numbers += 1
                address = f"beckon{self.numbers}@example.com"
                person = {"external_id": f"b{self.numbers}", "first_name": "Ada", "email": address}
                requests.append(TriggerRequest("benchmark.started", None, person, {}))
            accept(self.workspace_id, requests, "api")
            self.accepted += len(requests)

    def run_singles(self, beckon: Contestant, executions: int) -> Round:
        """Accept triggers one at a time while Beckon runs, and wait until all executions are done."""
        each = executions // PRODUCERS
        threads = [threading.Thread(target=self._trigger_singly, args=(n, each)) for n in range(PRODUCERS)]
        before, began = self.measure_costs(beckon), time.monotonic()
        with beckon.resume():
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.accepted += each * PRODUCERS
            while beckon.count_open():
                time.sleep(0.02)
            seconds = time.monotonic() - began
        after = self.measure_costs(beckon)
        return Round(each * PRODUCERS, seconds, after[0] - before[0], after[1] - before[1], after[2] - before[2])

    def _trigger_singly(self, producer: int, count: int) -> None:
        from rules.trigger_requests import TriggerRequest
        from tasks.intake.single_triggers import accept_single

        for number in range(count):
            name = f"single-{self.accepted}-{producer}-{number}"
            person = {"external_id": name, "first_name": "Ada", "email": f"{name}@example.com"}
            accept_single(self.workspace_id, TriggerRequest("benchmark.started", None, person, {}), "api", 200)

    def count_open_executions(self) -> int:
        # Reads one counter row: counting the executions would add to Beckon's cost.
        return self.accepted - int(self.fetch_value("select executions from automations"))


def main(rounds: int = 5, executions: int = 2_000, latency_seconds: int = 20) -> int:
    """Measure and print. Returns 1 if a limit is missed."""
    with run_servers() as servers:
        prepare(
            servers, PRODUCERS + 4, BECKON_IO_THREADS=str(THREADS), PLAIN_DATABASE_URL=servers.database_url,
            PLAIN_REDIS_URL=servers.redis_url.replace("db=0", "db=8"), PLAIN_SANDBOX_URL=servers.sandbox_url,
        )  # fmt: skip
        bench = Bench(servers)
        contestants = _build_contestants(bench)
        try:
            show(f"{PROCESSES} processes of {THREADS} threads, {describe_machine()}")
            for number in range(rounds + 1):
                for contestant in contestants:
                    result = bench.run_round(contestant, executions if number else executions // 3)
                    # The first round is the warm-up.
                    contestant.rounds += [result] * (number > 0)
                show(
                    f"round {number}: "
                    + ", ".join(
                        f"{contestant.name} {contestant.rounds[-1].executions / contestant.rounds[-1].seconds:.0f}/s"
                        for contestant in contestants
                        if contestant.rounds
                    )
                )
            latencies = {
                contestant.name: measure_latency(bench, contestant, latency_seconds)
                for contestant in contestants
                if contestant.name in ("plain", "beckon")
            }
            beckon = next(contestant for contestant in contestants if contestant.name == "beckon")
            singles = [bench.run_singles(beckon, executions) for _ in range(3)][1:]
        finally:
            for contestant in contestants:
                contestant.signal(signal.SIGKILL)
                for process in contestant.processes:
                    process.wait()
        return _report({contestant.name: contestant for contestant in contestants}, latencies, singles)


def _build_contestants(bench: Bench) -> list[Contestant]:
    bench.redis = redis.Redis.from_url(os.environ["PLAIN_REDIS_URL"])
    bench.create_plain_tables()
    bench.create_beckon_workspace()
    worker = [sys.executable, str(ROOT / "benchmarks" / "baseline_actor.py"), str(THREADS)]
    plain = [start_program(worker, bench.servers, f"plain-{number}") for number in range(PROCESSES)]
    beckon = start_engine(bench.servers, PROCESSES)
    contestants = [
        Contestant("nothing", plain, bench.build_actor_fill("nothing"), bench.count_plain_messages),
        Contestant("plain", plain, bench.fill_plain, bench.count_plain_messages),
        Contestant("bare", plain, bench.build_actor_fill("bare"), bench.count_plain_messages),
        Contestant("beckon", beckon, bench.fill_beckon, bench.count_open_executions),
    ]
    # Each process must have started consuming before it is paused.
    for contestant in contestants:
        contestant.fill(PROCESSES * THREADS)
        while contestant.count_open():
            time.sleep(0.05)
    for contestant in contestants:
        contestant.signal(signal.SIGSTOP)
    return contestants


def measure_latency(bench: Bench, contestant: Contestant, seconds: int) -> list[float]:
    """Measure the milliseconds from the trigger to the provider's call, at a steady rate."""
    first = bench.numbers + 1
    requested_at: dict[str, float] = {}
    with contestant.resume():
        began = time.monotonic()
        for number in range(RATE * seconds):
            time.sleep(max(0.0, began + number / RATE - time.monotonic()))
            requested_at[f"{contestant.name}{first + number}@example.com"] = time.time()
            contestant.fill(1)
        while contestant.count_open():
            time.sleep(0.05)
    response = urllib3.request("GET", f"{bench.servers.sandbox_url}/_sandbox/messages?provider=mailgun")
    return [
        (_parse_time(message["at"]) - requested_at[message["to"]]) * 1000
        for message in response.json()["messages"] if message["to"] in requested_at
    ]  # fmt: skip


def _parse_time(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


def _report(contestants: dict[str, Contestant], latencies: dict[str, list[float]], singles: list[Round]) -> int:
    titles = {"nothing": "(a) an actor that does nothing", "plain": "(b) an actor, commit per step",
             "bare": "(b') an actor, no database", "beckon": "(c) Beckon"}  # fmt: skip
    plain, beckon = contestants["plain"].rounds, contestants["beckon"].rounds
    lines = []
    for name, title in titles.items():
        rounds = contestants[name].rounds
        times = latencies.get(name)
        lines.append([
            title,
            f"{median(round_.executions / round_.seconds for round_ in rounds):.0f}",
            f"{median(round_.processor / round_.executions * 1000 for round_ in rounds):.2f}",
            f"{median(round_.commits / round_.executions for round_ in rounds):.2f}",
            f"{median(round_.commands / round_.executions for round_ in rounds):.1f}",
            *((f"{percentile(times, 0.5):.0f}", f"{percentile(times, 0.99):.0f}") if times else ("", "")),
        ])  # fmt: skip
    show()
    show_table(
        ("", "executions/s", "CPU s per 1,000", "commits each", "Redis commands each", "p50 ms", "p99 ms"), lines
    )
    faster = sorted(b.seconds / c.seconds for b, c in zip(plain, beckon, strict=True))
    cheaper = median(c.processor / b.processor for b, c in zip(plain, beckon, strict=True))
    rate = median(round_.executions / round_.seconds for round_ in singles)
    cost = median(round_.processor / round_.executions * 1000 for round_ in singles)
    p50, p99 = percentile(latencies["beckon"], 0.5), percentile(latencies["beckon"], 0.99)
    show()
    verdicts = (
        (
            f"(c)/(b) executions/s {median(faster):.2f} ({faster[0]:.2f} to {faster[-1]:.2f}), at least {MIN_RATIO:g}",
            median(faster) >= MIN_RATIO,
        ),
        (f"(c)/(b) processor time {cheaper:.2f}, at most {MAX_PROCESSOR_RATIO:g}", cheaper <= MAX_PROCESSOR_RATIO),
        (f"p50 {p50:.1f} ms, under {MAX_P50_MS:g}", p50 < MAX_P50_MS),
        (f"p99 {p99:.1f} ms, under {MAX_P99_MS:g}", p99 < MAX_P99_MS),
        (f"one trigger at a time {rate:.0f} executions/s, at least {MIN_SINGLES}", rate >= MIN_SINGLES),
        (
            f"one trigger at a time {cost:.2f} CPU s per 1,000, at most {MAX_SINGLES_PROCESSOR:g}",
            cost <= MAX_SINGLES_PROCESSOR,
        ),
    )
    for text, met in verdicts:
        show(f"{'met   ' if met else 'MISSED'}  {text}")
    return int(not all(met for _, met in verdicts))


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
