"""Single triggers accepted a second, beside a Flask view that validates the same body and commits one row.

A complete copy of Beckon runs, and the view (`benchmarks/committing_view.py`) under the same gunicorn with as many
processes and on the same PostgreSQL, in turns. Each trigger has its own contact and idempotency key. On 8 and 32
kept-alive connections, and for one client in sequence, while the workers are stopped: with no match, and with one
automation that matches. Then, with the workers, which take their part of the machine: the rates with one match, and
response times at 20 a second. Fails under `MIN_SHARES` of the view and `MIN_IN_SEQUENCE`, and over `MAX_CPU_MS` and
`MAX_P50_MS`.
Run: `python benchmarks/trigger_rates.py [connections …]`; with numbers of connections only those, with stopped workers.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import urlsplit

import psycopg2
from measurements import describe_machine, median, percentile, read_processor_seconds, show, show_table
from running_copy import ROOT, Copy, free_port, run_copy
from tracking import send_all
from triggers import HELLO

ROUNDS, SECONDS = 3, 2.0
WEB_PROCESSES = 2
VIEW, NO_MATCH = "view that commits one row", "no automation matches"
ONE_MATCH, ONE_MATCH_RUNNING = "one matches, workers stopped", "one matches, workers running"
TYPES = {VIEW: "nobody.listens", NO_MATCH: "nobody.listens", ONE_MATCH: "benchmark.started"}
TYPES[ONE_MATCH_RUNNING] = TYPES[ONE_MATCH]
CONNECTIONS = (1, 8, 32)
MIN_SHARES = {NO_MATCH: 0.6, ONE_MATCH: 0.45}
MIN_IN_SEQUENCE, MAX_CPU_MS = 500.0, 1.3
#: Triggers a second, and how many, of the response times.
PACE, PACED = 20, 200
MAX_P50_MS = 6.0

#: Accepted triggers a second, and milliseconds of the web processes' processor time for each.
Rate = tuple[float, float]


def main(only: Sequence[int]) -> int:
    """Measure and print. Returns 1 if a mark is missed."""
    limits = {"BECKON_TRIGGER_RATE": "1000000", "BECKON_TRIGGER_BURST": "1000000"}
    with run_copy(BECKON_WEB_WORKERS=str(WEB_PROCESSES), **limits) as copy, _run_view(copy) as view:
        copy.publish_only_automation("Benchmark", HELLO)
        own = _find_dashboard(copy)
        for url, _ in (view, own):
            # Until every process has started and knows its workspace.
            _run_client(copy, "client", url, TYPES[NO_MATCH], CONNECTIONS[-1])
        with _stopped_workers(copy):
            measured = _measure_all(copy, {VIEW: view, NO_MATCH: own, ONE_MATCH: own}, only or CONNECTIONS)
        running, paced_ms = ({}, []) if only else _measure_with_workers(copy, own)
    measured |= running
    show(describe_machine())
    show_table(
        ("connections", "accepted a second", "of the view", "CPU ms each"),
        [
            [f"{connections}, {name}", f"{rate:,.0f}", f"{rate / measured[connections, VIEW][0]:.2f}", f"{cpu_ms:.2f}"]
            for (connections, name), (rate, cpu_ms) in measured.items()
        ],
    )
    missed = [*_find_missed(measured), *(_judge_pace(paced_ms) if paced_ms else [])]
    show(f"missed: {', '.join(missed)}" if missed else "each mark is reached")
    return int(bool(missed))


def _measure_with_workers(copy: Copy, own: tuple[str, int]) -> tuple[dict[tuple[int, str], Rate], list[float]]:
    """Measure the rates while the workers process what is accepted, then the response times at a slow pace."""
    _await_idle(copy)
    rates = _measure_all(copy, {ONE_MATCH_RUNNING: own}, CONNECTIONS)
    _await_idle(copy)
    return rates, _run_client(copy, "pace", own[0], TYPES[ONE_MATCH], 1)


def _judge_pace(paced_ms: list[float]) -> list[str]:
    p50, p95 = percentile(paced_ms, 0.5), percentile(paced_ms, 0.95)
    show(f"at {PACE} a second: p50 {p50:.1f} ms, p95 {p95:.1f} ms")
    return [f"p50 under {MAX_P50_MS:g} ms"] if p50 >= MAX_P50_MS else []


def _find_missed(measured: dict[tuple[int, str], Rate]) -> list[str]:
    missed = []
    for connections in {connections for connections, _ in measured if connections > 1}:
        view_rate, _ = measured[connections, VIEW]
        for name, share in MIN_SHARES.items():
            rate, cpu_ms = measured[connections, name]
            missed += [f"{share} of the view ({connections}, {name})"] if rate < share * view_rate else []
            missed += [f"{MAX_CPU_MS} ms CPU ({connections}, {name})"] if cpu_ms > MAX_CPU_MS else []
    in_sequence = measured.get((1, NO_MATCH))
    return missed + ([f"{MIN_IN_SEQUENCE:g} in sequence"] if in_sequence and in_sequence[0] < MIN_IN_SEQUENCE else [])


def median_of(results: list[Rate]) -> Rate:
    """The medians of rates and of processor times."""
    return median([rate for rate, _ in results]), median([cpu_ms for _, cpu_ms in results])


def _find_dashboard(copy: Copy) -> tuple[str, int]:
    return copy.access["url"], copy.list_programs()["dashboard"]


def _measure_all(copy: Copy, servers: dict[str, tuple[str, int]], counts: Sequence[int]) -> dict[tuple[int, str], Rate]:
    """Measure the servers in turns, so that a slow moment of the machine meets all of them."""
    rates: dict[tuple[int, str], list[Rate]] = {(count, name): [] for count in counts for name in servers}
    for (connections, name), results in [*rates.items()] * ROUNDS:
        results.append(_measure(copy, name, *servers[name], connections))
    return {row: median_of(results) for row, results in rates.items()}


def _measure(copy: Copy, name: str, url: str, pid: int, connections: int) -> Rate:
    before = read_processor_seconds(pid)
    count, seconds = _run_client(copy, "client", url, TYPES[name], connections)
    return count / seconds, (read_processor_seconds(pid) - before) / count * 1000


def _run_client(copy: Copy, mode: str, url: str, trigger_type: str, connections: int) -> list[float]:
    command = [sys.executable, __file__, mode, url, copy.access["apiKey"], trigger_type, str(connections)]
    numbers: list[float] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return numbers


@contextlib.contextmanager
def _stopped_workers(copy: Copy) -> Iterator[None]:
    """Stop the engine and the scheduler during the block."""
    pids = [pid for name, pid in copy.list_programs().items() if name.startswith(("engine", "scheduler"))]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _await_idle(copy: Copy) -> None:
    """Wait until the workers have worked off what was accepted while they were stopped."""
    with contextlib.closing(psycopg2.connect(copy.access["databaseUrl"])) as owner, owner.cursor() as cursor:
        owner.autocommit = True
        while True:
            cursor.execute("select count(*) from executions where status in ('pending', 'running')")
            if cursor.fetchone() == (0,):
                return
            time.sleep(0.2)


@contextlib.contextmanager
def _run_view(copy: Copy) -> Iterator[tuple[str, int]]:
    with contextlib.closing(psycopg2.connect(copy.access["databaseUrl"])) as owner, owner, owner.cursor() as cursor:
        cursor.execute("create table view_rows (id uuid primary key, body jsonb)")
    port = free_port()
    command = [
        *(sys.executable, "-m", "gunicorn.app.wsgiapp", "committing_view:create_app()"),
        *("--worker-class", "gevent", "--workers", str(WEB_PROCESSES), "--worker-connections", "5000"),
        *("--bind", f"127.0.0.1:{port}", "--keep-alive", "30", "--log-level", "warning", "--no-control-socket"),
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{ROOT / 'benchmarks'}",
        "VIEW_DATABASE_URL": copy.access["databaseUrl"],
    }
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        _wait_until_open(port)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait(10)


def _wait_until_open(port: int, timeout: float = 20.0) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise RuntimeError("the view does not answer")


def client(url: str, key: str, trigger_type: str, connections: int) -> None:
    """Run the client process: send until the time is over; print how many were accepted, and in how many seconds."""
    build = _build_requests(url, key, trigger_type)
    began = time.monotonic()
    count = send_all(url, lambda: build() if time.monotonic() < began + SECONDS else None, connections)
    sys.stdout.write(json.dumps([count, time.monotonic() - began]))


def pace(url: str, key: str, trigger_type: str) -> None:
    """Run the client process: send at fixed times; print the milliseconds from the time at which each was due."""
    build, ms = _build_requests(url, key, trigger_type), list[float]()
    began = time.monotonic() + 0.2
    due = began

    def build_when_due() -> bytes | None:
        nonlocal due
        if due > began:
            ms.append((time.monotonic() - due) * 1000)
        if len(ms) == PACED:
            return None
        due = began + (len(ms) + 1) / PACE
        time.sleep(max(0.0, due - time.monotonic()))
        return build()

    send_all(url, build_when_due, 1)
    sys.stdout.write(json.dumps(ms))


def _build_requests(url: str, key: str, trigger_type: str) -> Callable[[], bytes]:
    """Build a function that builds requests, each with a contact and a key of its own."""
    headers = f"Host: {urlsplit(url).netloc}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
    run_id, numbers = time.time_ns(), itertools.count()

    def build() -> bytes:
        name = f"{run_id}-{next(numbers)}"
        contact = {"externalId": name, "firstName": "Ada", "email": f"{name}@example.com"}
        trigger = {"type": trigger_type, "contact": contact, "payload": {"plan": "pro"}, "idempotencyKey": name}
        body = json.dumps(trigger)
        return f"POST /api/triggers HTTP/1.1\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}".encode()

    return build


if __name__ == "__main__":
    if sys.argv[1:2] == ["client"]:
        client(*sys.argv[2:5], int(sys.argv[5]))
    elif sys.argv[1:2] == ["pace"]:
        pace(*sys.argv[2:5])
    else:
        sys.exit(main([int(argument) for argument in sys.argv[1:]]))
