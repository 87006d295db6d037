"""Threads of a pool: a provider that does not answer leaves half of them to others, before any call times out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from providers import mailgun
from sandbox.server import RunningSandbox
from tasks.runtime import provider_threads
from tasks.runtime.engine import Engine
from tasks.runtime.provider_threads import PoolCalls, ProviderCrowded
from tests.support.factories import HELLO, Alice, wait_until_finished
from tests.support.waiting import eventually

MAILGUN, TELNYX = ("alice", "mailgun"), ("alice", "telnyx")
TEXT = [{"id": "text", "action": "send_sms", "with": {"body": "Hi!"}}]


@pytest.fixture
def calls() -> PoolCalls:
    return PoolCalls("sending", 4)


@pytest.fixture
def held() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def hold(calls: PoolCalls, held: ExitStack, count: int, *, timed_out: bool = False) -> None:
    for _ in range(count):
        held.enter_context(calls.hold_thread(MAILGUN, timed_out=timed_out))


def test_a_provider_that_answers_may_hold_the_whole_pool(calls: PoolCalls, held: ExitStack) -> None:
    hold(calls, held, 4)
    assert calls.may_hold(MAILGUN, timed_out=False)
    assert calls.count_lent() == 0


def test_a_provider_whose_calls_timed_out_holds_half_of_a_pool(calls: PoolCalls, held: ExitStack) -> None:
    hold(calls, held, 2, timed_out=True)
    with pytest.raises(ProviderCrowded):
        hold(calls, held, 1, timed_out=True)
    assert calls.may_hold(TELNYX, timed_out=False)
    held.close()
    assert calls.may_hold(MAILGUN, timed_out=True)


def test_a_pool_whose_threads_all_hang_has_half_as_many_more_for_others(
    calls: PoolCalls, held: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(calls, held, 4)
    monkeypatch.setattr(calls, "_hanging_seconds", 0.0)
    assert calls.count_lent() == 2
    assert not calls.may_hold(MAILGUN, timed_out=False)
    assert calls.may_hold(TELNYX, timed_out=False)


@pytest.fixture
def hanging_mailgun(engine: Engine, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> Alice:
    """Alice, while Mailgun holds every thread of the sending pool and no call has timed out."""
    monkeypatch.setattr(mailgun.Mailgun, "read_seconds", 1.5)
    sandbox.add_fault(provider="mailgun", fault="timeout", times=0, seconds=2.0)
    alice = Alice()
    alice.automation(HELLO)
    alice.automation(TEXT, trigger="text.wanted", name="Text")
    size = engine.pools["sending"].size
    alice.triggers([{"contact": {"external_id": f"c-{n}", "email": f"c{n}@example.com"}} for n in range(size + 4)])
    eventually(lambda: engine.pools["sending"].busy >= size)
    return alice


def test_a_text_is_sent_while_mailgun_holds_every_thread(hanging_mailgun: Alice, engine: Engine) -> None:
    text = hanging_mailgun.trigger("text.wanted", contact={"external_id": "texted", "phone": "+15550100"})

    assert wait_until_finished(text)["status"] == "succeeded"

    hanging = provider_threads._pools["sending"]._began[(hanging_mailgun.workspace_id, "mailgun")]
    assert len(hanging) >= engine.pools["sending"]._thread_count
    eventually(lambda: engine.pools["sending"].size == engine.pools["sending"]._thread_count, timeout=20)


def test_a_provider_that_hangs_in_many_workspaces_leaves_threads_to_others(
    calls: PoolCalls, held: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "_hanging_seconds", 0.0)
    for number in range(5):
        held.enter_context(calls.hold_thread((f"workspace {number}", "mailgun"), timed_out=False))
    # One of the two lent threads stays for what does not hang.
    assert not calls.may_hold(("another workspace", "mailgun"), timed_out=False)
    assert calls.may_hold(TELNYX, timed_out=False)
