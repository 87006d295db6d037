"""A dashboard with its web processes and Alice's workspace, on the test's own servers."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import urllib3

from models import api_key, database, workspace
from settings import load
from tests.support.programs import Program, Programs
from tests.support.waiting import eventually

#: A stopping process waits for kept connections.
ALONE = {"Connection": "close"}


HELLO = {
    "trigger": {"type": "contact.created"},
    "steps": [{"id": "hello", "action": "send_email", "with": {"subject": "Hello", "body": "Hi"}}],
}


@dataclass
class Dashboard:
    """Alice's workspace and a dashboard with some web processes."""

    port: int
    process: Program
    workspace_id: str
    secret: str
    kept: list[urllib3.HTTPConnectionPool] = field(default_factory=list)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret}"}

    def list_processes(self) -> list[int]:
        """The ids of the web processes, oldest first."""
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def connect(self, pid: int) -> urllib3.HTTPConnectionPool:
        """A kept connection to one web process: the other one is stopped while it is accepted."""
        pool = urllib3.HTTPConnectionPool("127.0.0.1", self.port, maxsize=1, block=True, retries=False, timeout=20)
        self.kept.append(pool)
        with stopped([other for other in self.list_processes() if other != pid]):
            assert pool.request("GET", "/healthz").status == 200
        return pool

    def read_metric(self, name: str) -> float:
        """The value of a series in a scrape by either process."""
        text = urllib3.request("GET", f"http://127.0.0.1:{self.port}/metrics", headers=ALONE).data.decode()
        return sum(float(value) for value in re.findall(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE))


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """Stop processes for the duration of the block."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module", params=[2])
def dashboard(
    request: pytest.FixtureRequest,
    database_urls: Any,
    clean_for_module: None,
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Dashboard]:
    """A running dashboard with two web processes, or as many as the parameter says."""
    database.open_pool(load().database_service_url, "beckon_service", 4)
    workspace_id = workspace.create(f"alice-{request.param}", "Alice's shop")
    secret = api_key.issue(workspace_id, "key").secret
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    programs = Programs(tmp_path_factory.mktemp("logs"))
    load().run.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        process = programs.start("dashboard", BECKON_PORT=str(port), BECKON_WEB_WORKERS=str(request.param))
        started = Dashboard(port, process, workspace_id, secret)
        try:
            eventually(lambda: len(started.list_processes()) == request.param and is_up(port), timeout=60)
        except AssertionError as error:
            raise AssertionError(programs.read_logs()) from error
        yield started
    finally:
        programs.end()
        database.db.close_all()


def is_up(port: int) -> bool:
    try:
        return urllib3.request("GET", f"http://127.0.0.1:{port}/healthz", retries=False, headers=ALONE).status == 200
    except urllib3.exceptions.HTTPError:
        return False
