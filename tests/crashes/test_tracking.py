"""Tracked executions: whatever is answered with 2xx is recorded once, whichever process is killed, and whenever."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from models.checks import verification
from models.ids import new_id
from models.queries import fetch_value
from sandbox.server import RunningSandbox
from settings import Settings
from tests.support.concurrency import assert_consistent
from tests.support.factories import Alice, counters
from tests.support.programs import Program, Programs
from tests.support.tracking import Shop, build_entry, store
from tests.support.waiting import eventually
from workers import embedded

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]

RECOVERY_SECONDS = 60.0
BATCHES, BATCH_SIZE = 60, 20


def count_rows(table: str = "workflow_executions") -> int:
    return int(fetch_value(f"select count(*) from {table}"))


def kill_with_children(process: Program) -> None:
    """Kill gunicorn and its worker at once, as if the machine had lost them."""
    pids = [process.pid]
    for task in Path(f"/proc/{process.pid}/task").glob("*/children"):
        with suppress(OSError):
            pids += [int(pid) for pid in task.read_text().split()]
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


@pytest.fixture
def run_directory(settings: Settings) -> Iterator[None]:
    """The directory in which gunicorn keeps its workers' signs of life."""
    embedded.ensure_private_directory(settings.run)
    yield
    shutil.rmtree(settings.run)


def test_kills_of_every_process_lose_no_execution_and_double_none(
    programs: Programs, sandbox: RunningSandbox, settings: Settings, run_directory: None
) -> None:
    alice = Alice()
    offer = alice.automation()
    shop = Shop(alice, offer)
    dashboard = programs.start("dashboard", BECKON_PORT=str(shop.port))
    tracking = programs.start("worker", "--queues", "tracking")
    programs.start("scheduler")
    eventually(shop.is_served, timeout=RECOVERY_SECONDS)

    batches = [[new_id() for _ in range(BATCH_SIZE)] for _ in range(BATCHES)]
    with ThreadPoolExecutor(4) as pool:
        reports = [pool.submit(shop.report_until_accepted, batch) for batch in batches]
        for done in (10, 30):
            eventually(lambda done=done: sum(report.done() for report in reports) >= done, timeout=RECOVERY_SECONDS)
            tracking.kill()
            kill_with_children(dashboard)
            for url in (settings.broker_url, settings.ephemeral_url):
                redis.Redis.from_url(url).flushdb()
            dashboard = programs.start("dashboard", BECKON_PORT=str(shop.port))
            tracking = programs.start("worker", "--queues", "tracking")
        assert all(report.result(RECOVERY_SECONDS) for report in reports)

    eventually(lambda: count_rows("tracking_intake") == 0, timeout=RECOVERY_SECONDS)
    assert count_rows() == BATCHES * BATCH_SIZE
    assert fetch_value("select count(distinct execution_id) from workflow_executions") == BATCHES * BATCH_SIZE
    assert count_rows("analytics_events") == 2 * BATCHES * BATCH_SIZE
    assert counters(alice.workspace_id, offer)["executions"] == BATCHES * BATCH_SIZE
    assert all(finding.holds for finding in verification.verify())


@pytest.mark.slow
def test_workers_killed_while_they_record_move_each_counter_once(programs: Programs, sandbox: RunningSandbox) -> None:
    alice = Alice()
    offers = [alice.automation(name=f"Offer {number}") for number in range(3)]
    for first in range(0, 6_000, 500):
        store(*[build_entry(alice.workspace_id, offers[n % 3]) for n in range(first, first + 500)])
    programs.start("scheduler")
    for done in (500, 1_500, 2_500):
        worker = programs.start("worker", "--queues", "tracking")
        eventually(lambda done=done: count_rows() >= done, timeout=RECOVERY_SECONDS, interval=0.005)
        worker.kill()

    eventually(lambda: count_rows("tracking_intake") == 0, timeout=RECOVERY_SECONDS)
    assert [counters(alice.workspace_id, offer)["executions"] for offer in offers] == [2_000] * 3
    assert_consistent()
    assert all(finding.holds for finding in verification.verify())
