"""`beckon test`: three workflows are executed and verified, or the failed step is named; nothing is left behind."""

from __future__ import annotations

import json
import re
import threading

import pytest

import clock
from ephemeral import heartbeats
from models import test_run
from models.audit import SYSTEM
from models.database import connection
from rules.test_workflows import STEP_NAMES
from tasks import periodic_jobs
from tasks.runtime.broker import QUEUES
from tests.support.rows import fetch_rows

TABLES = (
    "automations",
    "workflow_versions",
    "contacts",
    "triggers",
    "executions",
    "steps",
    "stage_history",
    "messages",
)


@pytest.fixture
def scheduler(alice, settings):
    """Ends the waits, as the scheduler does."""
    stopping = threading.Event()

    def run():
        with connection():
            while not stopping.wait(0.05):
                periodic_jobs.enqueue_due(settings)

    thread = threading.Thread(target=run)
    thread.start()
    yield
    stopping.set()
    thread.join()


@pytest.fixture
def count_rows(alice):
    # The engine runs in this process, whose heartbeat nobody else records.
    heartbeats.record(QUEUES, clock.now())

    def count():
        return {table: fetch_rows(f"select count(*) as n from {table}")[0]["n"] for table in TABLES}

    return count


def test_every_step_passes_and_nothing_is_left_behind(alice_beckon, sandbox, scheduler, count_rows):
    output = alice_beckon("test").stdout
    assert re.findall(r"^  ok +(.*?)  ", output, re.MULTILINE) == list(STEP_NAMES)
    assert "3 eligible, 1 skipped as expected" in output
    assert output.endswith("The test passed.\n")
    assert count_rows() == dict.fromkeys(TABLES, 0)


def test_a_provider_that_refuses_is_named_with_its_reason(alice_beckon, sandbox, count_rows):
    sandbox.add_fault(provider="telnyx", fault="auth", times=0)
    result = json.loads(alice_beckon("test", "--json", "--timeout", "3", code=1).stdout)["testRun"]
    assert result["status"] == "failed"
    (failed,) = [step for step in result["steps"] if step["status"] == "failed"]
    assert failed["name"] == "E-mail, SMS and messages sent"
    assert failed["detail"].startswith("Telnyx ")
    assert result["cleanedUp"] is True
    assert count_rows() == dict.fromkeys(TABLES, 0)


def test_a_server_that_does_not_respond_is_named(alice_beckon, count_rows):
    output = alice_beckon("test", REDIS_URL="redis://127.0.0.1:1", code=1).stdout
    assert re.search(r"FAILED +Database, Redis and workers answer .*Redis does not respond", output)
    assert count_rows() == dict.fromkeys(TABLES, 0)


def test_a_second_run_is_refused_while_one_runs(alice, alice_beckon, count_rows):
    run_id = test_run.create(alice.workspace_id, SYSTEM)
    assert run_id in alice_beckon("test", code=1).stderr
