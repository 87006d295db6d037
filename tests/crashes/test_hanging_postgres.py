"""PostgreSQL hangs, or its connections die without a word: everything is answered in time, and goes on by itself."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3

import settings as settings_module
from models import api_key
from sandbox.server import RunningSandbox
from tests.crashes.test_outages import (
    LONG_LEASE,
    all_sent_once,
    are_alive,
    build_triggers,
    count_open,
    processes,
    servers,
)
from tests.support.concurrency import assert_consistent
from tests.support.factories import WRITTEN, Alice
from tests.support.fault_proxy import FaultProxy, FaultyServers
from tests.support.poolers import parse_socket_path, with_socket
from tests.support.programs import Programs
from tests.support.servers import ROLES, with_user
from tests.support.waiting import eventually

__all__ = ["processes", "servers"]

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(180)]

#: Every request has an answer within this time, a probe within the other.
ANSWER_SECONDS, PROBE_SECONDS = 5.0, 2.0
#: Work goes on this long after connections died.
RECOVERY_SECONDS = 20.0
START_SECONDS = 60.0


class Shop:
    """A producer of triggers, with a dashboard of its own."""

    def __init__(self, alice: Alice, programs: Programs, **environment: str) -> None:
        self._headers = {"Authorization": f"Bearer {api_key.issue(alice.workspace_id, 'shop').secret}"}
        self.alice = alice
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._port = probe.getsockname()[1]
        programs.start("dashboard", BECKON_PORT=str(self._port), **environment)
        eventually(self.is_ready, timeout=START_SECONDS)

    def request(self, method: str, path: str, seconds: float, json: object = None) -> urllib3.BaseHTTPResponse:
        return urllib3.request(
            method, f"http://127.0.0.1:{self._port}{path}", json=json, headers=self._headers, retries=False,
            timeout=seconds,
        )  # fmt: skip

    def is_ready(self) -> bool:
        try:
            return self.request("GET", "/readyz", PROBE_SECONDS).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def trigger(self, name: str) -> urllib3.BaseHTTPResponse:
        contact = {"externalId": name, "email": f"{name}@example.com"}
        body = {"type": "contact.created", "contact": contact, "idempotencyKey": name}
        return self.request("POST", "/api/triggers", ANSWER_SECONDS, body)


def test_while_postgresql_hangs_every_request_is_answered_and_then_all_goes_on(
    processes: Programs, servers: FaultyServers, sandbox: RunningSandbox
) -> None:
    alice = Alice()
    alice.automation(WRITTEN)
    shop = Shop(alice, processes)
    workers = processes.start_workers(**LONG_LEASE)
    alice.triggers(build_triggers("before", 40))
    eventually(lambda: sandbox.list_messages(provider="mailgun"), timeout=START_SECONDS)

    with servers.hang_postgres():
        for path in ("/api/executions", "/api/executions/pending"):
            answer = shop.request("GET", path, ANSWER_SECONDS)
            assert (answer.status, bool(answer.headers.get("Retry-After"))) == (503, True), path
        refused = [shop.trigger(f"during{number}") for number in range(3)]
        assert {(answer.status, bool(answer.headers.get("Retry-After"))) for answer in refused} == {(503, True)}
        # An answer is reused for a second.
        eventually(lambda: shop.request("GET", "/readyz", PROBE_SECONDS).status == 503, timeout=ANSWER_SECONDS)

    eventually(shop.is_ready, timeout=RECOVERY_SECONDS)
    for number in range(3):
        eventually(lambda name=f"during{number}": shop.trigger(name).status in (200, 202), timeout=RECOVERY_SECONDS)
    eventually(lambda: count_open(alice) == 0, timeout=START_SECONDS)
    assert all_sent_once(sandbox, 43)
    assert are_alive(workers)
    assert_consistent()


@contextmanager
def proxied(monkeypatch: pytest.MonkeyPatch, database_url: str) -> Iterator[FaultProxy]:
    """A proxy before PostgreSQL that the programs use from now on."""
    with tempfile.TemporaryDirectory(prefix="beckon-line-") as directory:
        proxy = FaultProxy(Path(directory) / ".s.PGSQL.5432", parse_socket_path(database_url))
        for name, role in zip(("DATABASE_APP_URL", "DATABASE_SERVICE_URL"), ROLES, strict=True):
            monkeypatch.setenv(name, with_socket(with_user(database_url, role), Path(directory), 5432))
        try:
            yield proxy
        finally:
            proxy.close()


def test_connections_that_die_without_a_word_cost_no_request_and_no_message(
    processes: Programs, servers: FaultyServers, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = Alice()
    alice.automation(WRITTEN)
    with proxied(monkeypatch, settings_module.load().database_url) as proxy:
        shop = Shop(alice, processes)
        workers = processes.start_workers(**LONG_LEASE)
        alice.triggers(build_triggers("before", 40))
        eventually(lambda: sandbox.list_messages(provider="mailgun"), timeout=START_SECONDS)

        proxy.freeze()
        assert shop.request("GET", "/api/executions", ANSWER_SECONDS).status == 200
        assert shop.trigger("during").status == 202

        eventually(lambda: count_open(alice) == 0, timeout=RECOVERY_SECONDS + 20)
        assert all_sent_once(sandbox, 41)
        assert are_alive(workers)
    assert_consistent()
