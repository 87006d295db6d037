"""Single triggers accepted a second, beside a Flask view that validates the same body and commits one row.

A complete copy of Beckon runs, and the view (`benchmarks/committing_view.py`) under the same gunicorn on the same
PostgreSQL, in turns. Each trigger has its own contact and idempotency key. With no match and with one automation that
matches, on 8 and 32 kept-alive connections; then one client in sequence. The workers run, and take their part of the
machine where an automation matches. Fails under `MIN_SHARES` of the view.
Run: `python benchmarks/trigger_rates.py`.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from measurements import describe_machine, median, read_processor_seconds, show, show_table
from running_copy import ROOT, Copy, free_port, run_copy
from tracking import send_all
from triggers import HELLO

ROUNDS, SECONDS = 3, 2.0
VIEW, NO_MATCH, ONE_MATCH = "view that commits one row", "no automation matches", "one matches"
TYPES = {VIEW: "nobody.listens", NO_MATCH: "nobody.listens", ONE_MATCH: "benchmark.started"}
CONNECTIONS = (1, 8, 32)
MIN_SHARES = {NO_MATCH: 0.6, ONE_MATCH: 0.45}


def main() -> int:
    """Measure and print. Returns 1 if a share is missed."""
    with run_copy(BECKON_TRIGGER_RATE="1000000", BECKON_TRIGGER_BURST="1000000") as copy, _run_view(copy) as view:
        copy.publish_only_automation("Benchmark", HELLO)
        servers = {VIEW: view, **dict.fromkeys((NO_MATCH, ONE_MATCH), _find_dashboard(copy))}
        measured = {
            (connections, name): median_of([_measure(copy, name, *servers[name], connections) for _ in range(ROUNDS)])
            for connections in CONNECTIONS
            for name in servers
        }
    show(describe_machine())
    show_table(
        ("connections", "accepted a second", "of the view", "CPU ms each"),
        [
            [f"{connections}, {name}", f"{rate:,.0f}", f"{rate / measured[connections, VIEW][0]:.2f}", f"{cpu_ms:.2f}"]
            for (connections, name), (rate, cpu_ms) in measured.items()
        ],
    )
    missed = [
        (connections, name)
        for connections in CONNECTIONS[1:]
        for name, share in MIN_SHARES.items()
        if measured[connections, name][0] < share * measured[connections, VIEW][0]
    ]
    show(f"missed: {missed}" if missed else "each share is reached")
    return int(bool(missed))


def median_of(results: list[tuple[float, float]]) -> tuple[float, float]:
    """The medians of rates and of processor times."""
    return median([rate for rate, _ in results]), median([cpu_ms for _, cpu_ms in results])


def _find_dashboard(copy: Copy) -> tuple[str, int]:
    return copy.access["url"], copy.list_programs()["dashboard"]


def _measure(copy: Copy, name: str, url: str, pid: int, connections: int) -> tuple[float, float]:
    """Measure accepted triggers a second and the web process's milliseconds of processor time for each."""
    command = [sys.executable, __file__, "client", url, copy.access["apiKey"], TYPES[name], str(connections)]
    before = read_processor_seconds(pid)
    completed = subprocess.run(command, capture_output=True, text=True, check=True)
    count, seconds = json.loads(completed.stdout)
    return count / seconds, (read_processor_seconds(pid) - before) / count * 1000


@contextlib.contextmanager
def _run_view(copy: Copy) -> Iterator[tuple[str, int]]:
    port = free_port()
    command = [
        *(sys.executable, "-m", "gunicorn.app.wsgiapp", "committing_view:create_app()"),
        *("--worker-class", "gevent", "--workers", "1", "--worker-connections", "5000"),
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
    headers = f"Host: {urlsplit(url).netloc}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
    run_id, numbers = time.time_ns(), itertools.count()
    began = time.monotonic()

    def build() -> bytes | None:
        if time.monotonic() >= began + SECONDS:
            return None
        name = f"{run_id}-{next(numbers)}"
        contact = {"externalId": name, "firstName": "Ada", "email": f"{name}@example.com"}
        trigger = {"type": trigger_type, "contact": contact, "payload": {"plan": "pro"}, "idempotencyKey": name}
        body = json.dumps(trigger)
        return f"POST /api/triggers HTTP/1.1\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}".encode()

    count = send_all(url, build, connections)
    sys.stdout.write(json.dumps([count, time.monotonic() - began]))


if __name__ == "__main__":
    if sys.argv[1:2] == ["client"]:
        client(*sys.argv[2:5], int(sys.argv[5]))
    else:
        sys.exit(main())
