"""`beckon demo`: the document's session of fifteen, watched from the terminal, at any hour of the day."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from cast import stages
from models import demo, workspace
from models.database import rows
from workers import rehearsal


@pytest.fixture
def demonstrated(engine, clean, beckon, sandbox, settings):
    """What the command printed in a demo workspace that was just made."""
    demo.make()
    sandbox_port = sandbox.url.rsplit(":", 1)[1]
    return beckon("demo", BECKON_SANDBOX_PORT=sandbox_port).stdout


def test_ten_are_sent_one_by_one_and_five_are_asleep(demonstrated, sandbox):
    assert "Result: 10 sent, 5 skipped, 0 failed" in demonstrated
    assert re.search(r"/automations/[0-9a-f-]{36}/monitor", demonstrated)
    assert len(re.findall(r"skipped: .*(?:hours|opens)", demonstrated)) == 5
    told = [line.split()[-1] for line in demonstrated.splitlines()]
    # They go by one by one: half of them are sent before the text of the last is there.
    ready = [place for place, stage in enumerate(told) if stage == "ready_to_send"]
    sent = [place for place, stage in enumerate(told) if stage == "sent"]
    assert (len(ready), len(sent)) == (10, 10)
    assert sent[4] < ready[9]
    assert len(sandbox.messages(provider="facebook")) == 10


def test_each_passes_every_stage_of_the_document(demonstrated):
    for one in rows("select id, status from executions"):
        passed = stages(one["id"])
        if one["status"] == "skipped":
            assert passed == ["queued", "checking", "skipped"]
        else:
            # And there it waits for an answer, or for its first follow-up.
            assert passed == [
                "queued", "checking", "eligible", "generating", "ready_to_send", "sending", "sent",
            ]  # fmt: skip


def test_it_leaves_no_trace_in_any_counter(demonstrated):
    found = workspace.by_slug("demo")
    assert found is not None
    assert rows("select executions, succeeded, skipped from automations where executions <> 0") == []
    assert rows("select 1 from executions where not test") == []


def test_at_every_hour_ten_are_awake_and_five_asleep():
    for hours in range(0, 24 * 366, 5):
        now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
        local = [now.astimezone(ZoneInfo(one["timezone"])).hour for one in rehearsal.people(now)]
        assert all(hour in rehearsal.DAY for hour in local[:10])
        assert all(hour in rehearsal.NIGHT for hour in local[10:])


def test_it_says_so_when_nothing_runs(engine, clean, beckon):
    demo.make()
    assert "The sandbox at " in beckon("demo", code=1, BECKON_SANDBOX_PORT="1").stderr
