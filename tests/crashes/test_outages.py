"""Servers go away, stall, fill up and come back; workers are never restarted for it, and nothing is lost or doubled."""

from __future__ import annotations

import shutil
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from breakable import Breakable
from crew import books_balance

import settings as settings_module
from cast import HELLO, WRITTEN, Alice, bob, execution, steps
from ephemeral import rate_limits
from ephemeral.connection import open_ephemeral
from models import api_key, automation, database
from models.audit import SYSTEM
from models.database import acting_as, rows, value
from programs import PATIENT, Program, Programs
from sandbox.server import Running
from servers import EMPTY_EVERY_TABLE, ROLES, run_sql, with_user
from tasks import broker
from waiting import eventually
from workers import embedded

pytestmark = pytest.mark.timeout(180)

#: Within this everything that an outage held up is done: a minute at most is promised.
SOON = 60.0
PAUSED = [{"id": "rest", "action": "wait", "with": {"for": "8s"}}, *HELLO]


@pytest.fixture(scope="module")
def servers() -> Iterator[Breakable]:
    made = Breakable()
    made.prepare()
    yield made
    made.end()


@pytest.fixture
def broken(
    servers: Breakable,
    sandbox: Running,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[Programs]:
    """The means to start processes on the servers that break; this process looks at the same ones."""
    monkeypatch.setenv("DATABASE_URL", servers.servers.database_url)
    for name, role in zip(("DATABASE_APP_URL", "DATABASE_SERVICE_URL"), ROLES, strict=True):
        monkeypatch.setenv(name, with_user(servers.servers.database_url, role))
    monkeypatch.setenv("REDIS_URL", servers.redis_url)
    told = settings_module.load()
    run_sql(servers.servers.database_url, EMPTY_EVERY_TABLE)
    servers.client().flushall()
    _look_at(told)
    embedded.private_directory(told.run)
    started = Programs(tmp_path)
    try:
        yield started
    finally:
        started.end()
        if getattr(request.node, "failed_here", False):
            sys.stderr.write(started.logs())
        shutil.rmtree(told.run)
        database.db.close()


def _look_at(told: settings_module.Settings) -> None:
    database.open_pool(told.database_service_url, "beckon_service", 10)
    database.db.connect()
    open_ephemeral(told)
    broker.set_up(told)


def people(prefix: str, count: int) -> list[dict[str, Any]]:
    return [
        {"contact": bob(external_id=f"{prefix}{n}", email=f"{prefix}{n}@example.com", phone=None)} for n in range(count)
    ]


def open_of(alice: Alice) -> int:
    return int(
        value("select count(*) from executions where workspace_id = %s and finished_at is null", (alice.workspace_id,))
    )


def all_sent_once(sandbox: Running, count: int) -> bool:
    sent = Counter(message["to"] for message in sandbox.messages(provider="mailgun"))
    return len(sent) == count and set(sent.values()) == {1}


def alive(workers: dict[str, Program]) -> bool:
    return all(one.poll() is None for one in workers.values())


def test_an_emptied_redis_delays_neither_what_is_queued_nor_what_waits(
    broken: Programs, servers: Breakable, sandbox: Running
) -> None:
    alice = Alice()
    alice.automation(WRITTEN)
    alice.automation(PAUSED, trigger="rests")
    alice.triggers([{**one, "type": "rests"} for one in people("w", 30)])
    alice.triggers(people("q", 60))

    servers.client().flushall()
    # At the pace of an operator's scheduler: within a minute is what is promised.
    broken.hurried = False
    workers = broken.workers(**PATIENT)

    eventually(lambda: open_of(alice) == 0, within=SOON)
    assert all_sent_once(sandbox, 90)
    assert alive(workers)
    books_balance()


def test_while_redis_is_down_triggers_are_accepted_and_afterwards_all_are_done(
    broken: Programs, servers: Breakable, sandbox: Running
) -> None:
    alice = Alice()
    alice.automation(WRITTEN)
    workers = broken.workers(**PATIENT)
    alice.triggers(people("before", 30))
    eventually(lambda: sandbox.messages(provider="mailgun"), within=SOON)

    servers.stop_redis()
    accepted = alice.triggers(people("during", 30))
    servers.start_redis()

    assert len(accepted) == 30
    eventually(lambda: open_of(alice) == 0, within=SOON)
    assert all_sent_once(sandbox, 60)
    assert alive(workers)


def test_waits_and_retries_that_are_pending_when_redis_restarts_happen_at_their_time(
    broken: Programs, servers: Breakable, sandbox: Running
) -> None:
    alice = Alice()
    alice.automation(PAUSED)
    alice.automation(HELLO, trigger="throttled")
    sandbox.fault(provider="mailgun", fault="http_429", times=5, seconds=12)
    workers = broken.workers(**PATIENT)
    alice.triggers([{**one, "type": "throttled"} for one in people("t", 5)])
    alice.triggers(people("w", 10))
    resting = "select count(*) = 15 from executions where workspace_id = %s and status = 'waiting' and due_at > now()"
    eventually(lambda: value(resting, (alice.workspace_id,)), within=SOON)

    servers.stop_redis()
    servers.start_redis()

    eventually(lambda: open_of(alice) == 0, within=30)
    assert all_sent_once(sandbox, 15)
    assert alive(workers)


def test_a_line_to_redis_that_goes_dead_holds_no_thread_for_good(
    broken: Programs, servers: Breakable, sandbox: Running
) -> None:
    alice = Alice()
    alice.automation(WRITTEN)
    workers = broken.workers(**PATIENT)
    alice.triggers(people("before", 20))
    eventually(lambda: sandbox.messages(provider="mailgun"), within=SOON)

    with servers.line.stalled():
        # Ringing gives up after its time-out, and the trigger stands accepted all the same.
        assert len(alice.triggers(people("during", 20))) == 20

    eventually(lambda: open_of(alice) == 0, within=SOON)
    assert all_sent_once(sandbox, 40)
    assert alive(workers)


def test_a_redis_that_is_full_loses_nothing(broken: Programs, servers: Breakable, sandbox: Running) -> None:
    alice = Alice()
    alice.automation(WRITTEN)
    servers.client().config_set("maxmemory", "1")
    try:
        workers = broken.workers(**PATIENT)
        # Each of the four has tried to say that it is alive, and gone on.
        eventually(lambda: broken.logs().count("nobody hears this worker") >= 4, within=SOON)
        assert len(alice.triggers(people("full", 20))) == 20
        assert rate_limits.wait_seconds(rate_limits.Limit("tests", 1, 60), "anybody") == 0
    finally:
        servers.client().config_set("maxmemory", "0")

    eventually(lambda: open_of(alice) == 0, within=SOON)
    assert all_sent_once(sandbox, 20)
    assert alive(workers)


def test_postgresql_restarted_again_and_again_leaves_exact_books(
    broken: Programs, servers: Breakable, sandbox: Running
) -> None:
    alice = Alice()
    alice.automation(WRITTEN)
    workers = broken.workers(**PATIENT)
    alice.triggers(people("p", 200))

    for done in (20, 60, 100):
        eventually(lambda n=done: len(sandbox.messages(provider="mailgun")) >= n, within=SOON)
        servers.stop_postgres()
        servers.start_postgres()
    _look_at(settings_module.load())

    eventually(lambda: open_of(alice) == 0, within=SOON)
    assert all_sent_once(sandbox, 200)
    assert alive(workers)
    assert Counter(one["status"] for one in rows("select m.status from messages m join executions e "
        "on e.id = m.execution_id where e.workspace_id = %s", (alice.workspace_id,))) == {"sent": 200}  # fmt: skip
    # Each person's run, whether it was counted with the send or, where that failed, afterwards.
    eventually(lambda: value("select count(*) from automation_runs") == 200, within=SOON)
    books_balance()


def test_a_postgresql_that_takes_no_writes_is_a_503_and_recovers(
    broken: Programs, servers: Breakable, sandbox: Running
) -> None:
    alice = Alice()
    alice.automation(HELLO)
    key = api_key.issue(alice.workspace_id, "tests").secret
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    broken.start("dashboard", BECKON_PORT=str(port))
    broken.workers(**PATIENT)

    def trigger(number: int) -> urllib3.BaseHTTPResponse:
        contact = {"externalId": f"r{number}", "email": f"r{number}@example.com"}
        return urllib3.request(
            "POST", f"http://127.0.0.1:{port}/api/triggers", json={"type": "contact.created", "contact": contact},
            headers={"Authorization": f"Bearer {key}"}, retries=False,
        )  # fmt: skip

    def ready() -> int:
        try:
            return urllib3.request("GET", f"http://127.0.0.1:{port}/readyz", retries=False).status
        except urllib3.exceptions.HTTPError:
            return 0

    eventually(lambda: ready() == 200, within=SOON)

    servers.read_only(True)
    refused = trigger(1)
    assert (refused.status, bool(refused.headers["Retry-After"])) == (503, True)
    assert ready() == 503
    servers.read_only(False)
    _look_at(settings_module.load())

    eventually(lambda: ready() == 200, within=SOON)
    assert value("select count(*) from triggers where workspace_id = %s", (alice.workspace_id,)) == 0
    assert eventually(lambda: trigger(2).status == 202, within=SOON)
    eventually(lambda: open_of(alice) == 0 and all_sent_once(sandbox, 1), within=SOON)


def test_a_restart_of_all_workers_under_load_makes_no_failure(broken: Programs, sandbox: Running) -> None:
    alice = Alice()
    alice.automation(WRITTEN)
    # So that there are sends in flight whenever a worker is told to stop.
    sandbox.fault(provider="mailgun", fault="slow", times=60, seconds=3)
    workers = broken.workers(**PATIENT)
    alice.triggers(people("d", 120))

    for done in (20, 60):
        eventually(lambda n=done: len(sandbox.messages(provider="mailgun")) >= n, within=SOON)
        eventually(broken.are_at_work, within=SOON)
        for one in workers.values():
            one.terminate()
        assert [one.wait(30) for one in workers.values()] == [0] * len(workers)
        workers = broken.workers(**PATIENT)

    eventually(lambda: open_of(alice) == 0, within=SOON)
    assert all_sent_once(sandbox, 120)
    (counted,) = rows(
        "select count(*) filter (where status = 'succeeded') as good, max(attempt) as attempts from executions "
        "where workspace_id = %s", (alice.workspace_id,),
    )  # fmt: skip
    assert counted == {"good": 120, "attempts": 1}
    assert value("select count(*) from stage_history where stage = 'failed'") == 0


def test_wrong_clocks_of_the_hosts_change_neither_waits_nor_leases(broken: Programs, sandbox: Running) -> None:
    alice = Alice()
    alice.automation([PAUSED[0], *WRITTEN])
    skewed = str(Path(__file__).with_name("skewed_worker.py"))
    sandbox.fault(provider="gemini", fault="slow", times=1, seconds=8)
    for ahead in ("600", "-600"):
        for program in ("executions", "generation", "sending", "scheduler"):
            broken.start(skewed, ahead, program)
    accepted = alice.trigger()

    found = eventually(lambda: (e := execution(accepted))["finished_at"] and e, within=SOON)

    assert found["status"] == "succeeded"
    rested = steps(found["id"])["rest"]
    assert 7.9 <= (rested["finished_at"] - rested["started_at"]).total_seconds() < 25
    # A text that takes longer than a lease is asked for once: nobody took the other's lease for run out.
    assert len(sandbox.messages(provider="gemini")) == 1
    assert all_sent_once(sandbox, 1)


def test_who_waits_goes_on_after_many_restarts_where_it_stood_although_its_automation_is_gone(
    broken: Programs, sandbox: Running
) -> None:
    alice = Alice()
    automation_id = alice.automation([HELLO[0], PAUSED[0], {**HELLO[0], "id": "again"}])
    workers = broken.workers()
    accepted = alice.trigger()
    eventually(lambda: execution(accepted)["waiting_for"] == "time" and steps(execution(accepted)["id"]).get("rest"),
               within=SOON)  # fmt: skip
    with acting_as(alice.workspace_id):
        automation.delete(alice.workspace_id, automation_id, SYSTEM, cancel_in_flight=lambda: 0)

    for _ in range(3):
        for one in workers.values():
            one.kill()
        workers = broken.workers()

    found = eventually(lambda: (e := execution(accepted))["finished_at"] and e, within=SOON)
    assert found["status"] == "succeeded"
    assert [one["attempts"] for one in steps(found["id"]).values()] == [1, 1, 1]
    assert len(sandbox.messages(provider="mailgun")) == 2
