"""`beckon demo`: the document's session of fifteen contacts in the terminal, at any hour of the day."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

import clock
from models import workspace
from models.checks import verification
from models.demo import workspace as demo_workspace
from models.execution_filters import ExecutionFilters
from models.reports import executions, summary
from tests.support.factories import stages
from tests.support.rows import fetch_rows
from workers import demo_session


@pytest.fixture
def demo_output(engine, clean, beckon, sandbox, settings):
    """The output of the command in a new demo workspace."""
    demo_workspace.create_demo()
    sandbox_port = sandbox.url.rsplit(":", 1)[1]
    return beckon("demo", BECKON_SANDBOX_PORT=sandbox_port).stdout


def assert_stages_of_the_document():
    """Each execution passed the document's stages."""
    for row in fetch_rows("select id, status from executions"):
        passed = stages(row["id"])
        if row["status"] == "skipped":
            assert passed == ["queued", "checking", "skipped"]
        else:
            # There it waits for a reply or for its first follow-up.
            assert passed == [
                "queued", "checking", "eligible", "generating", "ready_to_send", "sending", "sent",
            ]  # fmt: skip


def assert_counted_as_demo():
    """Every execution counts, is marked as demo, and every invariant holds."""
    workspace_row = workspace.find_by_slug("demo")
    assert workspace_row is not None
    workspace_id = workspace_row["id"]
    rows = executions.fetch_page(workspace_id, ExecutionFilters(), 20)
    assert {(row["test"], row["demo"]) for row in rows} == {(False, True)}
    counts = summary.fetch_summary(workspace_id, clock.now() - timedelta(hours=1))
    assert (counts.sent, counts.skipped, counts.failed, counts.waiting) == (10, 5, 0, 10)
    assert [check.name for check in verification.verify(workspace_id) if not check.holds] == []


def test_ten_are_sent_one_by_one_through_every_stage_and_five_are_asleep(demo_output, sandbox):
    assert "Result: 10 sent, 5 skipped, 0 failed" in demo_output
    assert re.search(r"/automations/[0-9a-f-]{36}/monitor", demo_output)
    assert len(re.findall(r"skipped: .*(?:hours|opens)", demo_output)) == 5
    line_stages = [line.split()[-1] for line in demo_output.splitlines()]
    # They appear one by one: half of them are sent before the last text is generated.
    ready = [position for position, stage in enumerate(line_stages) if stage == "ready_to_send"]
    sent = [position for position, stage in enumerate(line_stages) if stage == "sent"]
    assert (len(ready), len(sent)) == (10, 10)
    assert sent[4] < ready[9]
    assert len(sandbox.list_messages(provider="facebook")) == 10
    assert_stages_of_the_document()
    assert_counted_as_demo()


@pytest.mark.slow
def test_with_real_credentials_the_executions_are_tests(engine, clean, beckon, sandbox):
    demo_workspace.create_demo()
    real = {"META_PAGE_ACCESS_TOKEN": "EAAreal", "META_APP_SECRET": "a" * 32}
    output = beckon("demo", BECKON_SANDBOX_PORT=sandbox.url.rsplit(":", 1)[1], **real).stdout
    assert "the executions are tests, which are not counted" in output
    assert fetch_rows("select 1 from executions where not test") == []


def test_at_every_hour_ten_are_awake_and_five_asleep():
    for hours in range(0, 24 * 366, 5):
        now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
        local = [now.astimezone(ZoneInfo(person["timezone"])).hour for person in demo_session.build_contacts(now)]
        assert all(hour in demo_session.DAY_HOURS for hour in local[:10])
        assert all(hour in demo_session.NIGHT_HOURS for hour in local[10:])


def test_without_a_sandbox_the_demo_says_so(engine, clean, beckon):
    demo_workspace.create_demo()
    assert "The sandbox at " in beckon("demo", code=1, BECKON_SANDBOX_PORT="1").stderr
