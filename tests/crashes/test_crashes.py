"""Nothing accepted is lost and nothing is sent twice, whichever process is killed, stopped or flushed, at any time."""

from __future__ import annotations

import random
import signal
from collections import Counter
from pathlib import Path

import pytest
import redis

from models import leadership
from models.queries import fetch_value
from sandbox.server import RunningSandbox
from settings import Settings
from tests.support.assertions import watch_monitor
from tests.support.concurrency import assert_consistent
from tests.support.factories import HELLO, WRITTEN, Alice, bob, execution, messages, stages, wait_until_finished
from tests.support.programs import LONG_LEASE, Programs
from tests.support.rows import fetch_rows
from tests.support.waiting import eventually

#: A dead worker's executions continue within 60 seconds, or 25 with the short leases of these tests.
RECOVERY_SECONDS = 25.0


def build_triggers(count: int) -> list[dict]:
    return [
        {"contact": bob(external_id=f"p{n}", email=f"p{n}@example.com", phone=f"+1555010{n:04}")} for n in range(count)
    ]


def all_finished(count: int) -> bool:
    return bool(fetch_value("select count(*) = %s from executions where finished_at is not null", (count,)))


def count_sent_by_recipient(sandbox: RunningSandbox, provider: str = "mailgun") -> Counter:
    return Counter(message["to"] for message in sandbox.list_messages(provider=provider))


def test_a_killed_workers_execution_continues_and_is_sent_once(programs: Programs, sandbox: RunningSandbox) -> None:
    alice = Alice()
    automation_id = alice.automation(WRITTEN)
    sandbox.add_fault(provider="gemini", fault="slow", times=1, seconds=30)
    running = programs.start_workers()
    with watch_monitor(alice.workspace_id, automation_id) as seen:
        accepted = alice.trigger()
        eventually(lambda: sandbox.list_messages(provider="gemini"), timeout=2 * RECOVERY_SECONDS)

        running["engine"].kill()
        programs.start("worker")

        result = eventually(lambda: (e := execution(accepted))["finished_at"] and e, timeout=2 * RECOVERY_SECONDS)
    assert (seen.mismatches, seen.stages["generating"] > 0) == ([], True)
    assert result["status"] == "succeeded"
    assert count_sent_by_recipient(sandbox) == {"bob@example.com": 1}
    assert stages(result["id"]).count("sent") == 1


def test_a_worker_killed_between_a_send_and_its_record_does_not_resend(
    programs: Programs, sandbox: RunningSandbox
) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    sandbox.add_fault(provider="mailgun", fault="slow", times=1, seconds=60)
    running = programs.start_workers()
    with watch_monitor(alice.workspace_id, automation_id) as seen:
        accepted = alice.trigger()
        eventually(lambda: count_sent_by_recipient(sandbox), timeout=2 * RECOVERY_SECONDS)

        running["engine"].kill()
        programs.start("worker")

        result = eventually(
            lambda: (e := execution(accepted))["status"] == "succeeded" and e, timeout=2 * RECOVERY_SECONDS
        )
    assert (seen.mismatches, seen.stages["sending"] > 0) == ([], True)
    (message,) = messages(result["id"])
    assert message["status"] == "sent"
    assert message["provider_message_id"]
    assert count_sent_by_recipient(sandbox) == {"bob@example.com": 1}


def test_a_flushed_redis_loses_nothing(programs: Programs, sandbox: RunningSandbox, settings: Settings) -> None:
    alice = Alice()
    alice.automation(HELLO)
    assert len(alice.triggers(build_triggers(120))) == 120

    # Only this test's keys: the server also has those of parallel tests.
    for url in (settings.broker_url, settings.ephemeral_url):
        redis.Redis.from_url(url).flushdb()
    programs.start_workers(**LONG_LEASE)

    eventually(lambda: all_finished(120), timeout=2 * RECOVERY_SECONDS)
    assert set(count_sent_by_recipient(sandbox).values()) == {1}
    assert len(count_sent_by_recipient(sandbox)) == 120


def test_workers_killed_at_random_lose_nothing_and_send_nothing_twice(
    programs: Programs, sandbox: RunningSandbox
) -> None:
    alice = Alice()
    automation_id = alice.automation(WRITTEN)
    dice = random.Random(7)
    engines = [programs.start_workers()["engine"], programs.start("worker")]
    with watch_monitor(alice.workspace_id, automation_id) as seen:
        alice.triggers(build_triggers(200))

        for done in (20, 50, 80, 110, 140):
            eventually(lambda n=done: fetch_value("select count(*) from executions where finished_at is not null") >= n,
                       timeout=2 * RECOVERY_SECONDS)  # fmt: skip
            victim = dice.randrange(2)
            engines[victim].kill()
            engines[victim] = programs.start("worker")

        eventually(lambda: all_finished(200), timeout=3 * RECOVERY_SECONDS)
    # The monitor never showed a contact at a wrong stage.
    assert (seen.mismatches, seen.samples > 10) == ([], True)
    # A send that the provider accepted is found there; one that never reached it stays unknown and is not resent.
    sent = "select count(*) = %s from messages where status = 'sent'"
    eventually(lambda: fetch_value(sent, (len(count_sent_by_recipient(sandbox)),)), timeout=90)
    eventually(lambda: all_finished(200), timeout=RECOVERY_SECONDS)
    assert set(count_sent_by_recipient(sandbox).values()) == {1}
    outcomes = Counter(message["status"] for message in fetch_rows("select status from messages"))
    assert outcomes["sent"] + outcomes["outcome_unknown"] == 200


def test_a_worker_killed_right_after_a_transfer_leaves_work_for_others_once(
    programs: Programs, sandbox: RunningSandbox
) -> None:
    alice = Alice()
    alice.automation(WRITTEN)
    programs.start("scheduler")
    dying = programs.start(str(Path(__file__).with_name("worker_killed_at_transfer.py")), "worker")
    accepted = alice.trigger()
    eventually(lambda: dying.poll() is not None, timeout=2 * RECOVERY_SECONDS)

    programs.start("worker")

    result = eventually(lambda: (e := execution(accepted))["status"] == "succeeded" and e, timeout=2 * RECOVERY_SECONDS)
    assert count_sent_by_recipient(sandbox) == {"bob@example.com": 1}
    assert [message["status"] for message in messages(result["id"])] == ["sent"]
    assert stages(result["id"]).count("sent") == 1
    assert_consistent()


@pytest.mark.slow
def test_a_step_that_kills_its_process_is_quarantined_after_three_times(
    programs: Programs, sandbox: RunningSandbox
) -> None:
    alice = Alice()
    write = {**WRITTEN[0], "with": {"prompt": "Write to {{ contact.first_name }}"}}
    alice.automation([write, WRITTEN[1]])
    poisoned_worker = str(Path(__file__).with_name("poisoned_worker.py"))
    programs.start("worker", "--queues", "sending")
    programs.start("scheduler")
    accepted = alice.trigger(contact=bob(first_name="poison"))

    deaths = 0
    while execution(accepted)["status"] != "failed" and deaths < 6:
        worker = programs.start(poisoned_worker, "generation")
        eventually(
            lambda w=worker: w.poll() is not None or execution(accepted)["status"] == "failed",
            timeout=2 * RECOVERY_SECONDS,
        )
        deaths += worker.poll() is not None
    others = alice.triggers(build_triggers(5))

    result = wait_until_finished(accepted)
    assert result["error_class"] == "quarantined"
    assert "3 times" in result["error_message"]
    assert deaths == 3
    for other in others:
        eventually(lambda o=other: execution(o)["status"] == "succeeded", timeout=RECOVERY_SECONDS)


def test_a_worker_suspended_past_its_lease_sends_nothing_when_it_resumes(
    programs: Programs, sandbox: RunningSandbox
) -> None:
    alice = Alice()
    alice.automation(WRITTEN)
    sandbox.add_fault(provider="gemini", fault="slow", times=1, seconds=8)
    running = programs.start_workers()
    accepted = alice.trigger()
    eventually(lambda: sandbox.list_messages(provider="gemini"), timeout=RECOVERY_SECONDS)

    running["engine"].send_signal(signal.SIGSTOP)
    programs.start("worker")
    eventually(lambda: execution(accepted)["finished_at"], timeout=RECOVERY_SECONDS)
    running["engine"].send_signal(signal.SIGCONT)
    after = alice.trigger(contact=bob(external_id="after", email="after@example.com", phone=None))

    assert (
        eventually(lambda: (e := execution(after))["finished_at"] and e, timeout=RECOVERY_SECONDS)["status"]
        == "succeeded"
    )
    assert count_sent_by_recipient(sandbox) == {"bob@example.com": 1, "after@example.com": 1}
    assert len(stages(execution(accepted)["id"])) == 8


def test_a_stopping_worker_releases_its_generation_at_once(programs: Programs, sandbox: RunningSandbox) -> None:
    alice = Alice()
    alice.automation(WRITTEN)
    sandbox.add_fault(provider="gemini", fault="slow", times=1, seconds=60)
    running = programs.start_workers(**LONG_LEASE)
    accepted = alice.trigger()
    eventually(lambda: sandbox.list_messages(provider="gemini"), timeout=RECOVERY_SECONDS)

    running["engine"].terminate()

    assert running["engine"].wait(10) == 0
    assert wait_until_waiting(accepted)["deliveries"] == 0
    programs.start("worker")
    assert (
        eventually(lambda: (e := execution(accepted))["finished_at"] and e, timeout=RECOVERY_SECONDS)["status"]
        == "succeeded"
    )


def wait_until_waiting(accepted: object) -> dict:
    return eventually(lambda: (e := execution(accepted))["status"] == "waiting" and e)


def test_a_stopping_worker_finishes_its_send(programs: Programs, sandbox: RunningSandbox) -> None:
    alice = Alice()
    alice.automation(HELLO)
    sandbox.add_fault(provider="mailgun", fault="slow", times=1, seconds=3)
    running = programs.start_workers(**LONG_LEASE)
    accepted = alice.trigger()
    eventually(lambda: count_sent_by_recipient(sandbox), timeout=RECOVERY_SECONDS)

    running["engine"].terminate()

    assert running["engine"].wait(20) == 0
    assert execution(accepted)["status"] == "succeeded"
    assert count_sent_by_recipient(sandbox) == {"bob@example.com": 1}


def test_of_two_schedulers_one_leads_and_the_other_takes_over(programs: Programs) -> None:
    first = programs.start("scheduler")
    eventually(lambda: (leader := leadership.fetch_leader()) and leader["pid"] == first.pid, timeout=RECOVERY_SECONDS)
    second = programs.start("scheduler")
    eventually(lambda: "scheduler" in programs.read_logs() and second.poll() is None)
    assert leadership.fetch_leader()["pid"] == first.pid

    first.kill()

    eventually(lambda: (leader := leadership.fetch_leader()) and leader["pid"] == second.pid, timeout=RECOVERY_SECONDS)
