"""Two web processes of one dashboard: they share what was loaded, and nothing that belongs to a process."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from models import automation
from models.audit import SYSTEM
from tests.support import histories
from tests.support.waiting import eventually
from tests.support.web_processes import HELLO, Dashboard, dashboard, stopped

__all__ = ["dashboard"]

pytestmark = pytest.mark.timeout(120)

STARTS = 'beckon_process_starts_total{program="dashboard"}'


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


def test_a_connection_ends_whose_body_goes_on_after_its_response(dashboard: Dashboard) -> None:
    with socket.create_connection(("127.0.0.1", dashboard.port), timeout=20) as connection:
        connection.sendall(b"POST /api/triggers HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000000\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 401")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            connection.sendall(b"x" * 100 * 1024 * 1024)


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
