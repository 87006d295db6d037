"""`beckon test`: the test passes, or the failed step is named; either way nothing is left behind."""

from __future__ import annotations

import json
import re

import pytest

from tasks.operators.test_runs import STAGES
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
def count_rows(alice):
    def count():
        return {table: fetch_rows(f"select count(*) as n from {table}")[0]["n"] for table in TABLES}

    return count


def test_every_stage_is_verified_and_nothing_is_left_behind(alice_beckon, sandbox, count_rows):
    output = alice_beckon("test").stdout
    assert re.findall(r"^  ok +(\w+)", output, re.MULTILINE) == [
        "workflow", "trigger", *STAGES, "message", "counters", "cleanup",
    ]  # fmt: skip
    assert output.endswith("The test passed.\n")
    assert len(sandbox.list_messages(provider="mailgun")) == 1
    assert count_rows() == dict.fromkeys(TABLES, 0)


def test_a_provider_that_refuses_is_named_with_its_reason(alice_beckon, sandbox, count_rows):
    sandbox.add_fault(provider="mailgun", fault="auth", times=0)
    test_run = json.loads(alice_beckon("test", "--json", "--timeout", "3", code=1).stdout)["testRun"]
    assert test_run["status"] == "failed"
    assert [step["name"] for step in test_run["steps"] if step["status"] == "failed"] == ["ready_to_send"]
    assert test_run["cleanedUp"] is True
    assert count_rows() == dict.fromkeys(TABLES, 0)


def test_a_stage_that_is_not_reached_is_named(alice_beckon, count_rows):
    output = alice_beckon("test", "--timeout", "0", REDIS_URL="redis://127.0.0.1:1", code=1).stdout
    assert re.search(r"FAILED +checking .*is every worker running\?", output)
    assert count_rows() == dict.fromkeys(TABLES, 0)
