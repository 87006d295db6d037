"""The dashboard on a port, with faults on demand between it and the clients, and a key of Alice's workspace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import flask
import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

import settings
from beckon_client import Client
from models.database import acting_as
from models.queries import fetch_value
from tests.dashboard.conftest import alice, app, client, config, workspaces
from tests.dashboard.producers import Producer

__all__ = ["alice", "app", "client", "config", "workspaces"]

Environ = dict[str, Any]
Fault = Callable[[Environ, Any, Any], Iterable[bytes]]


def respond(status: str, body: Any = None, **headers: str) -> Fault:
    """A fault that answers in the dashboard's place, without asking it."""

    def apply(environ: Environ, start_response: Any, app: Any) -> Iterable[bytes]:
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        names = [(name.replace("_", "-"), value) for name, value in headers.items()]
        start_response(status, [("Content-Type", "application/problem+json"), *names])
        return [json.dumps(body or {"detail": "A fault of the tests."}).encode()]

    return apply


def lose_answer(environ: Environ, start_response: Any, app: Any) -> Iterable[bytes]:
    """The dashboard accepts the request, and the connection breaks before its answer arrives."""
    list(app(environ, lambda *_: None))
    start_response("202 Accepted", [("Content-Length", "1000000"), ("Connection", "close")])
    return [b"{"]


def _ask_dashboard(environ: Environ, start_response: Any, app: Any) -> Iterable[bytes]:
    with closing(app(environ, start_response)) as answer:
        return list(answer)


@dataclass
class Service:
    """The dashboard as its clients reach it. `faults` are used up by the next requests, in order."""

    app: flask.Flask
    url: str = ""
    faults: list[Fault] = field(default_factory=list)
    #: The path of every request.
    paths: list[str] = field(default_factory=list)
    #: While it is clear, requests wait.
    gate: threading.Event = field(default_factory=threading.Event)
    port: int = 0
    #: Requests that are being answered. The dashboard may be asked for none after the end of a test.
    _active: int = 0
    _is_stopped: bool = False
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def start(self) -> None:
        """Listen: at first on any free port, later on the same."""
        self._is_stopped = False
        self._server = make_server("127.0.0.1", self.port, self, threaded=True, request_handler=_QuietHandler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Refuse connections, and wait for the requests that are being answered."""
        self._is_stopped = True
        self.gate.set()
        with self._changed:
            assert self._changed.wait_for(lambda: not self._active, 30)
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        with self._changed:
            self._active += 1
        try:
            self.gate.wait(30)
            return list(self._choose_answer(environ)(environ, start_response, self.app))
        finally:
            with self._changed:
                self._active -= 1
                self._changed.notify_all()

    def _choose_answer(self, environ: Environ) -> Fault:
        if self._is_stopped:
            return respond("503 Stopped")
        self.paths.append(environ["PATH_INFO"])
        return self.faults.pop(0) if self.faults else _ask_dashboard


class _QuietHandler(WSGIRequestHandler):
    """Keeps connections open between requests."""

    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:
        """Print nothing."""


@pytest.fixture
def service(app: flask.Flask) -> Iterator[Service]:
    """The dashboard on a port of this process."""
    service = Service(app)
    service.gate.set()
    service.start()
    yield service
    service.stop()


@pytest.fixture
def connect(service: Service, alice: Producer) -> Iterator[Callable[..., Client]]:
    """Create clients with Alice's key, which are closed after the test."""
    clients: list[Client] = []

    def create(**options: Any) -> Client:
        options = {"url": service.url, "api_key": alice.secret, "linger_seconds": 0.01, "now_seconds": 60, **options}
        clients.append(Client(**options))
        return clients[-1]

    yield create
    for created in clients:
        created.close(0)


@pytest.fixture
def count_triggers(alice: Producer) -> Callable[[], int]:
    """The triggers of Alice's workspace in the database."""

    def count() -> int:
        with acting_as(alice.workspace_id):
            return int(fetch_value("select count(*) from triggers"))

    return count


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once."""
    monkeypatch.setattr("beckon_client.retries.FIRST_DELAY_SECONDS", 0.01)


@pytest.fixture
def start_producer(service: Service, alice: Producer) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start a program with the client installed, the address and the key; its first line is read with `readline`."""
    processes = []
    source = settings.ROOT / "clients" / "python" / "src"
    environ = {**os.environ, "PYTHONPATH": str(source), "BECKON_URL": service.url, "BECKON_API_KEY": alice.secret}

    def start(program: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", program], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()
