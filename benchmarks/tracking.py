"""Throughput of execution tracking: batches until their rows are there, and single calls beside a validating view.

A complete copy of Beckon runs with its usual limits, and a client in a process of its own keeps its connections open.
*Batches*: bodies of 500 executions with 3 actions each on four connections; the time ends when the automation's counter
has all of them. *Single calls* on eight connections, in turns with a Flask view (`benchmarks/validating_view.py`) that
runs under the same gunicorn and validates the same body.

Fails under 5,000 executions a second in batches, or if single calls reach less than a third of the view's rate.
Run: `python benchmarks/tracking.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import psycopg2
from measurements import describe_machine, median, read_processor_seconds, show, show_table
from running_copy import ROOT, Copy, free_port, run_copy

BATCHES, BATCH_SIZE, BATCH_CONNECTIONS = 120, 500, 4
CONNECTIONS, ROUNDS, SECONDS = 8, 3, 3.0
MIN_RATE, MIN_SHARE = 5_000.0, 1 / 3
VIEW, SINGLE = "view that only validates", "POST /api/track-execution"
PLAYBOOK = {
    "trigger": {"type": "page", "with": {"url": "/pricing*"}},
    "steps": [{"id": "headline", "action": "replace_text", "with": {"selector": ".hero-title", "text": "Hello"}}],
}
ACTIONS = [
    {"name": "Replace Text", "selector": ".hero-title", "executionTimeMs": 45, "config": {"newText": "Special Offer!"}},
    {"name": "Show", "selector": "#banner", "executionTimeMs": 3},
    {"name": "Set Style", "selector": ".button", "executionTimeMs": 2, "config": {"color": "red"}},
]


def main() -> int:
    """Measure and print. Returns 1 if a limit is missed."""
    with run_copy() as copy, _run_view() as view_url:
        automation_id = _publish(copy)
        batches, cpu = _measure_batches(copy, automation_id)
        rates = _measure_single_calls(copy, view_url, automation_id)
    show(describe_machine())
    show(f"batches: {batches:,.0f} executions a second until their rows are there, {_judge(batches >= MIN_RATE)} "
         f"{MIN_RATE:,.0f}")  # fmt: skip
    show_table(
        ("program", "us per execution"),
        [[name, f"{seconds * 1e6 / (BATCHES * BATCH_SIZE):.0f}"] for name, seconds in cpu],
    )
    show_table(
        ("calls a second", "p50", "all"),
        [
            [name, f"{median(values):,.0f}", " ".join(f"{value:,.0f}" for value in values)]
            for name, values in rates.items()
        ],
    )
    share = median(rates[SINGLE]) / median(rates[VIEW])
    show(f"single calls reach {share:.2f} of the view, {_judge(share >= MIN_SHARE)} {MIN_SHARE:.2f}")
    return int(batches < MIN_RATE or share < MIN_SHARE)


def _judge(is_met: bool) -> str:
    return "not under" if is_met else "UNDER"


def _publish(copy: Copy) -> str:
    base = f"/api/workspaces/{copy.access['workspaceId']}/automations"
    body = {"name": "Benchmark", "type": "playbook", "enabled": True, "definition": PLAYBOOK}
    return str(copy.call("POST", base, body)["automation"]["id"])


def _measure_batches(copy: Copy, automation_id: str) -> tuple[float, list[tuple[str, float]]]:
    """Measure executions a second until all are recorded, and each program's processor time."""
    with contextlib.closing(psycopg2.connect(copy.access["databaseUrl"])) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor, _start_client("batch", copy.access["url"], copy, automation_id) as client:
            # The client has built its bodies, and waits.
            assert client.stdout is not None
            client.stdout.readline()
            programs = copy.list_programs()
            before = {name: read_processor_seconds(pid) for name, pid in programs.items()}
            began = time.monotonic()
            client.communicate("start\n")
            while _count(cursor, automation_id) < BATCHES * BATCH_SIZE:
                time.sleep(0.02)
            seconds = time.monotonic() - began
    used = [(name, read_processor_seconds(pid) - before[name]) for name, pid in programs.items()]
    return BATCHES * BATCH_SIZE / seconds, sorted(used, key=lambda entry: -entry[1])[:6]


def _count(cursor: Any, automation_id: str) -> int:
    cursor.execute("select executions from automations where id = %s", (automation_id,))
    return int(cursor.fetchone()[0])


def _measure_single_calls(copy: Copy, view_url: str, automation_id: str) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {VIEW: [], SINGLE: []}
    for _ in range(ROUNDS):
        for name, url in ((VIEW, view_url), (SINGLE, copy.access["url"])):
            with _start_client("single", url, copy, automation_id) as client:
                output, _ = client.communicate("start\n")
                rates[name].append(float(output.splitlines()[-1]))
    return rates


@contextlib.contextmanager
def _run_view() -> Iterator[str]:
    """Run the validating view as the dashboard runs; yields its URL."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "gunicorn.app.wsgiapp", "validating_view:create_app()"),
        *("--worker-class", "gevent", "--workers", "1", "--worker-connections", "5000"),
        *("--bind", f"127.0.0.1:{port}", "--keep-alive", "30", "--log-level", "warning", "--no-control-socket"),
    ]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'benchmarks'}"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _start_client(mode: str, url: str, copy: Copy, automation_id: str) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "client", mode, url, copy.access["apiKey"], automation_id]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def client(mode: str, url: str, key: str, automation_id: str) -> None:
    """Run the client: prepare, wait for a line, send, and print the requests a second."""
    build = Requests(url, key, automation_id)
    batches = [build.batch() for _ in range(BATCHES)] if mode == "batch" else []
    stop_at = 0.0

    def next_request() -> bytes | None:
        if mode == "batch":
            return batches.pop() if batches else None
        return build.single() if time.monotonic() < stop_at else None

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    began = time.monotonic()
    stop_at = began + SECONDS
    count = send_all(url, next_request, BATCH_CONNECTIONS if mode == "batch" else CONNECTIONS)
    sys.stdout.write(f"{count / (time.monotonic() - began)}\n")


class Requests:
    """Builds requests with new execution ids, as bytes."""

    def __init__(self, url: str, key: str, automation_id: str) -> None:
        self._headers = (
            f"Host: {urlsplit(url).netloc}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        )
        execution = {
            "executionId": "PLACE-OF-THE-ID", "workflowId": automation_id, "userId": "user-456", "status": "success",
            "executionTimeMs": 250, "pageUrl": "https://example.com/pricing?utm_source=newsletter",
            "sessionId": "session-123", "deviceType": "desktop", "triggerName": "UTM Parameters", "actions": ACTIONS,
        }  # fmt: skip
        self._parts = json.dumps(execution).split("PLACE-OF-THE-ID")

    def single(self) -> bytes:
        """Build a single call."""
        return self._build("/api/track-execution", self._execution())

    def batch(self) -> bytes:
        """Build a batch."""
        executions = ",".join(self._execution() for _ in range(BATCH_SIZE))
        return self._build("/api/track-executions", f'{{"executions":[{executions}]}}')

    def _execution(self) -> str:
        return str(uuid.uuid4()).join(self._parts)

    def _build(self, path: str, body: str) -> bytes:
        return f"POST {path} HTTP/1.1\r\n{self._headers}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def send_all(url: str, next_request: Callable[[], bytes | None], connections: int) -> int:
    """Send requests on kept-alive connections until there are no more; return how many. Raises for a refused one."""
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(_send(url, next_request))) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(counts) < connections:
        raise RuntimeError("a request was refused")
    return sum(counts)


def _send(url: str, next_request: Callable[[], bytes | None]) -> int:
    parts = urlsplit(url)
    count = 0
    with socket.create_connection((parts.hostname or "", parts.port or 80)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while (request := next_request()) is not None:
            connection.sendall(request)
            _read_response(connection)
            count += 1
    return count


def _read_response(connection: socket.socket) -> None:
    received = b""
    while b"\r\n\r\n" not in received:
        received += _receive(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    if not head.startswith((b"HTTP/1.1 201", b"HTTP/1.1 202")):
        raise RuntimeError(received[:500].decode(errors="replace"))
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    missing = length - len(body)
    while missing > 0:
        missing -= len(_receive(connection))


def _receive(connection: socket.socket) -> bytes:
    received = connection.recv(65536)
    if not received:
        raise RuntimeError("the server closed the connection")
    return received


def run(arguments: Sequence[str]) -> int:
    """Run the benchmark, or its client."""
    if arguments[:1] == ["client"]:
        client(*arguments[1:5])
        return 0
    return main()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
