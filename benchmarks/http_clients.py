"""Processor time of a request by HTTP client: the reason why `providers.http_client` is our own.

Each client posts the same small JSON over kept-alive connections from one thread to the sandbox, which runs in another
process so that its cost is not counted. Run: `python benchmarks/http_clients.py`. Measured on 2026-11-30 on two shared
cores of a small virtual machine, CPython 3.11, in microseconds of processor time per request, the middle of three runs:

    http.client (bare)          102 us
    providers.http_client        91 us
    httpcore 1 (if installed)   201 us
    urllib3 2 (pooled)          216 us
    httpx 0.28 (if installed)   353 us

Only the ratios within one run count. Ours stays while each of the others costs at least 1.5 times as much, and `main`
fails if one costs less.
"""

from __future__ import annotations

import http.client
import importlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import urllib3

from providers import http_client

REQUESTS = 3000
OURS = "providers.http_client"
#: How many times as much each library's client must cost.
MIN_GAIN = 1.5
BODY = b'{"text": "hello"}'
PATH = "/services/T0/B0/benchmark"
HEADERS = {"Content-Type": "application/json"}


def measure_cost_us(send: Callable[[], object], requests: int = REQUESTS) -> float:
    """Measure the microseconds of this process's processor time for one call, after a warm-up."""
    for _ in range(100):
        send()
    began = time.process_time()
    for _ in range(requests):
        send()
    return (time.process_time() - began) / requests * 1e6


def build_clients(url: str) -> dict[str, Callable[[], object]]:
    """Build one request function for each installed client, by the client's name."""
    bare = http.client.HTTPConnection(urlsplit(url).netloc)
    pool = urllib3.PoolManager(retries=False)
    call = http_client.Call(label="benchmark", method="POST", url=url + PATH, headers=HEADERS, body=BODY, effect=True)

    def send_bare() -> bytes:
        bare.request("POST", PATH, BODY, HEADERS)
        return bare.getresponse().read()

    senders: dict[str, Callable[[], object]] = {
        "http.client (bare)": send_bare,
        "urllib3 (pooled)": lambda: pool.request("POST", url + PATH, body=BODY, headers=HEADERS, timeout=10.0).data,
        OURS: lambda: http_client.send_request(call),
    }
    httpx = _import_if_installed("httpx")
    if httpx is not None:
        session = httpx.Client()
        senders["httpx"] = lambda: session.post(url + PATH, content=BODY, headers=HEADERS).content
    httpcore = _import_if_installed("httpcore")
    if httpcore is not None:
        core = httpcore.ConnectionPool()
        senders["httpcore"] = lambda: core.request("POST", url + PATH, content=BODY, headers=HEADERS).content
    return senders


def _import_if_installed(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def main() -> int:
    """Measure and print. Returns 1 if a library's client costs less than `MIN_GAIN` times as much as ours."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    program = f"from sandbox.server import serve; serve({port}, '', {{}})"
    server = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    try:
        _wait_for(port)
        costs = {name: measure_cost_us(send) for name, send in build_clients(f"http://127.0.0.1:{port}").items()}
    finally:
        server.terminate()
        server.wait(10)
    for name, cost in costs.items():
        sys.stdout.write(f"{name:22} {cost:7.0f} us  {cost / costs[OURS]:.2f}\n")
    gain = min(costs[name] for name in ("urllib3 (pooled)", "httpx", "httpcore") if name in costs) / costs[OURS]
    sys.stdout.write(
        f"{'met   ' if gain >= MIN_GAIN else 'MISSED'}  the cheapest library costs {gain:.2f} times as much\n"
    )
    return int(gain < MIN_GAIN)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.02)
    raise TimeoutError("the sandbox did not start")


if __name__ == "__main__":
    sys.exit(main())
