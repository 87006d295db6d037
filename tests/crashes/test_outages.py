"""Servers stop, stall, fill up and return; no worker is restarted for it, and nothing is lost or duplicated."""

from __future__ import annotations

import re
import shutil
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

import settings as settings_module
from ephemeral import rate_limits
from ephemeral.connection import open_ephemeral
from models import api_key, automation, database
from models.audit import SYSTEM
from models.database import acting_as
from models.ids import new_id
from models.queries import fetch_value
from sandbox.server import RunningSandbox
from tasks.intake.tracked_executions import accept
from tasks.runtime import broker
from tests.support.concurrency import assert_consistent
from tests.support.factories import HELLO, WRITTEN, Alice, bob, execution, steps
from tests.support.fault_proxy import FaultyServers
from tests.support.programs import LONG_LEASE, Program, Programs
from tests.support.rows import fetch_rows
from tests.support.servers import EMPTY_EVERY_TABLE, ROLES, run_sql, with_user
from tests.support.tracking import Shop, build_execution
from tests.support.waiting import eventually
from workers import embedded

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]

#: Everything that an outage delayed is done within this time; the guarantee is one minute.
RECOVERY_SECONDS = 60.0
WAIT_THEN_SEND = [{"id": "rest", "action": "wait", "with": {"for": "8s"}}, *HELLO]


@pytest.fixture(scope="module")
def servers() -> Iterator[FaultyServers]:
    faulty_servers = FaultyServers()
    faulty_servers.prepare()
    yield faulty_servers
    faulty_servers.end()


@pytest.fixture
def processes(
    servers: FaultyServers,
    sandbox: RunningSandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[Programs]:
    """A starter of processes on the breakable servers, which this process uses too."""
    monkeypatch.setenv("DATABASE_URL", servers.servers.database_url)
    for name, role in zip(("DATABASE_APP_URL", "DATABASE_SERVICE_URL"), ROLES, strict=True):
        monkeypatch.setenv(name, with_user(servers.servers.database_url, role))
    monkeypatch.setenv("REDIS_URL", servers.redis_url)
    settings = settings_module.load()
    run_sql(servers.servers.database_url, EMPTY_EVERY_TABLE)
    servers.client().flushall()
    _connect(settings)
    embedded.ensure_private_directory(settings.run)
    started = Programs(tmp_path)
    try:
        yield started
    finally:
        started.end()
        if getattr(request.node, "failed_here", False):
            sys.stderr.write(started.read_logs())
        shutil.rmtree(settings.run)
        database.db.close()


def _connect(settings: settings_module.Settings) -> None:
    database.open_pool(settings.database_service_url, "beckon_service", 10)
    database.db.connect()
    open_ephemeral(settings)
    broker.set_up(settings)


def build_triggers(prefix: str, count: int) -> list[dict[str, Any]]:
    return [
        {"contact": bob(external_id=f"{prefix}{n}", email=f"{prefix}{n}@example.com", phone=None)} for n in range(count)
    ]


def count_open(alice: Alice) -> int:
    return int(
        fetch_value(
            "select count(*) from executions where workspace_id = %s and finished_at is null", (alice.workspace_id,)
        )
    )


def all_sent_once(sandbox: RunningSandbox, count: int) -> bool:
    sent = Counter(message["to"] for message in sandbox.list_messages(provider="mailgun"))
    return len(sent) == count and set(sent.values()) == {1}


def are_alive(workers: dict[str, Program]) -> bool:
    return all(worker.poll() is None for worker in workers.values())


@pytest.mark.slow
def test_an_emptied_redis_delays_no_queued_or_waiting_execution(
    processes: Programs, servers: FaultyServers, sandbox: RunningSandbox
) -> None:
    alice = Alice()
    alice.automation(WRITTEN)
    alice.automation(WAIT_THEN_SEND, trigger="rests")
    alice.triggers([{**trigger, "type": "rests"} for trigger in build_triggers("w", 30)])
    alice.triggers(build_triggers("q", 60))

    servers.client().flushall()
    # With the default intervals of the scheduler: the guarantee is one minute.
    processes.setup = None
    workers = processes.start_workers(**LONG_LEASE)

    eventually(lambda: count_open(alice) == 0, timeout=RECOVERY_SECONDS)
    assert all_sent_once(sandbox, 90)
    assert are_alive(workers)
    assert_consistent()


def test_triggers_accepted_while_redis_is_down_are_all_processed_later(
    processes: Programs, servers: FaultyServers, sandbox: RunningSandbox
) -> None:
    alice = Alice()
    alice.automation(WRITTEN)
    workers = processes.start_workers(**LONG_LEASE)
    alice.triggers(build_triggers("before", 30))
    eventually(lambda: sandbox.list_messages(provider="mailgun"), timeout=RECOVERY_SECONDS)

    servers.stop_redis()
    accepted = alice.triggers(build_triggers("during", 30))
    servers.start_redis()

    assert len(accepted) == 30
    eventually(lambda: count_open(alice) == 0, timeout=RECOVERY_SECONDS)
    assert all_sent_once(sandbox, 60)
    assert are_alive(workers)


@pytest.mark.slow
def test_waits_and_retries_keep_their_time_when_redis_restarts(
    processes: Programs, servers: FaultyServers, sandbox: RunningSandbox
) -> None:
    alice = Alice()
    alice.automation(WAIT_THEN_SEND)
    alice.automation(HELLO, trigger="throttled")
    sandbox.add_fault(provider="mailgun", fault="http_429", times=5, seconds=12)
    workers = processes.start_workers(**LONG_LEASE)
    alice.triggers([{**trigger, "type": "throttled"} for trigger in build_triggers("t", 5)])
    alice.triggers(build_triggers("w", 10))
    all_waiting = (
        "select count(*) = 15 from executions where workspace_id = %s and status = 'waiting' and due_at > now()"
    )
    eventually(lambda: fetch_value(all_waiting, (alice.workspace_id,)), timeout=RECOVERY_SECONDS)

    servers.stop_redis()
    servers.start_redis()

    eventually(lambda: count_open(alice) == 0, timeout=30)
    assert all_sent_once(sandbox, 15)
    assert are_alive(workers)


@pytest.mark.slow
def test_a_dead_connection_to_redis_blocks_no_thread_permanently(
    processes: Programs, servers: FaultyServers, sandbox: RunningSandbox
) -> None:
    alice = Alice()
    alice.automation(WRITTEN)
    workers = processes.start_workers(**LONG_LEASE)
    alice.triggers(build_triggers("before", 20))
    eventually(lambda: sandbox.list_messages(provider="mailgun"), timeout=RECOVERY_SECONDS)

    with servers.proxy.stall():
        # Notifying gives up after its timeout, and the trigger is accepted nevertheless.
        assert len(alice.triggers(build_triggers("during", 20))) == 20

    eventually(lambda: count_open(alice) == 0, timeout=RECOVERY_SECONDS)
    assert all_sent_once(sandbox, 40)
    assert are_alive(workers)


def test_a_redis_that_hangs_holds_up_no_trigger_and_is_named(
    processes: Programs, servers: FaultyServers, sandbox: RunningSandbox
) -> None:
    alice = Alice()
    alice.automation(WRITTEN)
    workers = processes.start_workers(**LONG_LEASE)
    dashboard = Site(alice, processes)
    eventually(lambda: dashboard.read("/readyz").get("status") == "ok", timeout=RECOVERY_SECONDS)

    with servers.hang_redis():
        assert dashboard.trigger(0) == 202
        eventually(lambda: "redis does not answer" in processes.read_logs(), timeout=RECOVERY_SECONDS)
        waited = dashboard.count_unanswered()
        assert [dashboard.trigger(number) for number in range(1, 60)] == [202] * 59
        # Those of its heartbeat and its listener at most; not one of the triggers.
        assert dashboard.count_unanswered() - waited < 5

        def is_named() -> bool:
            return "Redis does not answer" in dashboard.read("/readyz")["reasons"]

        eventually(is_named, timeout=RECOVERY_SECONDS)
        readiness = dashboard.read("/readyz")
        assert readiness.pop("since").keys() == {"redis_down"}
        assert readiness == {"status": "degraded", "reasons": ["Redis does not answer"], "database": "ok"}
        problems = [problem["key"] for problem in dashboard.read("/api/health")["problems"]]
        assert problems == ["redis_down"]

    eventually(lambda: dashboard.read("/readyz").get("status") == "ok", timeout=RECOVERY_SECONDS)
    eventually(lambda: count_open(alice) == 0, timeout=RECOVERY_SECONDS)
    assert all_sent_once(sandbox, 60)
    assert are_alive(workers)


class Site:
    """A dashboard with one web process, and what a producer asks of it."""

    def __init__(self, alice: Alice, processes: Programs) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        self._key = api_key.issue(alice.workspace_id, "tests").secret
        processes.start("dashboard", BECKON_PORT=self._url.rpartition(":")[2], BECKON_WEB_WORKERS="1")

    def call(self, method: str, path: str, body: Any = None) -> urllib3.BaseHTTPResponse:
        headers = {"Authorization": f"Bearer {self._key}", "Connection": "close"}
        return urllib3.request(method, f"{self._url}{path}", json=body, headers=headers, retries=False, timeout=30)

    def read(self, path: str) -> Any:
        """The JSON of a 200; nothing before it serves."""
        try:
            response = self.call("GET", path)
        except urllib3.exceptions.HTTPError:
            return {}
        assert response.status == 200
        return response.json()

    def trigger(self, number: int) -> int:
        contact = {"externalId": f"h{number}", "email": f"h{number}@example.com"}
        return self.call("POST", "/api/triggers", {"type": "contact.created", "contact": contact}).status

    def count_unanswered(self) -> float:
        text = self.call("GET", "/metrics").data.decode()
        return float(re.findall(r"^beckon_redis_unanswered_total (\S+)$", text, re.MULTILINE)[0])


@pytest.mark.parametrize("setting", ["maxmemory", pytest.param("min-replicas-to-write", marks=pytest.mark.slow)])
def test_a_redis_that_refuses_writes_loses_nothing(
    processes: Programs, servers: FaultyServers, sandbox: RunningSandbox, setting: str
) -> None:
    alice = Alice()
    alice.automation(WRITTEN)
    servers.client().config_set(setting, "1")
    try:
        workers = processes.start_workers(**LONG_LEASE)
        # Each of the two workers has tried to send its heartbeat, and continued.
        eventually(lambda: processes.read_logs().count("heartbeat not recorded") >= 2, timeout=RECOVERY_SECONDS)
        assert len(alice.triggers(build_triggers("full", 20))) == 20
        assert rate_limits.try_take(rate_limits.RateLimit("tests", 1, 60), "anybody") == 0
    finally:
        servers.client().config_set(setting, "0")

    eventually(lambda: count_open(alice) == 0, timeout=RECOVERY_SECONDS)
    assert all_sent_once(sandbox, 20)
    assert are_alive(workers)


@pytest.mark.slow
def test_repeated_restarts_of_postgresql_leave_exact_counts(
    processes: Programs, servers: FaultyServers, sandbox: RunningSandbox
) -> None:
    alice = Alice()
    alice.automation(WRITTEN)
    workers = processes.start_workers(**LONG_LEASE)
    alice.triggers(build_triggers("p", 200))

    for done in (20, 60, 100):
        eventually(lambda n=done: len(sandbox.list_messages(provider="mailgun")) >= n, timeout=RECOVERY_SECONDS)
        servers.stop_postgres()
        servers.start_postgres()
    _connect(settings_module.load())

    eventually(lambda: count_open(alice) == 0, timeout=RECOVERY_SECONDS)
    assert all_sent_once(sandbox, 200)
    assert are_alive(workers)
    assert Counter(message["status"] for message in fetch_rows("select m.status from messages m join executions e "
        "on e.id = m.execution_id where e.workspace_id = %s", (alice.workspace_id,))) == {"sent": 200}  # fmt: skip
    # Each person's run, counted with the send or, where that failed, afterwards.
    eventually(lambda: fetch_value("select count(*) from automation_runs") == 200, timeout=RECOVERY_SECONDS)
    assert_consistent()


def test_a_read_only_postgresql_is_a_503_and_recovers(
    processes: Programs, servers: FaultyServers, sandbox: RunningSandbox
) -> None:
    alice = Alice()
    alice.automation(HELLO)
    key = api_key.issue(alice.workspace_id, "tests").secret
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    processes.start("dashboard", BECKON_PORT=str(port))
    processes.start_workers(**LONG_LEASE)

    def trigger(number: int) -> urllib3.BaseHTTPResponse:
        contact = {"externalId": f"r{number}", "email": f"r{number}@example.com"}
        return urllib3.request(
            "POST", f"http://127.0.0.1:{port}/api/triggers", json={"type": "contact.created", "contact": contact},
            headers={"Authorization": f"Bearer {key}"}, retries=False,
        )  # fmt: skip

    def read_readiness() -> int:
        try:
            return urllib3.request("GET", f"http://127.0.0.1:{port}/readyz", retries=False).status
        except urllib3.exceptions.HTTPError:
            return 0

    eventually(lambda: read_readiness() == 200, timeout=RECOVERY_SECONDS)

    servers.set_read_only(True)
    refused = trigger(1)
    assert (refused.status, bool(refused.headers["Retry-After"])) == (503, True)
    # An answer is reused for a second.
    eventually(lambda: read_readiness() == 503, timeout=RECOVERY_SECONDS)
    servers.set_read_only(False)
    _connect(settings_module.load())

    eventually(lambda: read_readiness() == 200, timeout=RECOVERY_SECONDS)
    assert fetch_value("select count(*) from triggers where workspace_id = %s", (alice.workspace_id,)) == 0
    assert eventually(lambda: trigger(2).status == 202, timeout=RECOVERY_SECONDS)
    eventually(lambda: count_open(alice) == 0 and all_sent_once(sandbox, 1), timeout=RECOVERY_SECONDS)


def test_tracked_executions_are_accepted_and_recorded_without_redis(
    processes: Programs, servers: FaultyServers
) -> None:
    alice = Alice()
    offer = alice.automation(HELLO)
    processes.start_workers(**LONG_LEASE)
    servers.stop_redis()
    accepted = accept(alice.workspace_id, None, [build_execution(offer) for _ in range(50)])
    assert [result.duplicate for result in accepted] == [False] * 50
    recorded = "select executions from automations where id = %s"
    eventually(lambda: fetch_value(recorded, (offer,)) == 50, timeout=RECOVERY_SECONDS)
    servers.start_redis()
    assert_consistent()


def test_without_postgresql_a_tracked_execution_is_a_503_and_accepted_when_it_is_back(
    processes: Programs, servers: FaultyServers
) -> None:
    alice = Alice()
    offer = alice.automation(HELLO)
    shop = Shop(alice, offer)
    processes.start("dashboard", BECKON_PORT=str(shop.port))
    eventually(shop.is_served, timeout=RECOVERY_SECONDS)
    before, during = new_id(), new_id()
    assert shop.report([before])

    servers.stop_postgres()
    refused = shop.send([during])
    assert (refused.status, bool(refused.headers["Retry-After"])) == (503, True)
    servers.start_postgres()
    _connect(settings_module.load())

    assert shop.report_until_accepted([during])
    assert shop.report_until_accepted([before])
    assert sorted(row["execution_id"] for row in fetch_rows("select execution_id from tracking_intake")) == [
        before, during,
    ]  # fmt: skip


@pytest.mark.slow
def test_a_restart_of_all_workers_under_load_fails_no_execution(processes: Programs, sandbox: RunningSandbox) -> None:
    alice = Alice()
    alice.automation(WRITTEN)
    # So that sends are in flight whenever a worker is stopped.
    sandbox.add_fault(provider="mailgun", fault="slow", times=60, seconds=3)
    workers = processes.start_workers(**LONG_LEASE)
    alice.triggers(build_triggers("d", 120))

    for done in (20, 60):
        eventually(lambda n=done: len(sandbox.list_messages(provider="mailgun")) >= n, timeout=RECOVERY_SECONDS)
        eventually(processes.are_ready, timeout=RECOVERY_SECONDS)
        for worker in workers.values():
            worker.terminate()
        assert [worker.wait(30) for worker in workers.values()] == [0] * len(workers)
        workers = processes.start_workers(**LONG_LEASE)

    eventually(lambda: count_open(alice) == 0, timeout=RECOVERY_SECONDS)
    assert all_sent_once(sandbox, 120)
    (counted,) = fetch_rows(
        "select count(*) filter (where status = 'succeeded') as good, max(attempt) as attempts from executions "
        "where workspace_id = %s", (alice.workspace_id,),
    )  # fmt: skip
    assert counted == {"good": 120, "attempts": 1}
    assert fetch_value("select count(*) from stage_history where stage = 'failed'") == 0


@pytest.mark.slow
def test_wrong_host_clocks_change_neither_waits_nor_leases(processes: Programs, sandbox: RunningSandbox) -> None:
    alice = Alice()
    alice.automation([WAIT_THEN_SEND[0], *WRITTEN])
    skewed = str(Path(__file__).with_name("skewed_worker.py"))
    sandbox.add_fault(provider="gemini", fault="slow", times=1, seconds=8)
    for offset in ("600", "-600"):
        for program in ("engine", "scheduler"):
            processes.start(skewed, offset, program)
    accepted = alice.trigger()

    result = eventually(lambda: (e := execution(accepted))["finished_at"] and e, timeout=RECOVERY_SECONDS)

    assert result["status"] == "succeeded"
    wait_step = steps(result["id"])["rest"]
    assert 7.9 <= (wait_step["finished_at"] - wait_step["started_at"]).total_seconds() < 25
    # A generation longer than a lease is requested once: no worker considered another's lease expired.
    assert len(sandbox.list_messages(provider="gemini")) == 1
    assert all_sent_once(sandbox, 1)


@pytest.mark.slow
def test_a_wait_survives_many_restarts_and_the_end_of_its_automation(
    processes: Programs, sandbox: RunningSandbox
) -> None:
    alice = Alice()
    automation_id = alice.automation([HELLO[0], WAIT_THEN_SEND[0], {**HELLO[0], "id": "again"}])
    workers = processes.start_workers()
    accepted = alice.trigger()
    eventually(lambda: execution(accepted)["waiting_for"] == "time" and steps(execution(accepted)["id"]).get("rest"),
               timeout=RECOVERY_SECONDS)  # fmt: skip
    with acting_as(alice.workspace_id):
        automation.delete(alice.workspace_id, automation_id, SYSTEM, cancel_in_flight=lambda: 0)

    for _ in range(3):
        for worker in workers.values():
            worker.kill()
        workers = processes.start_workers()

    result = eventually(lambda: (e := execution(accepted))["finished_at"] and e, timeout=RECOVERY_SECONDS)
    assert result["status"] == "succeeded"
    assert [step["attempts"] for step in steps(result["id"]).values()] == [1, 1, 1]
    assert len(sandbox.list_messages(provider="mailgun")) == 2


@pytest.mark.slow
def test_reports_are_a_503_while_postgresql_is_gone_and_count_once_when_repeated(
    processes: Programs, servers: FaultyServers
) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    key = api_key.issue(alice.workspace_id, "tests").secret
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    processes.start("dashboard", BECKON_PORT=str(port))
    processes.start("worker", "--queues", "tracking")
    processes.start("scheduler")

    def report(execution_id: str) -> urllib3.BaseHTTPResponse:
        return urllib3.request(
            "POST", f"http://127.0.0.1:{port}/api/track-execution",
            json={"workflowId": automation_id, "executionId": execution_id},
            headers={"Authorization": f"Bearer {key}"}, retries=False, timeout=30.0,
        )  # fmt: skip

    def is_ready() -> bool:
        try:
            return urllib3.request("GET", f"http://127.0.0.1:{port}/readyz", retries=False).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    eventually(is_ready, timeout=RECOVERY_SECONDS)
    assert report("before").status == 201
    servers.stop_postgres()
    refused = report("during")
    assert (refused.status, bool(refused.headers["Retry-After"])) == (503, True)
    servers.start_postgres()
    _connect(settings_module.load())

    assert eventually(lambda: report("during").status in (200, 201), timeout=RECOVERY_SECONDS)
    assert [report(execution_id).status for execution_id in ("before", "during")] == [200, 200]
    executions = "select executions from automations where id = %s"
    eventually(lambda: fetch_value(executions, (automation_id,)) == 2, timeout=RECOVERY_SECONDS)
