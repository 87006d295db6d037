"""What a request costs in processor time, by HTTP client: the reason why `providers.wire` stands on urllib3.

Each client posts the same small JSON over kept-alive connections from one thread to the sandbox, which runs in another
process so that its own cost is not counted. Run: `python -m benchmarks.http_clients`. Measured on two shared cores of
a small virtual machine, CPython 3.11, as microseconds of processor time a request:

    http.client (bare)      64 us
    urllib3 2.8 (pooled)   161 us
    providers.wire         179 us
    httpx                  not installed there; where it is, it is measured as well

The ratios in one run are the claim, the figures only an example: `providers.wire` may cost at most twice what urllib3
does by itself, and `main` fails if it costs more.
"""

from __future__ import annotations

import http.client
import importlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import urllib3

from providers import wire

REQUESTS = 3000
BODY = b'{"text": "hello"}'
PATH = "/services/T0/B0/benchmark"
HEADERS = {"Content-Type": "application/json"}


def cost_us(once: Callable[[], object], requests: int = REQUESTS) -> float:
    """Microseconds of this process's processor time for one call, after a warm-up."""
    for _ in range(100):
        once()
    began = time.process_time()
    for _ in range(requests):
        once()
    return (time.process_time() - began) / requests * 1e6


def clients(url: str) -> dict[str, Callable[[], object]]:
    """Every client that is installed, each as one request."""
    bare = http.client.HTTPConnection(urlsplit(url).netloc)
    pool = urllib3.PoolManager(retries=False)
    call = wire.Call(label="benchmark", method="POST", url=url + PATH, headers=HEADERS, body=BODY, effect=True)

    def by_hand() -> bytes:
        bare.request("POST", PATH, BODY, HEADERS)
        return bare.getresponse().read()

    found: dict[str, Callable[[], object]] = {
        "http.client (bare)": by_hand,
        "urllib3 (pooled)": lambda: pool.request("POST", url + PATH, body=BODY, headers=HEADERS, timeout=10.0).data,
        "providers.wire": lambda: wire.exchange(call),
    }
    try:
        httpx = importlib.import_module("httpx")
    except ImportError:
        return found
    session = httpx.Client()
    found["httpx"] = lambda: session.post(url + PATH, content=BODY, headers=HEADERS).content
    return found


def main() -> int:
    """Measure, print, and answer 1 if `providers.wire` costs more than twice what urllib3 does."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = f"from sandbox.server import serve; serve({port}, '', {{}})"
    server = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    try:
        _wait_for(port)
        costs = {name: cost_us(once) for name, once in clients(f"http://127.0.0.1:{port}").items()}
    finally:
        server.terminate()
        server.wait(10)
    for name, cost in costs.items():
        sys.stdout.write(f"{name:22} {cost:7.0f} us  {cost / costs['urllib3 (pooled)']:.2f}\n")
    return int(costs["providers.wire"] > 2 * costs["urllib3 (pooled)"])


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
