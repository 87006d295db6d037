"""Breakers: after five time-outs in a row executions wait for their provider, and one of them probes it."""

from __future__ import annotations

from typing import Any

import pytest

from models.audit import SYSTEM
from models.queries import execute
from providers import mailgun, text_generation
from sandbox.server import RunningSandbox
from settings import Settings
from tasks import periodic_jobs
from tasks.operators import actions as operator_actions
from tasks.runtime.engine import Engine
from tests.support.factories import HELLO, WRITTEN, Alice, execution, steps, wait_for_status, wait_until_finished
from tests.support.rows import fetch_row, fetch_rows
from tests.support.waiting import eventually


@pytest.fixture
def alice(engine: Engine) -> Alice:
    return Alice()


@pytest.fixture(autouse=True)
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailgun.Mailgun, "read_seconds", 0.2)


def count_timeouts(alice: Alice, number: int, provider: str = "mailgun") -> None:
    """Note that the last calls of a provider timed out."""
    execute(
        "insert into provider_breakers (workspace_id, provider, timeouts) values (%s, %s, %s)",
        (alice.workspace_id, provider, number),
    )


def open_breaker(alice: Alice, provider: str = "mailgun") -> None:
    """Open a breaker: its fifth call in a row timed out."""
    count_timeouts(alice, 5, provider)
    execute(
        "update provider_breakers set opened_at = beckon_now(), probe_at = beckon_now() + interval '30 seconds'"
        " where workspace_id = %s", (alice.workspace_id,),
    )  # fmt: skip


def make_probe_due() -> None:
    execute("update provider_breakers set probe_at = beckon_now()")


def fetch_breaker() -> dict[str, Any] | None:
    return fetch_row("select timeouts, opened_at is not null as open, probe_at > beckon_now() as waits"
                     " from provider_breakers")  # fmt: skip


def start_waiting(alice: Alice, count: int) -> list[str]:
    """Start executions of one e-mail, which wait for the open breaker."""
    return [str(wait_for_status(alice.trigger())["id"]) for _ in range(count)]


def test_five_timeouts_in_a_row_hold_the_next_messages(alice: Alice, sandbox: RunningSandbox) -> None:
    sandbox.add_fault(provider="mailgun", fault="timeout", times=0, seconds=0.4)
    alice.automation(HELLO)
    for accepted in alice.triggers([{}] * 5):
        assert wait_until_finished(accepted)["error_class"] == "unknown_outcome"
    assert fetch_breaker() == {"timeouts": 5, "open": True, "waits": True}

    waiting = wait_for_status(alice.trigger())

    assert (waiting["stage"], waiting["waiting_for"], waiting["provider"]) == ("ready_to_send", "provider", "mailgun")
    assert (waiting["attempt"], steps(waiting["id"])) == (1, {})


def test_a_breaker_holds_only_its_own_workspace(alice: Alice, sandbox: RunningSandbox) -> None:
    open_breaker(alice)
    bob = Alice(name="bob")
    bob.automation(HELLO)
    assert wait_until_finished(bob.trigger())["status"] == "succeeded"


def test_an_answer_ends_the_row_of_timeouts(alice: Alice) -> None:
    count_timeouts(alice, 4)
    alice.automation(HELLO)
    assert wait_until_finished(alice.trigger())["status"] == "succeeded"
    eventually(lambda: fetch_breaker() is None)


def test_one_message_probes_and_its_answer_continues_all(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    open_breaker(alice)
    alice.automation(HELLO)
    first, second = start_waiting(alice, 2)
    assert periodic_jobs.wake_after_timeouts(settings) == {"probing": 0, "continued": 0}

    make_probe_due()
    assert periodic_jobs.wake_after_timeouts(settings) == {"probing": 1, "continued": 0}
    assert wait_until_finished(first)["status"] == "succeeded"
    assert execution(second)["waiting_for"] == "provider"

    eventually(lambda: fetch_breaker() is None)
    assert periodic_jobs.wake_after_timeouts(settings) == {"probing": 0, "continued": 1}
    assert wait_until_finished(second)["status"] == "succeeded"


def test_an_execution_that_a_pause_holds_probes_nothing(alice: Alice, settings: Settings) -> None:
    open_breaker(alice)
    paused = alice.automation(HELLO)
    (held,) = start_waiting(alice, 1)
    operator_actions.set_pause("automation", paused, alice.workspace_id, SYSTEM)
    alice.automation(HELLO, trigger="contact.updated", name="Receipt")
    probing = str(wait_for_status(alice.trigger("contact.updated"))["id"])

    assert operator_actions.try_provider("mailgun", alice.workspace_id, SYSTEM) == probing
    assert wait_until_finished(probing)["status"] == "succeeded"
    assert execution(held)["status"] == "waiting"


def test_a_probe_that_times_out_keeps_the_others_waiting(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    open_breaker(alice)
    alice.automation(HELLO)
    first, second = start_waiting(alice, 2)
    sandbox.add_fault(provider="mailgun", fault="timeout", times=0, seconds=0.4)
    make_probe_due()

    periodic_jobs.wake_after_timeouts(settings)

    assert wait_until_finished(first)["error_class"] == "unknown_outcome"
    assert fetch_breaker() == {"timeouts": 6, "open": True, "waits": True}
    assert periodic_jobs.wake_after_timeouts(settings) == {"probing": 0, "continued": 0}
    assert execution(second)["waiting_for"] == "provider"


def test_a_model_that_does_not_answer_holds_the_next_texts(
    alice: Alice, sandbox: RunningSandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_generation, "READ_SECONDS", 0.2)
    count_timeouts(alice, 4, "gemini")
    sandbox.add_fault(provider="gemini", fault="timeout", times=3, seconds=0.4)
    alice.automation(WRITTEN)
    retried = wait_for_status(alice.trigger())
    assert (retried["waiting_for"], retried["error_class"]) == ("retry", "timeout")

    waiting = wait_for_status(alice.trigger())

    assert (waiting["stage"], waiting["waiting_for"], waiting["provider"]) == ("eligible", "provider", "gemini")
    make_probe_due()
    periodic_jobs.wake_after_timeouts(settings)
    assert wait_until_finished(waiting["id"])["status"] == "succeeded"


def test_an_operator_lets_one_message_try_before_its_time(alice: Alice) -> None:
    open_breaker(alice)
    alice.automation(HELLO)
    (waiting,) = start_waiting(alice, 1)
    assert operator_actions.try_provider("mailgun", alice.workspace_id, SYSTEM) == waiting
    assert wait_until_finished(waiting)["status"] == "succeeded"
    assert len(fetch_rows("select * from audit where action = 'provider.tried'")) == 1


def test_resuming_a_provider_closes_its_breaker(alice: Alice) -> None:
    open_breaker(alice)
    alice.automation(HELLO)
    first, second = start_waiting(alice, 2)
    assert operator_actions.resume("provider", "mailgun", alice.workspace_id, SYSTEM) == 2
    for waiting in (first, second):
        assert wait_until_finished(waiting)["status"] == "succeeded"


def test_a_test_neither_waits_for_a_breaker_nor_counts(alice: Alice, sandbox: RunningSandbox) -> None:
    open_breaker(alice)
    sandbox.add_fault(provider="mailgun", fault="timeout", times=1, seconds=0.4)
    alice.automation(HELLO)
    assert wait_until_finished(alice.trigger(test=True))["error_class"] == "unknown_outcome"
    assert fetch_breaker() == {"timeouts": 5, "open": True, "waits": True}


def test_a_probe_that_another_one_replaced_continues_all_with_its_answer(
    alice: Alice, sandbox: RunningSandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailgun.Mailgun, "read_seconds", 10.0)
    open_breaker(alice)
    alice.automation(HELLO)
    (first,) = start_waiting(alice, 1)
    sandbox.add_fault(provider="mailgun", fault="slow", times=1, seconds=1.0)
    make_probe_due()
    periodic_jobs.wake_after_timeouts(settings)
    eventually(lambda: execution(first)["stage"] == "sending")

    execute("update provider_breakers set probed_by = uuidv7(), probe_at = beckon_now() + interval '90 seconds'")

    assert wait_until_finished(first)["status"] == "succeeded"
    eventually(lambda: fetch_breaker() is None)
