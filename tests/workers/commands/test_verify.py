"""`beckon verify`: after real executions nothing is broken, and what is broken is shown."""

from __future__ import annotations

import json
import re

from cast import HELLO, WRITTEN, at_rest, finished
from models.database import changed

FAILING = [{"id": "x", "action": "send_email", "with": {"subject": "x", "body": "{{ payload.gone }}"}}]
UNTAGGED = {"tags": {"all": ["vip"]}}
LIMITED = {"daily_limit": 1, "contact_daily_limit": 1}


def test_nothing_is_broken_after_executions_of_every_kind(alice, beckon, told, sandbox):
    for steps, rules in ((WRITTEN, None), (FAILING, None), (HELLO, UNTAGGED), (HELLO, LIMITED)):
        alice.automation(steps, rules=rules)
    alice.automation([{"id": "pause", "action": "wait", "with": {"for": "2h"}}], trigger="other")
    sandbox.fault(provider="gemini", fault="http_500", times=1)
    started = [*alice.trigger(idempotency_key="one").executions, *alice.trigger(test=True).executions]
    started += alice.trigger().executions
    for one in started:
        finished(one["executionId"])
    at_rest(alice.trigger("other"))
    shown = beckon("verify").stdout
    assert re.search(r"All \d+ hold\.", shown)
    assert "BROKEN" not in shown
    assert told("verify")["ok"] is True


def test_what_is_broken_is_named_and_the_code_is_1(alice, beckon):
    alice.automation()
    found = finished(alice.trigger())
    changed("update executions set stage = 'sent' where id = %s", (found["id"],))
    shown = beckon("verify", code=1).stdout
    assert "BROKEN  status_and_stage" in shown
    assert found["id"] in shown
    told = json.loads(beckon("verify", "--json", code=1).stdout)
    broken = {one["name"]: one for one in told["invariants"] if not one["holds"]}
    assert broken["status_and_stage"]["examples"] == [found["id"]]
