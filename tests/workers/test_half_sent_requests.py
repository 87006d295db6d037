"""Clients that never complete their requests: they keep nobody else out, and are cut off."""

from __future__ import annotations

import contextlib
import resource
import socket
from collections.abc import Iterator

import pytest

from models import automation
from models.audit import SYSTEM
from tests.support.waiting import eventually
from tests.support.web_processes import HELLO, Dashboard, dashboard

__all__ = ["dashboard"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

#: More than one web process serves, and more than two serve of one address.
HALF_SENT = 5_200


@pytest.fixture
def open_files() -> Iterator[None]:
    """As many open files as the test has connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, HALF_SENT + 1_000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def send(dashboard: Dashboard, source: str, text: str) -> socket.socket:
    """Connect from an address of this machine, and send."""
    connection = socket.create_connection(("127.0.0.1", dashboard.port), timeout=30, source_address=(source, 0))
    connection.sendall(text.replace("\n", "\r\n").encode())
    return connection


def build_head(dashboard: Dashboard, length: int) -> str:
    return (
        "POST /api/triggers HTTP/1.1\nHost: localhost\nContent-Type: application/json\n"
        f"Authorization: Bearer {dashboard.secret}\nContent-Length: {length}\n\n"
    )


@pytest.mark.parametrize("dashboard", [1, 2], indirect=True)
@pytest.mark.usefixtures("open_files")
def test_5200_half_sent_requests_of_one_address_keep_no_other_one_out(dashboard: Dashboard) -> None:
    halves = ("GET /healthz HTTP/1.1\nHost: lo", build_head(dashboard, 100) + '{"type": ')
    with contextlib.ExitStack() as stack:
        for number in range(HALF_SENT):
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                stack.enter_context(send(dashboard, "127.0.0.2", halves[number % 2]))
        for _ in range(20):
            with send(dashboard, "127.0.0.1", build_head(dashboard, 2) + "{}") as client:
                assert client.recv(100).startswith(b"HTTP/1.1 422")


def test_a_body_of_a_byte_a_moment_is_cut_off_and_a_stream_is_not(dashboard: Dashboard) -> None:
    published = automation.create(
        dashboard.workspace_id, name="Watched", type="workflow", definition=HELLO, actor=SYSTEM
    )
    path = f"/api/ai-automations/{published.automation_id}/monitor"
    head = f"GET {path} HTTP/1.1\nHost: localhost\nAuthorization: Bearer {dashboard.secret}\n\n"
    with (
        send(dashboard, "127.0.0.1", head) as stream,
        send(dashboard, "127.0.0.1", build_head(dashboard, 100_000)) as slow,
    ):
        answer = eventually(lambda: send_byte(slow), timeout=60)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"arrived too slowly" in answer
        # What it sent meanwhile, and what follows, between its pings.
        meanwhile = stream.recv(1_000_000)
        assert b"event: snapshot" in meanwhile
        following = b"".join(stream.recv(1_000_000) for _ in range(5))
        assert following.count(b"event: snapshot") >= 2


def send_byte(connection: socket.socket) -> bytes:
    """Send a byte of a body; the answer, once there is one."""
    connection.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        return connection.recv(1_000)
    connection.send(b" ")
    return b""
