"""Two web processes of one dashboard: they share what was loaded, and nothing that belongs to a process."""

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

from models import api_key, automation, database, workspace
from models.audit import SYSTEM
from settings import load
from tests.support import histories
from tests.support.programs import Program, Programs
from tests.support.waiting import eventually

#: A stopping process waits for kept connections.
ALONE = {"Connection": "close"}

pytestmark = pytest.mark.timeout(120)

HELLO = {
    "trigger": {"type": "contact.created"},
    "steps": [{"id": "hello", "action": "send_email", "with": {"subject": "Hello", "body": "Hi"}}],
}


@dataclass
class Dashboard:
    """Alice's workspace and a dashboard with two web processes."""

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


@pytest.fixture(scope="module")
def dashboard(
    database_urls: Any, clean_for_module: None, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dashboard]:
    database.open_pool(load().database_service_url, "beckon_service", 4)
    workspace_id = workspace.create("alice", "Alice's shop")
    secret = api_key.issue(workspace_id, "key").secret
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    programs = Programs(tmp_path_factory.mktemp("logs"))
    load().run.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        started = Dashboard(port, programs.start("dashboard", BECKON_PORT=str(port)), workspace_id, secret)
        try:
            eventually(lambda: len(started.list_processes()) == 2 and is_up(port), timeout=60)
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


def test_nothing_is_connected_and_no_thread_runs_before_the_fork(dashboard: Dashboard) -> None:
    process = Path(f"/proc/{dashboard.process.pid}")
    assert len(list((process / "task").iterdir())) == 1
    links = [os.readlink(path) for path in (process / "fd").iterdir()]
    assert len([link for link in links if link.startswith("socket:")]) == 1


def test_a_stream_of_each_process_shows_what_happens_and_both_are_counted(dashboard: Dashboard) -> None:
    published = automation.create(
        dashboard.workspace_id, name="Watched", type="workflow", definition=HELLO, actor=SYSTEM
    )
    path = f"/api/ai-automations/{published.automation_id}/monitor"
    streams = [
        dashboard.connect(pid).request("GET", path, headers=dashboard.headers, preload_content=False)
        for pid in dashboard.list_processes()
    ]
    eventually(lambda: dashboard.read_metric("beckon_sse_clients") == 2)
    execution_id = histories.insert_execution(dashboard.workspace_id, published.automation_id, "generating")
    for stream in streams:
        received = b""
        while execution_id.encode() not in received:
            received += stream.read1(65_536)
    for stream in streams:
        stream.close()


def test_a_publication_by_one_process_holds_for_the_next_trigger_at_another(dashboard: Dashboard) -> None:
    first, second = (dashboard.connect(pid) for pid in dashboard.list_processes())
    base = f"/api/workspaces/{dashboard.workspace_id}/automations"
    started = []
    for number in range(10):
        # The second process has the workflows of this type in its cache, without the one that follows.
        name = f"shop.visited.{number}"
        trigger = {"type": name, "contact": {"externalId": "bob"}}
        send = lambda trigger=trigger: second.request("POST", "/api/triggers", json=trigger, headers=dashboard.headers)  # noqa: E731
        assert send().json()["executions"] == []
        body = {"name": name, "type": "workflow", "enabled": True, "definition": {**HELLO, "trigger": {"type": name}}}
        assert first.request("POST", base, json=body, headers=dashboard.headers).status == 201
        started.append(len(send().json()["executions"]))
    assert started == [1] * 10


def test_a_killed_process_is_replaced_while_the_other_one_serves(dashboard: Dashboard) -> None:
    killed, other = dashboard.list_processes()
    path = f"/api/workspaces/{dashboard.workspace_id}/automations"
    kept = dashboard.connect(other)
    counted = 'beckon_http_requests_total{code_class="2xx",route="/api/workspaces/<workspace_id>/automations"}'
    before = dashboard.read_metric(counted), dashboard.read_metric(STARTS)
    os.kill(killed, signal.SIGKILL)
    statuses = [kept.request("GET", path, headers=dashboard.headers).status for _ in range(20)]
    eventually(lambda: len(dashboard.list_processes()) == 2 and dashboard.read_metric(STARTS) == before[1] + 1)
    new = dashboard.connect(dashboard.list_processes()[-1])
    statuses += [new.request("GET", path, headers=dashboard.headers).status for _ in range(5)]
    assert statuses == [200] * 25
    # The new process goes on where the killed one ended.
    assert dashboard.read_metric(counted) == before[0] + 25


STARTS = 'beckon_process_starts_total{program="dashboard"}'


def test_on_sigterm_both_processes_finish_their_requests_and_end(dashboard: Dashboard) -> None:
    for pool in dashboard.kept:
        pool.close()
    pids = dashboard.list_processes()
    head = f"POST /api/triggers HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {dashboard.secret}\r\n"
    connections = []
    for pid in pids:
        with stopped([other for other in pids if other != pid]):
            connections.append(socket.create_connection(("127.0.0.1", dashboard.port), timeout=20))
            connections[-1].sendall(
                f"{head}Content-Length: 2\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n".encode()
            )
            assert connections[-1].recv(100).startswith(b"HTTP/1.1 100")
    dashboard.process.send_signal(signal.SIGTERM)
    eventually(lambda: not accepts(dashboard.port))
    for connection in connections:
        connection.sendall(b"{}")
        assert connection.recv(100).startswith(b"HTTP/1.1 415")
        connection.close()
    assert dashboard.process.wait(25) == 0


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True
