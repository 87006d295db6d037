"""Everything that may have changed since the claim is looked at again right before a send, whatever leads to the send.

One table of the ways to a send, and one of the changes that happen on the way; each pair is an execution of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psycopg2
import pytest

import clock
from models import automation, contact, suppression
from models.audit import SYSTEM
from models.database import acting_as
from models.engine.limits import ALL_CONTACTS
from models.errors import Conflict
from models.queries import execute, fetch_value
from sandbox.server import RunningSandbox
from settings import Settings
from tasks import periodic_jobs
from tasks.operators import actions, reviews
from tasks.runtime.engine import Engine
from tasks.steps import sending
from tests.support.concurrency import count_lock_waiters, count_provider_calls
from tests.support.factories import (
    HELLO,
    Alice,
    bob,
    execution,
    expire_wait,
    messages,
    steps,
    wait_for_status,
    wait_until_finished,
)
from tests.support.waiting import eventually

HOUR = timedelta(hours=1)
WAIT = {"id": "pause", "action": "wait", "with": {"for": "1h"}}
AGAIN = {**HELLO[0], "id": "again"}
TEXT = {"id": "text", "action": "send_sms", "with": {"body": "Hi"}}
UNTIL = {"id": "paid", "action": "wait_until", "with": {"event": "order.paid", "timeout": "2d"}}


@dataclass
class Scene:
    """Alice's automation, and the execution whose next send is looked at."""

    alice: Alice
    sandbox: RunningSandbox
    settings: Settings
    rules: dict[str, Any] = field(default_factory=dict)
    automation_id: str = ""
    execution_id: str = ""

    @property
    def row(self) -> dict[str, Any]:
        return execution(self.execution_id)

    def start(
        self, *workflow: dict[str, Any], payload: dict[str, Any] | None = None, test: bool = False, **rules: Any
    ) -> None:
        self.automation_id = self.alice.automation(workflow, rules={**self.rules, **rules})
        accepted = self.alice.trigger(contact=bob(timezone="UTC"), payload=payload or {}, test=test)
        self.execution_id = accepted.executions[0]["executionId"]

    def wake(self) -> None:
        expire_wait(self.execution_id)
        periodic_jobs.enqueue_due(self.settings)

    def get_message_id(self) -> str:
        return str(messages(self.execution_id)[-1]["id"])


# The ways to a send: `reach` brings the execution before it, `go_on` lets it happen.


def reach_during_a_send(scene: Scene) -> None:
    scene.sandbox.add_fault(provider="mailgun", fault="slow", times=1, seconds=1)
    scene.start(*HELLO, AGAIN)
    eventually(lambda: [row for row in messages(scene.execution_id) if row["status"] == "sending"])


def reach_wait_between_sends(scene: Scene) -> None:
    scene.start(*HELLO, WAIT, AGAIN)
    wait_for_status(scene.execution_id)


def reach_wait(scene: Scene) -> None:
    scene.start(WAIT, AGAIN)
    wait_for_status(scene.execution_id)


def reach_wait_until(scene: Scene) -> None:
    scene.start({**UNTIL, "then": [], "else": [AGAIN]})
    wait_for_status(scene.execution_id)


def reach_send_at(scene: Scene) -> None:
    scene.start({**AGAIN, "send_at": (clock.now() + 24 * HOUR).isoformat()})
    wait_for_status(scene.execution_id)


def send_at_once(scene: Scene) -> None:
    execute("update messages set send_at = beckon_now() where execution_id = %s", (scene.execution_id,))
    scene.wake()


def reach_rate_limit(scene: Scene) -> None:
    scene.sandbox.add_fault(provider="mailgun", fault="http_429", times=1, seconds=120)
    scene.start(AGAIN)
    wait_for_status(scene.execution_id)


def reach_failure(scene: Scene) -> None:
    scene.start({**AGAIN, "with": {"subject": "Hi", "body": "{{ payload.word }}"}})
    wait_until_finished(scene.execution_id)


def retry(scene: Scene) -> None:
    execute('update triggers set payload = \'{"word": "now"}\' where id = %s', (scene.row["trigger_id"],))
    actions.retry_execution(scene.alice.workspace_id, scene.execution_id, SYSTEM)


def reach_review(scene: Scene) -> None:
    scene.start({**AGAIN, "review": True})
    wait_for_status(scene.execution_id)


def approve(scene: Scene) -> None:
    reviews.approve(scene.alice.workspace_id, scene.get_message_id(), SYSTEM)


def reach_unknown_outcome(scene: Scene) -> None:
    scene.sandbox.add_fault(provider="mailgun", fault="reset_after", times=1)
    scene.start(AGAIN)
    wait_until_finished(scene.execution_id)
    scene.sandbox.clear()


def send_again(scene: Scene) -> None:
    actions.resolve_message(scene.alice.workspace_id, scene.get_message_id(), "resend", SYSTEM)


def reach_follow_up(scene: Scene) -> None:
    scene.start(AGAIN, follow_ups={"max": 1, "every": "24h"})
    eventually(lambda: wait_for_status(scene.execution_id)["waiting_for"] == "follow_up")


def let_a_day_pass(scene: Scene) -> None:
    execute("update steps set finished_at = finished_at - interval '1 day' where execution_id = %s",
            (scene.execution_id,))  # fmt: skip
    scene.wake()


@dataclass(frozen=True)
class Way:
    """A way to a send; `sent` messages leave on it before."""

    reach: Callable[[Scene], None]
    go_on: Callable[[Scene], None]
    sent: int = 0


WAYS = {
    "a later step": Way(reach_during_a_send, lambda _: None, sent=1),
    "a wait between sends": Way(reach_wait_between_sends, Scene.wake, sent=1),
    "a wait": Way(reach_wait, Scene.wake),
    "wait_until": Way(reach_wait_until, Scene.wake),
    "send_at": Way(reach_send_at, send_at_once),
    "a rate limit": Way(reach_rate_limit, Scene.wake),
    "a retry": Way(reach_failure, retry),
    "an approval": Way(reach_review, approve),
    "send again": Way(reach_unknown_outcome, send_again),
    "a follow-up": Way(reach_follow_up, let_a_day_pass, sent=1),
}


# What changes on the way.


def suppress_address(scene: Scene) -> None:
    with acting_as(scene.alice.workspace_id):
        suppression.add_for_contact(
            scene.alice.workspace_id, scene.row["contact_id"], "email", "bob@example.com", "bounced"
        )


def delete_contact(scene: Scene) -> None:
    contact.delete(scene.alice.workspace_id, scene.row["contact_id"], SYSTEM, lambda: 0)


def change_contact(scene: Scene, **fields: Any) -> None:
    contact.change(scene.alice.workspace_id, scene.row["contact_id"], fields, SYSTEM)


def pause(kind: str, name: str = "") -> Callable[[Scene], None]:
    return lambda scene: actions.set_pause(kind, name or scene.automation_id, scene.alice.workspace_id, SYSTEM)


def turn_off(scene: Scene) -> None:
    automation.toggle(scene.alice.workspace_id, scene.automation_id, False, SYSTEM)


def cancel(scene: Scene) -> None:
    actions.cancel_execution(scene.alice.workspace_id, scene.execution_id, SYSTEM)


def let_midnight_pass_and_others_reach_the_limit(scene: Scene) -> None:
    for table in ("limit_counts", "limit_reservations"):
        execute(f"update {table} set day = day - 1")
    execute(
        "insert into limit_counts (workspace_id, automation_id, contact_id, day, count)"
        " values (%s, %s, %s, beckon_now()::date, 1)",
        (scene.alice.workspace_id, scene.automation_id, ALL_CONTACTS),
    )


def build_hours_around_now() -> dict[str, Any]:
    now = clock.now()
    return {"active_hours": {"start": f"{now - HOUR:%H:%M}", "end": f"{now + HOUR:%H:%M}", "timezone": "contact"}}


@dataclass(frozen=True)
class Change:
    """A change, and what becomes of the send: `sent`, `cancelled`, a wait for `pause`, or the rule that skips it."""

    apply: Callable[[Scene], None]
    becomes: str
    build_rules: Callable[[], dict[str, Any]] = dict
    #: Ways on which it cannot happen, or means nothing.
    impossible: frozenset[str] = frozenset()
    #: What becomes of a follow-up, whose round is checked anew.
    follow_up: str = ""


CHANGES = {
    "suppressed": Change(suppress_address, "suppressed"),
    "contact deleted": Change(delete_contact, "no_contact"),
    "address removed": Change(lambda scene: change_contact(scene, email=None), "no_address"),
    "address changed": Change(lambda scene: change_contact(scene, email="robert@example.com"), "sent"),
    "automation paused": Change(pause("automation"), "pause"),
    "queue paused": Change(pause("queue", "sending"), "pause"),
    "provider paused": Change(pause("provider", "mailgun"), "pause"),
    "automation off": Change(turn_off, "sent", follow_up="automation_off"),
    "cancelled": Change(cancel, "cancelled", impossible=frozenset({"a retry", "send again"})),
    "outside the active hours": Change(
        lambda scene: change_contact(scene, timezone="Etc/GMT-12"), "active_hours", build_hours_around_now
    ),
    "limit reached after midnight": Change(
        let_midnight_pass_and_others_reach_the_limit, "daily_limit", lambda: {"daily_limit": 1},
        impossible=frozenset({"a later step"}),
    ),
}  # fmt: skip

#: One case of each way and of each change; the rest of the product is slow.
FEW = {("a wait between sends", change) for change in CHANGES} | {(way, "suppressed") for way in WAYS}
PAIRS = [
    pytest.param(way, change, marks=() if (way, change) in FEW else pytest.mark.slow)
    for way in WAYS
    for change in CHANGES
    if way not in CHANGES[change].impossible
]


def mark_slow(*changes: str) -> list[Any]:
    return [pytest.param(change, marks=pytest.mark.slow) for change in changes]


@pytest.fixture
def scene(engine: Engine, sandbox: RunningSandbox, settings: Settings) -> Scene:
    return Scene(Alice(), sandbox, settings)


@pytest.mark.parametrize(("way", "change"), PAIRS)
def test_a_change_on_the_way_to_a_send_decides_what_becomes_of_it(scene: Scene, way: str, change: str) -> None:
    path, changed = WAYS[way], CHANGES[change]
    scene.rules = changed.build_rules()
    path.reach(scene)
    changed.apply(scene)

    # An operator's action on a cancelled execution is refused.
    with suppress(Conflict):
        path.go_on(scene)

    becomes = (way == "a follow-up" and changed.follow_up) or changed.becomes
    assert find_result(scene, becomes) == becomes
    assert count_provider_calls(scene.sandbox) == path.sent + (becomes == "sent")
    if change == "address changed":
        assert messages(scene.execution_id)[-1]["to_address"] == "robert@example.com"


def find_result(scene: Scene, expected: str) -> str:
    """Find what became of the send once it is decided: see `Change.becomes`."""
    if expected == "pause":
        eventually(lambda: scene.row["waiting_for"] == "pause")
        return str(wait_for_status(scene.execution_id)["waiting_for"])
    result = eventually(lambda: is_decided(row := scene.row) and row)
    if result["follow_up_count"]:
        return "sent"
    if result["status"] == "cancelled":
        return "cancelled"
    if result["follow_up_ended_because"]:
        return str(result["follow_up_ended_because"]["rule"])
    skipped = (steps(scene.execution_id)["again"]["output"] or {}).get("skipped")
    has_sent_before = any(row["step_id"] == "hello" and row["sent_at"] for row in messages(scene.execution_id))
    assert result["status"] == ("skipped" if skipped and not has_sent_before else "succeeded")
    return str(skipped["rule"]) if skipped else "sent"


def is_decided(row: dict[str, Any]) -> bool:
    """Whether the execution has ended, or has sent its follow-up and waits for a reply."""
    return bool(row["finished_at"] and row["status"] != "failed") or row["follow_up_count"] > 0


def test_a_suppression_during_a_wait_leaves_the_branch_to_another_channel(scene: Scene) -> None:
    fork = {"id": "fork", "action": "branch", "if": "steps.again.skipped", "then": [TEXT], "else": []}
    scene.start(*HELLO, WAIT, AGAIN, fork)
    wait_for_status(scene.execution_id)
    suppress_address(scene)
    scene.wake()

    assert wait_until_finished(scene.execution_id)["status"] == "succeeded"
    calls = [count_provider_calls(scene.sandbox, provider) for provider in ("mailgun", "telnyx")]
    assert calls == [1, 1]


@pytest.mark.parametrize("action", ["call_webhook", "notify"])
def test_a_pause_while_a_notice_is_sent_holds_the_next(
    scene: Scene, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "MAX_INTENT_AGE_SECONDS", 60.0)
    with_ = {"url": "https://example.com/hook"} if action == "call_webhook" else {"channel": "slack", "text": "Hi"}
    provider = "webhook" if action == "call_webhook" else "slack"
    scene.sandbox.add_fault(provider=provider, fault="slow", times=1, seconds=0.5)
    # A test's webhooks go to the sandbox.
    scene.start(*({"id": name, "action": action, "with": with_} for name in ("first", "second")), test=True)
    eventually(lambda: [row for row in messages(scene.execution_id) if row["status"] == "sending"])
    pause("automation")(scene)

    assert find_result(scene, "pause") == "pause"
    assert count_provider_calls(scene.sandbox, provider) == 1


@pytest.mark.parametrize("change", ["suppressed", *mark_slow("automation paused", "address changed")])
def test_a_change_before_another_try_of_the_same_call_decides_too(scene: Scene, change: str) -> None:
    scene.sandbox.add_fault(provider="mailgun", fault="http_429", times=1, seconds=1)
    scene.start(AGAIN)
    eventually(lambda: [row for row in messages(scene.execution_id) if row["status"] == "sending"])
    CHANGES[change].apply(scene)

    assert find_result(scene, CHANGES[change].becomes) == CHANGES[change].becomes
    sent = ["robert@example.com"] if change == "address changed" else []
    assert [accepted["to"] for accepted in scene.sandbox.list_messages(provider="mailgun")] == sent


@pytest.mark.parametrize(
    "change", ["suppressed", *mark_slow("address removed", "automation paused", "provider paused")]
)
def test_a_change_while_the_intent_is_recorded_decides_too(
    scene: Scene, change: str, database_urls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "MAX_INTENT_AGE_SECONDS", 0.0)
    with closing(psycopg2.connect(database_urls.owner)) as other, other, other.cursor() as cursor:
        cursor.execute("lock table messages in share mode")
        scene.start(AGAIN)
        eventually(count_lock_waiters)
        CHANGES[change].apply(scene)

    assert find_result(scene, CHANGES[change].becomes) == CHANGES[change].becomes
    assert count_provider_calls(scene.sandbox) == 0


def test_a_notice_uses_up_no_daily_limit(scene: Scene) -> None:
    notice = {"id": "tell", "action": "notify", "with": {"channel": "slack", "text": "Hi"}}
    scene.rules = {"daily_limit": 5}
    scene.start(notice, {"id": "fork", "action": "branch", "if": "payload.send", "then": HELLO, "else": []},
                payload={"send": False})  # fmt: skip

    wait_until_finished(scene.execution_id)

    assert fetch_value("select count(*) from limit_reservations") == 0
