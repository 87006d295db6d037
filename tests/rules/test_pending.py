"""The reason why a due execution is not running yet: the first obstacle on its way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rules.pending import WorkFacts, explain_pending

HEALTHY = WorkFacts(redis_up=True, leader_up=True, served_queues={"sending"}, paused_queues={})


@pytest.mark.parametrize(
    ("facts", "details", "reason"),
    [
        (
            replace(HEALTHY, redis_up=False, served_queues=set()),
            {},
            "Redis does not answer or refuses changes, so workers are not notified",
        ),
        (replace(HEALTHY, served_queues={"executions"}), {}, "No worker serves the queue sending"),
        (HEALTHY, {"automation_paused": True}, "Its automation is paused"),
        (replace(HEALTHY, paused_queues={"sending": False}), {}, "The queue sending is paused"),
        (replace(HEALTHY, paused_queues={"sending": True}), {}, "The queue sending drains"),
        (replace(HEALTHY, paused_queues={"generation": True}), {}, "Next in the queue sending"),
        (HEALTHY, {"is_notified": False}, "Its notification comes within a second"),
        (replace(HEALTHY, leader_up=False), {"is_notified": False}, "No scheduler leads, so nothing wakes it"),
        (replace(HEALTHY, leader_up=False), {}, "Next in the queue sending"),
        (HEALTHY, {"ahead": 1200}, "Waits its turn behind 1,200"),
    ],
)
def test_the_first_obstacle_is_the_reason(facts: WorkFacts, details: dict[str, int], reason: str) -> None:
    usual = {"automation_paused": False, "is_notified": True, "ahead": 0}
    assert explain_pending("sending", facts=facts, **{**usual, **details}) == reason  # type: ignore[arg-type]
