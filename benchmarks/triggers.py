"""Response time of `POST /api/triggers` at 50 a second, compared with `GET /healthz` at the same rate in the same run.

A complete copy of Beckon runs, and its workers run the executions that the triggers start. A client in a separate
process keeps four connections open and sends at fixed times, so that a slow response does not delay the next request.
Response times count from the time at which the request was due. Fails at 25 ms or more at p95.
Run: `python benchmarks/triggers.py [seconds]`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from measurements import describe_machine, percentile, show, show_table
from running_copy import run_copy

RATE, WARM_UP_SECONDS = 50, 5
CONNECTIONS = 4
LIMIT_MS = 25.0

HELLO = {
    "trigger": {"type": "benchmark.started"},
    "steps": [
        {"id": "hello", "action": "send_email", "with": {"subject": "Hello", "body": "Hi {{ contact.first_name }}"}}
    ],
}


def main(seconds: int = 20) -> int:
    """Measure and print. Returns 1 if the limit is missed."""
    with run_copy() as copy:
        copy.publish_only_automation("Benchmark", HELLO)
        measured = {}
        for name in ("GET /healthz", "POST /api/triggers"):
            command = [
                sys.executable,
                __file__,
                "client",
                copy.access["url"],
                copy.access["apiKey"],
                name,
                str(seconds),
            ]
            completed = subprocess.run(command, capture_output=True, text=True, check=True)
            measured[name] = json.loads(completed.stdout)
    show(f"{RATE} requests a second for {seconds} s, {describe_machine()}")
    show_table(
        ("ms", "p50", "p95", "p99", "refused"),
        [[name, *(f"{percentile(result['ms'], fraction):.1f}" for fraction in (0.5, 0.95, 0.99)), result["refused"]]
         for name, result in measured.items()],
    )  # fmt: skip
    triggers, baseline = (percentile(measured[name]["ms"], 0.95) for name in ("POST /api/triggers", "GET /healthz"))
    met = triggers < LIMIT_MS and not measured["POST /api/triggers"]["refused"]
    verdict = "under" if met else "NOT UNDER"
    show(f"p95 is {triggers / baseline:.1f} times that of /healthz, and {verdict} {LIMIT_MS:g} ms")
    return int(not met)


def client(url: str, key: str, name: str, seconds: int) -> None:
    """Run the client process: send the requests, and print every response time in ms."""
    ms: list[float] = []
    refused: list[int] = []
    began = time.monotonic() + 0.2
    threads = [
        threading.Thread(target=_send_on_time, args=(url, key, name, seconds, lane, began, ms, refused))
        for lane in range(CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.stdout.write(json.dumps({"ms": ms, "refused": len(refused)}))


def _send_on_time(
    url: str, key: str, name: str, seconds: int, lane: int, began: float, ms: list[float], refused: list[int]
) -> None:
    method, path = name.split()
    connection = HTTPConnection(urlsplit(url).netloc, timeout=10)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    for number in range(lane, RATE * (WARM_UP_SECONDS + seconds), CONNECTIONS):
        due = began + number / RATE
        time.sleep(max(0.0, due - time.monotonic()))
        connection.request(method, path, json.dumps(_build_body(number)) if method == "POST" else None, headers)
        response = connection.getresponse()
        response.read()
        if number >= RATE * WARM_UP_SECONDS:
            ms.append((time.monotonic() - due) * 1000)
            refused += [response.status] * (response.status >= 300)


def _build_body(number: int) -> dict[str, Any]:
    contact = {"externalId": f"b-{number}", "firstName": "Ada", "email": f"b{number}@example.com"}
    return {
        "type": "benchmark.started",
        "contact": contact,
        "payload": {"number": number},
        "idempotencyKey": f"b-{number}",
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["client"]:
        client(*sys.argv[2:5], int(sys.argv[5]))
    else:
        sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
