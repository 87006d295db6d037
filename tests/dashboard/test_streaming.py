"""Streams of the real dashboard process under gevent, with clients that disconnect, stall and stay."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import urllib3

from models import api_key, automation, database, workspace
from models.audit import SYSTEM
from models.database import acting_as
from settings import load
from tests.support import histories
from tests.support.programs import Programs
from tests.support.rows import fetch_rows
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(120)

HELLO = {
    "trigger": {"type": "contact.created"},
    "steps": [{"id": "hello", "action": "send_email", "with": {"subject": "Hello", "body": "Hi"}}],
}
#: A stopping process waits for keep-alive connections.
ALONE = {"Connection": "close"}


@dataclass
class Shop:
    """Alice's workspace and a dashboard in its own process."""

    url: str
    process: subprocess.Popen[bytes]
    workspace_id: str
    automation_id: str
    secret: str
    watchers: list[Watcher] = field(default_factory=list)

    @property
    def path(self) -> str:
        return f"/api/ai-automations/{self.automation_id}/monitor"

    def watch(self) -> Watcher:
        """Open a stream."""
        self.watchers.append(Watcher(self))
        return self.watchers[-1]

    def count_streams(self) -> float:
        """The number of open streams in the metrics."""
        text = urllib3.request("GET", f"{self.url}/metrics", headers=ALONE).data.decode()
        return float(next(line.split()[1] for line in text.splitlines() if line.startswith("beckon_sse_clients ")))


@dataclass
class Watcher:
    """A connection that reads a raw stream."""

    shop: Shop
    connection: socket.socket = field(init=False)
    received: bytes = b""

    def __post_init__(self) -> None:
        host, port = self.shop.url.removeprefix("http://").split(":")
        self.connection = socket.create_connection((host, int(port)), timeout=20)
        head = f"GET {self.shop.path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {self.shop.secret}\r\n\r\n"
        self.connection.sendall(head.encode())

    def read_until(self, condition: Callable[[bytes], bool]) -> bytes:
        """All bytes received, once the condition holds or the stream has ended."""
        while not condition(self.received):
            chunk = self.connection.recv(65_536)
            if not chunk:
                break
            self.received += chunk
        return self.received

    def parse_snapshots(self) -> list[dict[str, Any]]:
        """The complete snapshots received."""
        return [json.loads(part.split(b"\n\n")[0]) for part in self.received.split(b"\ndata: ")[1:] if b"\n\n" in part]


@pytest.fixture
def shop(database_urls: Any, clean: None, redis_url: str, tmp_path: Path) -> Iterator[Shop]:
    database.open_pool(load().database_service_url, "beckon_service", 4)
    workspace_id = workspace.create("alice", "Alice's shop")
    publication = automation.create(workspace_id, name="Welcome", type="workflow", definition=HELLO, actor=SYSTEM)
    secret = api_key.issue(workspace_id, "key").secret
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    programs = Programs(tmp_path)
    try:
        # The directory of gunicorn's worker heartbeat; `beckon up` creates it.
        load().run.mkdir(mode=0o700, parents=True, exist_ok=True)
        process = programs.start("dashboard", BECKON_PORT=str(port), BECKON_WEB_WORKERS="1")
        url = f"http://127.0.0.1:{port}"
        try:
            eventually(lambda: _is_up(url), timeout=60)
        except AssertionError as error:
            raise AssertionError(programs.read_logs()) from error
        shop = Shop(url, process, workspace_id, publication.automation_id, secret)
        yield shop
        for watcher in shop.watchers:
            watcher.connection.close()
    finally:
        programs.end()
        database.db.close_all()


def _is_up(url: str) -> bool:
    try:
        return bool(urllib3.request("GET", f"{url}/healthz", retries=False, headers=ALONE).status == 200)
    except urllib3.exceptions.HTTPError:
        return False


def has_snapshots(count: int) -> Callable[[bytes], bool]:
    """Whether so many complete snapshots were received."""
    return lambda received: received.count(b"\ndata: ") >= count and received.rstrip(b"\r\n0").endswith(b"}")


def test_a_stream_sends_one_snapshot_after_another_unbuffered(shop: Shop) -> None:
    histories.insert_execution(shop.workspace_id, shop.automation_id, "generating")
    watcher = shop.watch()
    head = watcher.read_until(has_snapshots(1))
    assert b"200 OK" in head
    assert b"X-Accel-Buffering: no" in head
    watcher.read_until(has_snapshots(2))
    assert [snapshot["contacts"][0]["stage"] for snapshot in watcher.parse_snapshots()] == ["generating", "generating"]


def test_the_database_is_queried_once_per_tick_for_all_watchers(shop: Shop) -> None:
    watchers = [shop.watch() for _ in range(30)]
    for watcher in watchers:
        watcher.read_until(has_snapshots(3))
    ids = [tuple(line for line in watcher.received.splitlines() if line.startswith(b"id: ")) for watcher in watchers]
    # Watchers that came within the first tick got the same readings.
    assert len({id for watcher_ids in ids for id in watcher_ids}) <= 5
    assert shop.count_streams() == 30


def test_the_queries_stop_after_the_last_watcher_leaves(shop: Shop) -> None:
    watcher = shop.watch()
    watcher.read_until(has_snapshots(1))
    watcher.connection.close()
    eventually(lambda: shop.count_streams() == 0, timeout=10)


def test_a_stalled_watcher_does_not_delay_others(shop: Shop) -> None:
    stalled = [shop.watch() for _ in range(5)]
    watcher = shop.watch()
    watcher.read_until(has_snapshots(3))
    assert len(watcher.parse_snapshots()) == 3
    assert all(stalled_watcher.received == b"" for stalled_watcher in stalled)
    assert urllib3.request("GET", f"{shop.url}/healthz", headers=ALONE).status == 200


def test_on_sigterm_the_process_ends_all_streams_and_exits(shop: Shop) -> None:
    watchers = [shop.watch() for _ in range(10)]
    for watcher in watchers:
        watcher.read_until(has_snapshots(1))
    before = [len(watcher.parse_snapshots()) for watcher in watchers]
    shop.process.send_signal(signal.SIGTERM)
    for watcher, count in zip(watchers, before, strict=True):
        # The final empty chunk: the stream ended properly, long before its minute was over.
        assert watcher.read_until(lambda received: received.endswith(b"0\r\n\r\n")).endswith(b"0\r\n\r\n")
        assert len(watcher.parse_snapshots()) - count <= 3
    assert shop.process.wait(15) == 0


def test_the_stream_follows_the_rows(shop: Shop) -> None:
    execution_id = histories.insert_execution(shop.workspace_id, shop.automation_id, "queued")
    watcher = shop.watch()
    watcher.read_until(has_snapshots(1))
    with acting_as(shop.workspace_id):
        fetch_rows(
            "update executions set status = 'waiting', waiting_for = 'time', stage = 'eligible' where id = %s",
            (execution_id,),
        )
    eventually(
        lambda: (
            watcher.read_until(has_snapshots(len(watcher.parse_snapshots()) + 1))
            and watcher.parse_snapshots()[-1]["contacts"][0]["stage"] == "eligible"
        )
    )


def test_a_stream_ends_within_five_seconds_after_its_key_is_revoked(shop: Shop) -> None:
    staying = shop.watch()
    key = api_key.issue(shop.workspace_id, "leaving", ["read"])
    leaving = Watcher(replace(shop, secret=key.secret))
    shop.watchers.append(leaving)
    for watcher in (staying, leaving):
        watcher.read_until(has_snapshots(1))
    api_key.revoke(shop.workspace_id, key.id)
    before = len(leaving.parse_snapshots())
    # The final empty chunk: the stream ended properly, long before its minute was over.
    assert leaving.read_until(lambda received: received.endswith(b"0\r\n\r\n")).endswith(b"0\r\n\r\n")
    assert len(leaving.parse_snapshots()) - before <= 3
    count = len(staying.parse_snapshots())
    staying.read_until(has_snapshots(count + 2))


def send_request(shop: Shop, head: str) -> tuple[int, bytes]:
    """The status and the full response to a raw request."""
    host, port = shop.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + b"Connection: close\r\n\r\n")
        response = b"".join(iter(lambda: connection.recv(65_536), b""))
    return int(response.split(b" ", 2)[1]), response


def test_only_requests_for_served_hosts_are_answered(shop: Shop) -> None:
    for head, statuses in (
        ("GET /sign-in HTTP/1.1\nHost: localhost\n", {200}),
        ("GET http://LOCALHOST./sign-in HTTP/1.1\nHost: 127.0.0.1\n", {200}),
        ("GET /sign-in HTTP/1.1\nHost: evil.example\n", {421}),
        ("GET /sign-in HTTP/1.1\nHost: localhost@evil.example\n", {421}),
        ("GET http://evil.example/sign-in HTTP/1.1\nHost: localhost\n", {421}),
        ("GET http://localhost@evil.example/sign-in HTTP/1.1\nHost: localhost\n", {421}),
        ("GET evil.example:80 HTTP/1.1\nHost: localhost\n", {400, 421}),
        ("GET /sign-in HTTP/1.1\nHost: localhost\nHost: evil.example\n", {400}),
        ("GET /sign-in HTTP/1.1\n", {400, 421}),
        ("GET /sign-in HTTP/1.0\n", {421}),
        ("GET /sign-in HTTP/1.1\nHost:\n", {421}),
        ("GET /sign-in HTTP/1.1\nHost: evil.example\nX-Forwarded-Host: localhost\n", {421}),
        ("GET /healthz HTTP/1.1\nHost: 10.1.2.3:8080\n", {200}),
        ("GET /healthz HTTP/1.0\n", {200}),
    ):
        assert send_request(shop, head)[0] in statuses, head


def test_a_local_peer_that_is_not_trusted_cannot_forge_scheme_or_path(shop: Shop) -> None:
    forged = "X-Forwarded-Proto: https\nX-Forwarded-For: 192.0.2.1\nX-Forwarded-Ssl: on\n"
    status, response = send_request(shop, f"GET /sign-in HTTP/1.1\nHost: localhost\n{forged}")
    assert status == 200
    assert b"Set-Cookie: beckon_visitor" in response
    assert b"Secure" not in response
    assert send_request(shop, "GET /sign-in HTTP/1.1\nHost: localhost\nSCRIPT_NAME: /sign-in\n")[0] == 200
