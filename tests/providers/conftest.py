"""Fixtures of the provider tests: one sandbox per session, cleared for each test, and the official specs if present."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from providers import retries
from sandbox.server import RunningSandbox, run_sandbox

SPECS = Path(os.environ.get("TEST_SPECS") or Path(__file__).parents[3] / "shared" / "specs")


@pytest.fixture(scope="session")
def _shared_sandbox() -> Iterator[RunningSandbox]:
    with run_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(_shared_sandbox: RunningSandbox) -> RunningSandbox:
    """An empty sandbox."""
    _shared_sandbox.clear()
    return _shared_sandbox


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the delays between attempts to a hundredth."""
    monkeypatch.setattr(retries, "FIRST_BACKOFF_SECONDS", 0.002)
    monkeypatch.setattr(retries, "BACKOFF_JITTER_SECONDS", 0.003)


@pytest.fixture(scope="session")
def specs() -> Path:
    """The folder of the providers' own specifications and samples."""
    if not SPECS.is_dir():
        pytest.skip(f"the providers' specifications are not at {SPECS}; set TEST_SPECS to their folder")
    return SPECS


@pytest.fixture(scope="session")
def sample(specs: Path) -> Any:
    """Read a sample by its path, as JSON."""

    def read(name: str) -> Any:
        return json.loads((specs / "samples" / name).read_text())

    return read


@dataclass
class ScriptedServer:
    """A server that runs one script per connection, in order, and records the requests."""

    url: str = ""
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    #: Set when a connection's script has ended and the connection is closed.
    done: threading.Event = field(default_factory=threading.Event)

    def read(self, sock: socket.socket) -> bytes:
        """Read one whole request, or a part if the client disconnects."""
        request = b""
        while b"\r\n\r\n" not in request and (piece := sock.recv(65536)):
            request += piece
        head, _, body = request.partition(b"\r\n\r\n")
        lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
        while lengths and len(body) < int(lengths[0]) and (piece := sock.recv(65536)):
            body += piece
        self.requests.append(head + b"\r\n\r\n" + body)
        return self.requests[-1]


Script = Callable[[ScriptedServer, socket.socket], None]


@pytest.fixture
def scripted_server() -> Iterator[Callable[..., ScriptedServer]]:
    """Start a server with one script for each expected connection."""
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(*scripts: Script) -> ScriptedServer:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        server = ScriptedServer(f"http://127.0.0.1:{listener.getsockname()[1]}")

        def run() -> None:
            for script in scripts:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                server.connections += 1
                with sock, contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    sock.settimeout(10)
                    script(server, sock)
                server.done.set()

        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()
        return server

    yield start
    for listener in listeners:
        # `close` alone does not wake a thread that waits in `accept`.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for thread in threads:
        thread.join(10)
