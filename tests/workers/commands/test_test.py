"""`beckon test`: a message gets through, or the step that failed is named; either way nothing is left behind."""

from __future__ import annotations

import json
import re

import pytest

from models.database import rows
from tasks.test_runs import STAGES

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
def left_behind(alice):
    def counted():
        return {table: rows(f"select count(*) as n from {table}")[0]["n"] for table in TABLES}

    return counted


def test_every_stage_is_verified_and_nothing_is_left_behind(hers, sandbox, left_behind):
    shown = hers("test").stdout
    assert re.findall(r"^  ok +(\w+)", shown, re.MULTILINE) == [
        "workflow", "trigger", *STAGES, "message", "counters", "cleanup",
    ]  # fmt: skip
    assert shown.endswith("A message gets through.\n")
    assert len(sandbox.messages(provider="mailgun")) == 1
    assert left_behind() == dict.fromkeys(TABLES, 0)


def test_a_provider_that_refuses_is_named_with_its_reason(hers, sandbox, left_behind):
    sandbox.fault(provider="mailgun", fault="auth", times=0)
    told = json.loads(hers("test", "--json", "--patience", "3", code=1).stdout)["testRun"]
    assert told["status"] == "failed"
    assert [one["name"] for one in told["steps"] if one["status"] == "failed"] == ["ready_to_send"]
    assert told["cleanedUp"] is True
    assert left_behind() == dict.fromkeys(TABLES, 0)


def test_a_stage_that_is_not_reached_is_named(hers, left_behind):
    shown = hers("test", "--patience", "0", REDIS_URL="redis://127.0.0.1:1", code=1).stdout
    assert re.search(r"FAILED +checking .*is every worker running\?", shown)
    assert left_behind() == dict.fromkeys(TABLES, 0)
