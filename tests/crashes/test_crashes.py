"""Nothing accepted is lost and nothing is sent twice, whatever is killed, stopped or flushed, and whenever."""

from __future__ import annotations

import random
import signal
from collections import Counter
from pathlib import Path

import redis
from truth import watched

from cast import HELLO, WRITTEN, Alice, bob, execution, finished, messages, stages
from models import duty
from models.database import rows, value
from programs import PATIENT, Programs
from sandbox.server import Running
from settings import Settings
from waiting import eventually

#: A dead worker's executions go on within 60 seconds; with the short leases of these tests within 25.
SOON = 25.0


def people(count: int) -> list[dict]:
    return [
        {"contact": bob(external_id=f"p{n}", email=f"p{n}@example.com", phone=f"+1555010{n:04}")} for n in range(count)
    ]


def all_finished(count: int) -> bool:
    return bool(value("select count(*) = %s from executions where finished_at is not null", (count,)))


def sent_to(sandbox: Running, provider: str = "mailgun") -> Counter:
    return Counter(message["to"] for message in sandbox.messages(provider=provider))


def test_a_killed_workers_execution_goes_on_and_is_sent_once(programs: Programs, sandbox: Running) -> None:
    alice = Alice()
    automation_id = alice.automation(WRITTEN)
    sandbox.fault(provider="gemini", fault="slow", times=1, seconds=30)
    running = programs.workers()
    with watched(alice.workspace_id, automation_id) as seen:
        accepted = alice.trigger()
        eventually(lambda: sandbox.messages(provider="gemini"), within=2 * SOON)

        running["generation"].kill()
        programs.start("worker", "generation")

        found = eventually(lambda: (e := execution(accepted))["finished_at"] and e, within=2 * SOON)
    assert (seen.lies, seen.stages["generating"] > 0) == ([], True)
    assert found["status"] == "succeeded"
    assert sent_to(sandbox) == {"bob@example.com": 1}
    assert stages(found["id"]).count("sent") == 1


def test_a_worker_killed_between_the_providers_yes_and_our_record_does_not_send_again(
    programs: Programs, sandbox: Running
) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    sandbox.fault(provider="mailgun", fault="slow", times=1, seconds=60)
    running = programs.workers()
    with watched(alice.workspace_id, automation_id) as seen:
        accepted = alice.trigger()
        eventually(lambda: sent_to(sandbox), within=2 * SOON)

        running["sending"].kill()
        programs.start("worker", "sending")

        found = eventually(lambda: (e := execution(accepted))["status"] == "succeeded" and e, within=2 * SOON)
    assert (seen.lies, seen.stages["sending"] > 0) == ([], True)
    (message,) = messages(found["id"])
    assert message["status"] == "sent"
    assert message["provider_message_id"]
    assert sent_to(sandbox) == {"bob@example.com": 1}


def test_a_flushed_redis_loses_nothing(programs: Programs, sandbox: Running, settings: Settings) -> None:
    alice = Alice()
    alice.automation(HELLO)
    assert len(alice.triggers(people(120))) == 120

    # All that is this test's: the server holds what belongs to the tests beside it as well.
    for url in (settings.broker_url, settings.ephemeral_url):
        redis.Redis.from_url(url).flushdb()
    programs.workers(**PATIENT)

    eventually(lambda: all_finished(120), within=2 * SOON)
    assert set(sent_to(sandbox).values()) == {1}
    assert len(sent_to(sandbox)) == 120


def test_workers_killed_at_random_lose_nothing_and_send_nothing_twice(programs: Programs, sandbox: Running) -> None:
    alice = Alice()
    automation_id = alice.automation(WRITTEN)
    dice = random.Random(7)
    running = programs.workers()
    with watched(alice.workspace_id, automation_id) as seen:
        alice.triggers(people(200))

        for done in (20, 50, 80, 110, 140):
            eventually(lambda n=done: value("select count(*) from executions where finished_at is not null") >= n,
                       within=2 * SOON)  # fmt: skip
            victim = dice.choice(["generation", "sending"])
            running[victim].kill()
            running[victim] = programs.start("worker", victim)

        eventually(lambda: all_finished(200), within=3 * SOON)
    # The monitor never showed a contact where it was not.
    assert (seen.lies, seen.looks > 10) == ([], True)
    # What was cut off after the provider's yes is found there; what never reached it stays held, and is not resent.
    sent = "select count(*) = %s from messages where status = 'sent'"
    eventually(lambda: value(sent, (len(sent_to(sandbox)),)), within=2 * SOON)
    eventually(lambda: all_finished(200), within=SOON)
    assert set(sent_to(sandbox).values()) == {1}
    outcomes = Counter(one["status"] for one in rows("select status from messages"))
    assert outcomes["sent"] + outcomes["outcome_unknown"] == 200


def test_a_step_that_kills_its_process_is_left_alone_after_three_times(programs: Programs, sandbox: Running) -> None:
    alice = Alice()
    write = {**WRITTEN[0], "with": {"prompt": "Write to {{ contact.first_name }}"}}
    alice.automation([write, WRITTEN[1]])
    poisoned_worker = str(Path(__file__).with_name("poisoned_worker.py"))
    programs.start("worker", "sending")
    programs.start("scheduler")
    accepted = alice.trigger(contact=bob(first_name="poison"))

    deaths = 0
    while execution(accepted)["status"] != "failed" and deaths < 6:
        worker = programs.start(poisoned_worker, "generation")
        eventually(lambda w=worker: w.poll() is not None or execution(accepted)["status"] == "failed", within=2 * SOON)
        deaths += worker.poll() is not None
    others = alice.triggers(people(5))

    found = finished(accepted)
    assert found["error_class"] == "quarantined"
    assert "3 times" in found["error_message"]
    assert deaths == 3
    for other in others:
        eventually(lambda o=other: execution(o)["status"] == "succeeded", within=SOON)


def test_a_worker_that_slept_past_its_lease_sends_nothing_when_it_wakes(programs: Programs, sandbox: Running) -> None:
    alice = Alice()
    alice.automation(WRITTEN)
    sandbox.fault(provider="gemini", fault="slow", times=1, seconds=8)
    running = programs.workers()
    accepted = alice.trigger()
    eventually(lambda: sandbox.messages(provider="gemini"), within=SOON)

    running["generation"].send_signal(signal.SIGSTOP)
    programs.start("worker", "generation")
    eventually(lambda: execution(accepted)["finished_at"], within=SOON)
    running["generation"].send_signal(signal.SIGCONT)
    after = alice.trigger(contact=bob(external_id="after", email="after@example.com", phone=None))

    assert eventually(lambda: (e := execution(after))["finished_at"] and e, within=SOON)["status"] == "succeeded"
    assert sent_to(sandbox) == {"bob@example.com": 1, "after@example.com": 1}
    assert len(stages(execution(accepted)["id"])) == 8


def test_a_worker_told_to_stop_hands_its_generation_back_at_once(programs: Programs, sandbox: Running) -> None:
    alice = Alice()
    alice.automation(WRITTEN)
    sandbox.fault(provider="gemini", fault="slow", times=1, seconds=60)
    running = programs.workers(**PATIENT)
    accepted = alice.trigger()
    eventually(lambda: sandbox.messages(provider="gemini"), within=SOON)

    running["generation"].terminate()

    assert running["generation"].wait(10) == 0
    assert at_rest_or_due(accepted)["deliveries"] == 0
    programs.start("worker", "generation")
    assert eventually(lambda: (e := execution(accepted))["finished_at"] and e, within=SOON)["status"] == "succeeded"


def at_rest_or_due(accepted: object) -> dict:
    return eventually(lambda: (e := execution(accepted))["status"] == "waiting" and e)


def test_a_worker_told_to_stop_lets_its_send_end(programs: Programs, sandbox: Running) -> None:
    alice = Alice()
    alice.automation(HELLO)
    sandbox.fault(provider="mailgun", fault="slow", times=1, seconds=3)
    running = programs.workers(**PATIENT)
    accepted = alice.trigger()
    eventually(lambda: sent_to(sandbox), within=SOON)

    running["sending"].terminate()

    assert running["sending"].wait(20) == 0
    assert execution(accepted)["status"] == "succeeded"
    assert sent_to(sandbox) == {"bob@example.com": 1}


def test_of_two_schedulers_one_leads_and_the_other_takes_over(programs: Programs) -> None:
    first = programs.start("scheduler")
    eventually(lambda: (one := duty.leader()) and one["pid"] == first.pid, within=SOON)
    second = programs.start("scheduler")
    eventually(lambda: "scheduler" in programs.logs() and second.poll() is None)
    assert duty.leader()["pid"] == first.pid

    first.kill()

    eventually(lambda: (one := duty.leader()) and one["pid"] == second.pid, within=SOON)
