"""`beckon verify`: every invariant holds after real executions, and violations are shown."""

from __future__ import annotations

import json
import re

from models.queries import execute
from tests.support.factories import HELLO, WRITTEN, wait_for_status, wait_until_finished

FAILING = [{"id": "x", "action": "send_email", "with": {"subject": "x", "body": "{{ payload.gone }}"}}]
UNTAGGED = {"tags": {"all": ["vip"]}}
LIMITED = {"daily_limit": 1, "contact_daily_limit": 1}


def test_nothing_is_broken_after_executions_of_every_kind(alice, beckon, alice_json, sandbox):
    for steps, rules in ((WRITTEN, None), (FAILING, None), (HELLO, UNTAGGED), (HELLO, LIMITED)):
        alice.automation(steps, rules=rules)
    alice.automation([{"id": "pause", "action": "wait", "with": {"for": "2h"}}], trigger="other")
    sandbox.add_fault(provider="gemini", fault="http_500", times=1)
    started = [*alice.trigger(idempotency_key="one").executions, *alice.trigger(test=True).executions]
    started += alice.trigger().executions
    for execution in started:
        wait_until_finished(execution["executionId"])
    wait_for_status(alice.trigger("other"))
    output = beckon("verify").stdout
    assert re.search(r"All \d+ invariants hold\.", output)
    assert "BROKEN" not in output
    assert alice_json("verify")["ok"] is True


def test_work_that_is_only_late_is_no_violation(alice, beckon):
    alice.automation([{"id": "pause", "action": "wait", "with": {"for": "2h"}}])
    execution = wait_for_status(alice.trigger())
    execute("update executions set due_at = beckon_now() - interval '5 minutes' where id = %s", (execution["id"],))
    output = beckon("verify").stdout
    assert f"late    {'due_work_is_claimed':<22}" in output
    assert "Work is late" in output
    report = json.loads(beckon("verify", "--json").stdout)
    assert report["ok"] is True
    assert [row["name"] for row in report["invariants"] if row["late"]] == ["due_work_is_claimed"]
    assert all(row["holds"] for row in report["invariants"])


def test_a_violation_is_named_and_the_exit_code_is_1(alice, beckon):
    alice.automation()
    execution = wait_until_finished(alice.trigger())
    execute("update executions set stage = 'sent' where id = %s", (execution["id"],))
    output = beckon("verify", code=1).stdout
    assert "BROKEN  stages_match_statuses" in output
    assert execution["id"] in output
    report = json.loads(beckon("verify", "--json", code=1).stdout)
    broken = {invariant["name"]: invariant for invariant in report["invariants"] if not invariant["holds"]}
    assert broken["stages_match_statuses"]["examples"] == [execution["id"]]
