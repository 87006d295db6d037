"""Who holds an execution: one worker at a time, never for longer than it lives, and nothing done twice."""

from __future__ import annotations

import queue
import time
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from crew import at_once, books_balance, dies_with, let_lease_run_out, provider_calls
from dramatiq import Worker

from cast import HELLO, WRITTEN, Alice, counters, execution, finished, messages, stages, steps
from models.database import changed, value
from models.ledger import Answer, Ledger
from models.progress import Progress
from sandbox.server import Running
from settings import Settings
from tasks import sweeps
from tasks.broker import ring
from tasks.checking import check
from tasks.composing import prepare
from tasks.engine import Engine
from tasks.passage import Passage
from waiting import eventually

TAGGED = [{"id": "tag", "action": "update_contact", "with": {"add_tags": ["seen"]}}, *HELLO]


@pytest.fixture
def ledger() -> Any:
    made = Ledger("another worker", lease_seconds=30.0)
    yield made
    made.close()


def started(alice: Alice, count: int = 1, **fields: Any) -> list[str]:
    """Executions of so many different contacts, as their ids."""
    contacts = [{"contact": {"external_id": f"c-{n}", "email": f"c{n}@example.com"}, **fields} for n in range(count)]
    return [answer.executions[0]["executionId"] for answer in alice.triggers(contacts)]


def passage_of(engine: Engine, claimed: Any) -> Passage:
    return Passage(claimed, engine.workflow(claimed["version_id"]), time.monotonic())


def claimed_at_once(engine: Engine, ledger: Ledger, count: int = 3) -> list[Passage]:
    alice = Alice()
    alice.automation(HELLO)
    return [passage_of(engine, row) for row in ledger.claim_many(started(alice, count))]


def test_of_two_who_claim_at_once_one_wins(idle: Worker, ledger: Ledger) -> None:
    alice = Alice()
    alice.automation(HELLO)
    (execution_id,) = started(alice)
    others = [Ledger(f"worker {n}", 30.0) for n in range(8)]

    won = [claimed for claimed in at_once(8, lambda n: others[n].claim(execution_id)) if claimed]

    assert len(won) == 1
    assert (execution(execution_id)["fence"], execution(execution_id)["deliveries"]) == (1, 1)
    for other in others:
        other.close()


def test_one_ledger_gives_an_execution_to_one_of_its_threads(idle: Worker, ledger: Ledger) -> None:
    alice = Alice()
    alice.automation(HELLO)
    (execution_id,) = started(alice)

    won = [claimed for claimed in at_once(16, lambda _: ledger.claim(execution_id)) if claimed]

    assert len(won) == 1


def recorded_together(ledger: Ledger, progresses: list[Progress], monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What a ledger answers that expects more until it has them all."""
    monkeypatch.setattr("models.ledger.PATIENCE_SECONDS", 60.0)
    ledger.expects_more = lambda: True
    answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    for progress in progresses:
        ledger.hand_in(progress, answers.put)
        if progress is progresses[0]:
            # The writer has it before the others come: only one that waits can put them together.
            eventually(ledger._parts.empty)
    ledger.hurry()
    return [answers.get(timeout=10).result() for _ in progresses]


def test_records_of_threads_at_work_share_a_commit(
    engine: Engine, idle: Worker, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    passages = claimed_at_once(engine, ledger)
    before = ledger.commits

    wrote = recorded_together(ledger, [passage.progress() for passage in passages], monkeypatch)

    assert wrote == [True] * len(passages)
    assert ledger.commits == before + 1


def test_of_two_records_of_one_execution_in_one_batch_the_first_is_written(
    engine: Engine, idle: Worker, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, *_ = claimed_at_once(engine, ledger)
    one.enter("eligible")
    first = one.progress()
    one.enter("generating")

    # As when a worker that is told to stop hands back what its hand has just ended.
    assert recorded_together(ledger, [first, one.progress()], monkeypatch) == [True, False]
    assert stages(one.execution_id) == ["queued", "checking", "eligible"]


def test_a_record_waits_for_nothing_when_nobody_is_at_work(
    engine: Engine, idle: Worker, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = claimed_at_once(engine, ledger)
    monkeypatch.setattr("models.ledger.PATIENCE_SECONDS", 60.0)
    ledger.expects_more = lambda: False
    began = time.monotonic()

    assert ledger.record(first.progress())
    assert time.monotonic() - began < 30


def test_a_record_waits_no_longer_than_the_ledger_has_patience(engine: Engine, idle: Worker, ledger: Ledger) -> None:
    first, *_ = claimed_at_once(engine, ledger)
    ledger.expects_more = lambda: True

    assert ledger.record(first.progress())


def test_a_stale_fence_writes_nothing(engine: Engine, idle: Worker, ledger: Ledger) -> None:
    alice = Alice()
    automation_id = alice.automation(TAGGED)
    (execution_id,) = started(alice)
    late = passage_of(engine, ledger.claim(execution_id))
    let_lease_run_out(execution_id)
    assert engine.ledger.claim(execution_id) is not None
    before = execution(execution_id)

    late.enter("eligible")
    late.begin(late.workflow.steps[0])
    late.succeed(late.workflow.steps[0], {})
    late.message(late.workflow.steps[1], channel="email", provider="mailgun", sandbox=True, to_address="x", body="x")
    late.finish("succeeded", "completed")

    assert ledger.record(late.progress()) is False
    assert execution(execution_id) == before
    assert (steps(execution_id), messages(execution_id)) == ({}, [])
    assert value("select count(*) from stage_history where execution_id = %s", (execution_id,)) == 1
    assert counters(alice.workspace_id, automation_id)["succeeded"] == 0


def test_a_record_written_twice_counts_once(engine: Engine, idle: Worker, ledger: Ledger) -> None:
    alice = Alice()
    automation_id = alice.automation(TAGGED)
    (execution_id,) = started(alice)
    passage = passage_of(engine, ledger.claim(execution_id))
    passage.enter("eligible")
    passage.finish("succeeded", "completed")
    progress = passage.progress()

    assert [ledger.record(progress), ledger.record(progress)] == [True, False]
    assert counters(alice.workspace_id, automation_id)["succeeded"] == 1
    books_balance()


def test_a_bell_rung_fifty_times_sends_once(engine: Engine, sandbox: Running, idle: Worker) -> None:
    alice = Alice()
    alice.automation(HELLO)
    (execution_id,) = started(alice)
    ring("sending", [execution_id] * 25)
    ring("executions", [execution_id] * 25)

    idle.resume()

    assert finished(execution_id)["status"] == "succeeded"
    idle.broker.join("sending")
    idle.broker.join("executions")
    assert provider_calls(sandbox) == 1
    books_balance()


def test_an_id_pushed_twice_into_the_queue_by_hand_sends_once(engine: Engine, sandbox: Running, idle: Worker) -> None:
    alice = Alice()
    alice.automation(HELLO)
    (execution_id,) = started(alice)
    client, key = idle.broker.client, f"{idle.broker.namespace}:sending"
    (waiting,) = client.lrange(key, 0, -1)
    client.rpush(key, waiting, waiting)

    idle.resume()

    assert finished(execution_id)["status"] == "succeeded"
    assert provider_calls(sandbox) == 1


def test_a_dead_workers_execution_is_rescued_and_finished_once(
    engine: Engine, sandbox: Running, idle: Worker, settings: Settings
) -> None:
    alice = Alice()
    alice.automation(HELLO)
    (execution_id,) = started(alice)
    idle.broker.flush_all()
    dies_with(execution_id)

    idle.resume()
    assert sweeps.rescue_leases(settings) == {"rescued": 1}

    assert finished(execution_id)["status"] == "succeeded"
    assert provider_calls(sandbox) == 1
    assert sweeps.rescue_leases(settings) == {"rescued": 0}


def test_a_rescue_repeats_no_finished_step(engine: Engine, sandbox: Running, idle: Worker, settings: Settings) -> None:
    alice = Alice()
    alice.automation(WRITTEN)
    (execution_id,) = started(alice)
    idle.broker.flush_all()
    ledger = Ledger("wrote the text, then died", 30.0)
    passage = passage_of(engine, ledger.claim(execution_id))
    step = passage.workflow.steps[0]
    passage.enter("eligible")
    passage.begin(step)
    passage.enter("generating")
    passage.succeed(step, {"text": "Written before the crash"})
    assert ledger.record(passage.progress())
    ledger.close()
    let_lease_run_out(execution_id)

    idle.resume()
    sweeps.rescue_leases(settings)

    assert finished(execution_id)["status"] == "succeeded"
    assert provider_calls(sandbox, "gemini") == 0
    assert messages(execution_id)[0]["body"] == "Written before the crash"
    assert steps(execution_id)["write"]["attempts"] == 1


def test_who_dies_between_sending_and_its_record_leaves_an_unknown_outcome_and_no_second_send(
    engine: Engine, sandbox: Running, idle: Worker, settings: Settings
) -> None:
    alice = Alice()
    alice.automation([{"id": "sms", "action": "send_sms", "with": {"body": "Hi"}}])
    accepted = alice.trigger()
    execution_id = accepted.executions[0]["executionId"]
    idle.broker.flush_all()
    ledger = Ledger("died while sending", 30.0)
    passage = passage_of(engine, ledger.claim(execution_id))
    step = passage.workflow.steps[0]
    passage.enter("eligible")
    passage.enter("ready_to_send")
    passage.begin(step)
    passage.message(
        step, channel="sms", provider="telnyx", sandbox=True, to_address="+15550123", body="Hi", status="sending",
        sending_at=passage.now(),
    )  # fmt: skip
    passage.enter("sending")
    assert ledger.record(passage.progress())
    ledger.close()
    let_lease_run_out(execution_id)

    idle.resume()
    sweeps.rescue_leases(settings)

    found = finished(execution_id)
    assert (found["status"], found["error_class"]) == ("failed", "unknown_outcome")
    assert messages(execution_id)[0]["status"] == "outcome_unknown"
    assert stages(execution_id) == ["queued", "checking", "eligible", "ready_to_send", "sending", "failed"]
    assert provider_calls(sandbox, "telnyx") == 0


WHOLE_WAY = ["queued", "checking", "eligible", "generating", "ready_to_send", "sending", "sent", "completed"]


@pytest.mark.parametrize("stage", ["checking", "generating", "ready_to_send"])
def test_who_dies_in_a_stage_leaves_nothing_stuck_and_a_history_that_is_true(
    engine: Engine, sandbox: Running, idle: Worker, settings: Settings, ledger: Ledger, stage: str
) -> None:
    alice = Alice()
    alice.automation(WRITTEN, rules={"daily_limit": 5})
    (execution_id,) = started(alice)
    idle.broker.flush_all()
    passage = passage_of(engine, ledger.claim(execution_id))
    write, send = passage.workflow.steps
    if stage != "checking":
        assert check(engine, passage)
        passage.begin(write)
        passage.enter("generating")
    if stage == "ready_to_send":
        passage.succeed(write, {"text": "Written before the crash"})
        prepare(engine, passage, send)
        passage.enter("ready_to_send")
        passage.hand_over("sending")
    assert ledger.record(passage.progress())
    if stage == "ready_to_send":
        assert ledger.claim(execution_id)
    let_lease_run_out(execution_id)
    assert (execution(execution_id)["status"], execution(execution_id)["stage"]) == ("running", stage)

    idle.resume()
    assert sweeps.rescue_leases(settings) == {"rescued": 1}

    assert finished(execution_id)["status"] == "succeeded"
    assert stages(execution_id) == WHOLE_WAY
    assert provider_calls(sandbox) == 1
    assert value("select count(*) from limit_reservations") == 1
    books_balance()


def test_three_deaths_in_a_row_put_an_execution_into_quarantine_and_the_others_go_on(
    engine: Engine, sandbox: Running, idle: Worker, settings: Settings
) -> None:
    alice = Alice()
    alice.automation(HELLO)
    poison, *others = started(alice, 4)
    idle.broker.flush_all()
    for _ in range(3):
        dies_with(poison)

    idle.resume()
    sweeps.rescue_leases(settings)
    ring("sending", others)

    found = finished(poison)
    assert (found["status"], found["error_class"]) == ("failed", "quarantined")
    assert "3 times" in found["error_message"]
    assert [finished(one)["status"] for one in others] == ["succeeded"] * 3
    assert provider_calls(sandbox) == 3
    books_balance()


def test_two_deaths_are_forgiven(engine: Engine, sandbox: Running, idle: Worker, settings: Settings) -> None:
    alice = Alice()
    alice.automation(HELLO)
    (execution_id,) = started(alice)
    idle.broker.flush_all()
    for _ in range(2):
        dies_with(execution_id)

    idle.resume()
    sweeps.rescue_leases(settings)

    assert finished(execution_id)["status"] == "succeeded"


def test_an_orderly_hand_over_is_no_death(engine: Engine, idle: Worker, ledger: Ledger) -> None:
    alice = Alice()
    alice.automation(WRITTEN)
    (execution_id,) = started(alice)
    for _ in range(5):
        passage = passage_of(engine, ledger.claim(execution_id))
        passage.hand_over("generation")
        assert ledger.record(passage.progress())

    assert (execution(execution_id)["status"], execution(execution_id)["deliveries"]) == ("waiting", 0)


def test_a_flushed_redis_loses_nothing_that_is_queued_or_waits(
    engine: Engine, sandbox: Running, idle: Worker, settings: Settings
) -> None:
    alice = Alice()
    alice.automation(HELLO)
    alice.automation([{"id": "rest", "action": "wait", "with": {"for": "1h"}}, *HELLO], trigger="later")
    later = started(alice, 50, type="later")
    idle.resume()
    eventually(lambda: value("select count(*) from executions where status = 'waiting' and waiting_for = 'time'") == 50)
    idle.pause()
    started(alice, 200)

    idle.broker.client.flushdb()
    changed("update executions set rung_at = rung_at - interval '1 minute' where status = 'pending'")
    changed("update executions set due_at = beckon_now(), rung_at = '2000-01-01' where id = any(%s::uuid[])", (later,))
    changed(
        "update steps set output = jsonb_set(output, '{until}', to_jsonb(beckon_now())) "
        "where execution_id = any(%s::uuid[])",
        (later,),
    )
    idle.resume()
    rung = sweeps.ring_lost_bells(settings)["rung"] + sweeps.wake_due(settings)["woken"]

    assert rung >= 250
    eventually(lambda: value("select count(*) from executions where status = 'succeeded'") == 250, within=30)
    assert provider_calls(sandbox) == 250
    books_balance()


def test_a_backlog_does_not_multiply_bells(engine: Engine, idle: Worker, settings: Settings) -> None:
    alice = Alice()
    alice.automation(HELLO)
    started(alice, 300)
    changed("update executions set rung_at = rung_at - interval '1 minute'")
    length = idle.broker.client.llen(f"{idle.broker.namespace}:sending")

    for _ in range(3):
        assert sweeps.ring_lost_bells(settings) == {"rung": 0}

    assert idle.broker.client.llen(f"{idle.broker.namespace}:sending") == length == 300
    idle.broker.flush_all()


def test_only_the_bells_that_are_missing_are_rung_again(engine: Engine, idle: Worker, settings: Settings) -> None:
    alice = Alice()
    alice.automation(HELLO)
    started(alice, 20)
    changed("update executions set rung_at = rung_at - interval '1 minute'")
    client, key = idle.broker.client, f"{idle.broker.namespace}:sending"
    client.ltrim(key, 0, 14)

    assert sweeps.ring_lost_bells(settings) == {"rung": 5}
    idle.broker.flush_all()


def test_a_bell_of_a_fresh_execution_is_given_time(engine: Engine, idle: Worker, settings: Settings) -> None:
    alice = Alice()
    alice.automation(HELLO)
    started(alice)
    idle.broker.flush_all()

    assert sweeps.ring_lost_bells(settings) == {"rung": 0}


def end_other_sessions(settings: Settings) -> int:
    """PostgreSQL ends every session of this database but the test's own; how many."""
    mine = value("select pg_backend_pid()")
    with closing(psycopg2.connect(settings.database_url)) as owner, owner.cursor() as cursor:
        cursor.execute(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity "
            "where datname = current_database() and application_name = 'beckon' and pid <> %s",
            (mine,),
        )
        return int(cursor.fetchone()[0])


def test_executions_go_on_although_postgresql_ends_its_sessions_under_them(
    engine: Engine, sandbox: Running, settings: Settings
) -> None:
    alice = Alice()
    automation_id = alice.automation(WRITTEN, rules={"daily_limit": 1000, "frequency_cap": {"max": 9, "per": "1d"}})
    ids = started(alice, 60)
    cut = 0

    def all_done() -> bool:
        nonlocal cut
        cut += cut < 5 and end_other_sessions(settings) > 0
        sweeps.rescue_leases(settings)
        sweeps.wake_due(settings)
        return bool(value("select count(*) from executions where finished_at is null") == 0)

    # Who was cut off between two records is taken over once its lease of 30 s has run out.
    eventually(all_done, within=100, every=0.1)

    assert cut == 5
    found = [execution(one) for one in ids]
    assert {(one["status"], one["error_class"]) for one in found} <= {
        ("succeeded", None), ("failed", "unknown_outcome")
    }  # fmt: skip
    assert provider_calls(sandbox) <= 60
    addresses = [one["to"] for one in sandbox.messages(provider="mailgun")]
    assert len(addresses) == len(set(addresses))
    assert counters(alice.workspace_id, automation_id)["executions"] == 60
    books_balance()


def test_a_workflow_that_is_not_valid_any_more_fails_with_its_reasons_and_touches_nothing(
    engine: Engine, sandbox: Running, idle: Worker
) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    (execution_id,) = started(alice)
    changed("update workflow_versions set definition = jsonb_set(definition, '{steps,0,action}', '\"send_fax\"')")

    idle.resume()

    found = finished(execution_id)
    assert (found["status"], found["error_class"]) == ("failed", "invalid")
    assert "send_fax" in found["error_message"]
    assert provider_calls(sandbox) == 0
    assert counters(alice.workspace_id, automation_id)["failed"] == 1


def test_a_thread_that_stalled_may_not_send_once_its_own_process_claimed_again(engine: Engine, idle: Worker) -> None:
    alice = Alice()
    alice.automation(HELLO)
    (execution_id,) = started(alice)
    stalled = passage_of(engine, engine.ledger.claim(execution_id))
    let_lease_run_out(execution_id)
    newer = passage_of(engine, engine.ledger.claim(execution_id))

    with engine.leases.holding(stalled, time.monotonic()):
        assert engine.leases.still_ours(stalled)
        with engine.leases.holding(newer, time.monotonic()):
            assert not engine.leases.still_ours(stalled)
            assert engine.leases.still_ours(newer)


def test_a_lease_that_ran_out_by_our_own_clock_forbids_sending(engine: Engine, idle: Worker) -> None:
    alice = Alice()
    alice.automation(HELLO)
    (execution_id,) = started(alice)
    passage = passage_of(engine, engine.ledger.claim(execution_id))

    with engine.leases.holding(passage, time.monotonic() - engine.settings.lease_seconds):
        assert not engine.leases.still_ours(passage)


def test_a_lease_that_ran_out_while_its_record_waited_is_extended_if_nobody_took_it(
    engine: Engine, idle: Worker
) -> None:
    alice = Alice()
    alice.automation(HELLO)
    (execution_id,) = started(alice)
    passage = passage_of(engine, engine.ledger.claim(execution_id))
    let_lease_run_out(execution_id)

    with engine.leases.holding(passage, time.monotonic() - engine.settings.lease_seconds):
        announcing = engine.announce(passage)
        next(announcing)
        answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        engine.ledger.hand_in(passage.progress(), answers.put)
        with pytest.raises(StopIteration):
            announcing.send(answers.get(timeout=10))
        assert engine.leases.still_ours(passage)
    assert value("select lease_until > beckon_now() from executions where id = %s", (execution_id,))


def test_one_bad_record_does_not_take_the_batch_with_it(engine: Engine, idle: Worker, ledger: Ledger) -> None:
    alice = Alice()
    automation_id = alice.automation(TAGGED)
    passages = [passage_of(engine, ledger.claim(one)) for one in started(alice, 12)]
    for number, passage in enumerate(passages):
        passage.enter("eligible")
        passage.finish("succeeded", "completed")
        if number == 5:
            # PostgreSQL refuses this: what is skipped must say why.
            passage.state.update(status="skipped", stage="skipped")

    def record(number: int) -> bool | str:
        try:
            return ledger.record(passages[number].progress())
        except psycopg2.Error as error:
            return type(error).__name__

    answers = at_once(12, record)

    assert [answer for answer in answers if answer is not True] == ["CheckViolation"]
    assert counters(alice.workspace_id, automation_id)["succeeded"] == 11
    books_balance()
