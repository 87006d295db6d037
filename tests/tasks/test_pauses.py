"""Pauses: what a paused and a draining queue still do, and the trial of a provider that refused its credentials."""

from __future__ import annotations

from typing import Any

import pytest

from models.audit import SYSTEM
from models.errors import Conflict
from sandbox.server import RunningSandbox
from settings import Settings
from tasks import periodic_jobs
from tasks.operators import actions as operator_actions
from tasks.runtime.engine import Engine
from tasks.steps.current_facts import MAX_AGE_SECONDS
from tests.support.concurrency import count_provider_calls
from tests.support.factories import HELLO, Alice, execution, messages, wait_for_status, wait_until_finished
from tests.support.rows import fetch_row, fetch_rows
from tests.support.waiting import eventually

TWO_SENDS = [*HELLO, {**HELLO[0], "id": "again"}]


@pytest.fixture
def alice(engine: Engine) -> Alice:
    return Alice()


def start_slow_send(alice: Alice, sandbox: RunningSandbox) -> str:
    """Start an execution with two sends, and return its id while its first send is with the provider."""
    sandbox.add_fault(provider="mailgun", fault="slow", times=1, seconds=MAX_AGE_SECONDS + 0.2)
    alice.automation(TWO_SENDS)
    execution_id: str = execution(alice.trigger())["id"]
    eventually(lambda: [message["status"] for message in messages(execution_id)][:1] == ["sending"])
    return execution_id


@pytest.mark.parametrize(
    "paused", ["queue", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("provider", "automation"))]
)
def test_a_pause_holds_the_next_send_of_a_running_execution(alice: Alice, sandbox: RunningSandbox, paused: str) -> None:
    execution_id = start_slow_send(alice, sandbox)
    names = {"queue": "sending", "provider": "mailgun", "automation": execution(execution_id)["automation_id"]}
    operator_actions.set_pause(paused, names[paused], alice.workspace_id, SYSTEM)

    waiting = wait_for_status(execution_id)

    assert (waiting["waiting_for"], count_provider_calls(sandbox)) == ("pause", 1)
    operator_actions.resume(paused, names[paused], alice.workspace_id, SYSTEM)
    assert wait_until_finished(execution_id)["status"] == "succeeded"
    assert count_provider_calls(sandbox) == 2


def test_a_draining_queue_finishes_what_runs_and_takes_nothing_new(alice: Alice, sandbox: RunningSandbox) -> None:
    execution_id = start_slow_send(alice, sandbox)
    operator_actions.set_pause("queue", "sending", alice.workspace_id, SYSTEM, draining=True)
    later = alice.trigger()

    assert wait_for_status(later)["waiting_for"] == "pause"
    assert wait_until_finished(execution_id)["status"] == "succeeded"
    assert count_provider_calls(sandbox) == 2
    operator_actions.resume("queue", "sending", alice.workspace_id, SYSTEM)
    assert wait_until_finished(later)["status"] == "succeeded"


def test_a_pause_keeps_its_reason_and_who_began_it(alice: Alice) -> None:
    operator_actions.set_pause("provider", "slack", alice.workspace_id, SYSTEM, reason="channel is renamed")
    pause = fetch_row("select message, actor_name, reason from pauses")
    assert pause == {"message": "channel is renamed", "actor_name": "Beckon", "reason": "operator"}
    audited = fetch_rows("select detail->>'reason' as reason from audit where action = 'provider.paused'")
    assert audited == [{"reason": "channel is renamed"}]


def start_refused(alice: Alice, sandbox: RunningSandbox, count: int) -> list[str]:
    """Start executions that wait because Mailgun refused the key."""
    sandbox.add_fault(provider="mailgun", fault="auth", times=1)
    alice.automation(HELLO)
    started: list[Any] = [wait_for_status(alice.trigger())["id"] for _ in range(count)]
    assert {execution(execution_id)["waiting_for"] for execution_id in started} == {"configuration"}
    return started


def test_a_trial_that_the_provider_accepts_ends_the_pause_for_all(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    first, second, third = start_refused(alice, sandbox, 3)

    assert operator_actions.try_provider("mailgun", alice.workspace_id, SYSTEM) == first
    assert wait_until_finished(first)["status"] == "succeeded"
    assert fetch_rows("select * from pauses") == []
    assert execution(second)["waiting_for"] == "configuration"

    assert periodic_jobs.end_resolved_pauses(settings)["late"] == 2
    for execution_id in (second, third):
        assert wait_until_finished(execution_id)["status"] == "succeeded"


def test_a_trial_that_the_provider_refuses_keeps_the_pause(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    (first,) = start_refused(alice, sandbox, 1)
    since = fetch_row("select created_at, retry_at from pauses")
    sandbox.add_fault(provider="mailgun", fault="auth", times=1)

    assert operator_actions.try_provider("mailgun", alice.workspace_id, SYSTEM) == first
    eventually(lambda: fetch_row("select created_at, retry_at from pauses where retry_at > beckon_now()") is not None)

    again = fetch_row("select created_at, retry_at from pauses")
    assert since is not None
    assert again is not None
    assert again["created_at"] == since["created_at"]
    assert again["retry_at"] > since["retry_at"]
    assert periodic_jobs.end_resolved_pauses(settings)["late"] == 0
    assert operator_actions.try_provider("mailgun", alice.workspace_id, SYSTEM) == first
    assert len(fetch_rows("select * from audit where action = 'provider.tried'")) == 2


def test_a_provider_that_is_not_paused_for_credentials_cannot_be_tried(alice: Alice) -> None:
    with pytest.raises(Conflict, match="refused credentials"):
        operator_actions.try_provider("mailgun", alice.workspace_id, SYSTEM)
    operator_actions.set_pause("provider", "mailgun", alice.workspace_id, SYSTEM)
    with pytest.raises(Conflict, match="refused credentials"):
        operator_actions.try_provider("mailgun", alice.workspace_id, SYSTEM)
    assert fetch_rows("select * from audit where action = 'provider.tried'") == []
