"""Follow-ups: a contact who does not reply is messaged again, at most n times; a reply ends them."""

from __future__ import annotations

import itertools
import time
from datetime import timedelta
from typing import Any

import pytest
from dramatiq import Worker
from peewee import OperationalError

import clock
from models import automation, contact_matching, conversation, follow_up
from models.audit import SYSTEM
from models.checks import verification
from models.database import acting_as, transaction
from models.engine.limits import ALL_CONTACTS
from models.errors import Conflict, NotFound
from models.queries import execute, fetch_value
from sandbox.server import RunningSandbox
from settings import Settings
from tasks import periodic_jobs
from tasks.intake.callbacks import process_event
from tasks.operators import actions as operator_actions
from tasks.runtime.broker import notify
from tasks.runtime.engine import Engine
from tasks.steps import sending
from tests.support.concurrency import (
    assert_consistent,
    claim_and_abandon,
    count_provider_calls,
    expire_lease,
    run_concurrently,
)
from tests.support.factories import (
    HELLO,
    WRITTEN,
    Alice,
    bob,
    execution,
    messages,
    stages,
    wait_for_status,
    wait_until_finished,
)
from tests.support.rows import fetch_row, fetch_rows
from tests.support.waiting import eventually
from tests.support.webhooks import store_event
from tests.tasks.test_callbacks import deliver_callback, mailgun

TWO_FOLLOW_UPS = {"follow_ups": {"max": 2, "every": "24h"}}
ROUND_STAGES = ["checking", "eligible", "generating", "ready_to_send", "sending", "sent"]
_numbers = itertools.count(1)


@pytest.fixture
def alice(engine: Engine) -> Alice:
    return Alice()


def wait_for_follow_up(accepted: Any) -> dict[str, Any]:
    """Return the execution once it waits for the contact's reply."""
    return eventually(lambda: (current := wait_for_status(accepted))["waiting_for"] == "follow_up" and current)


def make_due(waiting: dict[str, Any]) -> None:
    """Simulate the passing of a day: finished steps are a day older, and the wait is due."""
    execute("update steps set finished_at = finished_at - interval '1 day' where execution_id = %s", (waiting["id"],))
    execute("update executions set due_at = beckon_now(), rung_at = '2000-01-01' where id = %s", (waiting["id"],))


def let_a_day_pass(waiting: dict[str, Any], settings: Settings) -> None:
    """Let a day pass without a reply, and run the scheduler."""
    make_due(waiting)
    periodic_jobs.enqueue_due(settings)


def next_round(waiting: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Let a day pass and wait until one more follow-up is sent."""
    let_a_day_pass(waiting, settings)
    return eventually(
        lambda: (current := execution(waiting["id"]))["follow_up_count"] > waiting["follow_up_count"]
        and current["status"] == "waiting" and current["waiting_for"] == "follow_up" and current
    )  # fmt: skip


def record_reply(workspace_id: str, contact_id: str, text: str = "Yes!") -> None:
    """Record a contact's reply without its event."""
    with transaction():
        conversation.record_received(
            workspace_id, contact_id, "email", f"in-{next(_numbers)}", kind="message", text=text, at=clock.now()
        )


def read_ending(result: dict[str, Any]) -> tuple[str, str | None]:
    """Return the status and the rule that ended the follow-ups."""
    reason = result["follow_up_ended_because"]
    return result["status"], reason and reason["rule"]


# Rounds


def test_a_contact_who_does_not_reply_gets_every_follow_up(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice.automation(WRITTEN, rules=TWO_FOLLOW_UPS)
    started_at = clock.now()
    first = wait_for_follow_up(alice.trigger())
    assert (first["stage"], first["follow_up_count"], count_provider_calls(sandbox)) == ("sent", 0, 1)
    assert started_at <= first["due_at"] - timedelta(hours=24) <= clock.now()

    second = next_round(first, settings)
    third = next_round(second, settings)
    assert (second["follow_up_count"], third["follow_up_count"]) == (1, 2)
    let_a_day_pass(third, settings)

    done = wait_until_finished(first["id"])
    assert (read_ending(done), done["follow_up_count"], count_provider_calls(sandbox)) == (("succeeded", None), 2, 3)
    assert stages(first["id"]) == ["queued", *ROUND_STAGES * 3, "completed"]
    assert [message["key"].rsplit(":", 2)[1:] for message in messages(first["id"])] == [
        ["hello", str(n)] for n in range(3)
    ]
    written = fetch_rows(
        "select round, attempts from steps where execution_id = %s and step_id = 'write'", (first["id"],)
    )
    assert sorted((step["round"], step["attempts"]) for step in written) == [(0, 1), (1, 1), (2, 1)]
    assert_consistent()
    assert [check.name for check in verification.verify(alice.workspace_id) if not check.holds] == []


def test_without_follow_ups_it_is_completed_at_once(alice: Alice) -> None:
    alice.automation(rules={"follow_ups": {"max": 0, "every": "24h"}})
    assert read_ending(wait_until_finished(alice.trigger())) == ("succeeded", None)


def test_an_execution_that_sent_nothing_has_no_follow_up(alice: Alice) -> None:
    alice.automation([{"id": "tag", "action": "update_contact", "with": {"add_tags": ["seen"]}}], rules=TWO_FOLLOW_UPS)
    assert read_ending(wait_until_finished(alice.trigger())) == ("succeeded", None)


def test_a_stop_ends_everything(alice: Alice, sandbox: RunningSandbox) -> None:
    alice.automation([*HELLO, {"id": "end", "action": "stop"}], rules=TWO_FOLLOW_UPS)
    assert read_ending(wait_until_finished(alice.trigger())) == ("succeeded", None)


def test_a_follow_up_repeats_only_the_last_generation_and_the_last_send(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    template = {"subject": "No. {{ execution.follow_up }}", "body": "{{ steps.tag.addedTags | json }}"}
    alice.automation(
        [*HELLO, {"id": "tag", "action": "update_contact", "with": {"add_tags": ["seen"]}},
         {"id": "last", "action": "send_email", "with": template},
         {"id": "note", "action": "notify", "with": {"channel": "slack", "text": "x"}}],
        rules=TWO_FOLLOW_UPS,
    )  # fmt: skip
    next_round(wait_for_follow_up(alice.trigger()), settings)

    sent = [
        (message["step_id"], message["round"], message["subject"])
        for message in messages(read_execution_id())
        if message["channel"] == "email"
    ]
    assert sent == [("hello", 0, "Hello Bob"), ("last", 0, "No. 0"), ("last", 1, "No. 1")]
    assert messages(read_execution_id())[-1]["body"] == '["seen"]'


def read_execution_id() -> str:
    """Return the id of the only execution."""
    return str(fetch_value("select id from executions"))


def test_an_early_notification_sends_nothing(alice: Alice, sandbox: RunningSandbox, settings: Settings) -> None:
    alice.automation(rules=TWO_FOLLOW_UPS)
    waiting = wait_for_follow_up(alice.trigger())
    execute("update executions set due_at = beckon_now() where id = %s", (waiting["id"],))
    notify(waiting["queue"], [waiting["id"]])

    again = eventually(lambda: (current := wait_for_follow_up(waiting["id"]))["fence"] > waiting["fence"] and current)

    assert again["due_at"] == waiting["due_at"]
    assert count_provider_calls(sandbox) == 1


def test_a_test_execution_is_followed_up_in_the_sandbox(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice.automation(rules={**TWO_FOLLOW_UPS, "daily_limit": 1})
    next_round(wait_for_follow_up(alice.trigger(test=True)), settings)
    assert all(message["sandbox"] and message["test"] for message in messages(read_execution_id()))
    assert fetch_row("select 1 from limit_reservations") is None


# Ends of follow-ups


def receive_mail(text: str = "Yes, please") -> str:
    """Store and process a reply from Mailgun's inbound route."""
    token = f"mail-{next(_numbers)}"
    body = {"from": "Bob <bob@example.com>", "stripped-text": text, "timestamp": str(time.time()), "token": token}
    stored = store_event("mailgun_inbound", token, None, body)
    assert stored is not None
    process_event.fn(stored)
    return str(fetch_value("select outcome from inbound_events where id = %s", (stored,)))


def test_a_reply_ends_them_at_once(alice: Alice, sandbox: RunningSandbox) -> None:
    alice.automation(rules=TWO_FOLLOW_UPS)
    waiting = wait_for_follow_up(alice.trigger())

    assert receive_mail() == "replied"

    done = wait_until_finished(waiting["id"])
    assert (read_ending(done), done["stage"], count_provider_calls(sandbox)) == (
        ("succeeded", "replied"),
        "completed",
        1,
    )
    assert done["follow_up_ended_because"]["detail"]["words"] == "The contact replied"


def test_a_reply_that_a_producer_reports_ends_them_too(alice: Alice, sandbox: RunningSandbox) -> None:
    alice.automation(rules=TWO_FOLLOW_UPS)
    waiting = wait_for_follow_up(alice.trigger())
    alice.trigger("contact.replied")
    assert read_ending(wait_until_finished(waiting["id"])) == ("succeeded", "replied")


def test_a_reply_whose_event_was_missed_is_found_at_the_due_time(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice.automation(rules=TWO_FOLLOW_UPS)
    waiting = wait_for_follow_up(alice.trigger())
    record_reply(alice.workspace_id, waiting["contact_id"])

    let_a_day_pass(waiting, settings)

    assert read_ending(wait_until_finished(waiting["id"])) == ("succeeded", "replied")
    assert count_provider_calls(sandbox) == 1


def test_a_reply_to_an_earlier_message_does_not_end_them(alice: Alice, settings: Settings) -> None:
    alice.automation(
        [*HELLO, {"id": "answer", "action": "wait_until", "with": {"event": "contact.replied", "timeout": "2d"},
                  "then": [{**HELLO[0], "id": "more"}], "else": []}],
        rules=TWO_FOLLOW_UPS,
    )  # fmt: skip
    waiting = wait_for_status(alice.trigger())
    assert waiting["waiting_for"] == "event"
    receive_mail()

    assert next_round(wait_for_follow_up(waiting["id"]), settings)["follow_up_count"] == 1


def test_a_reply_during_the_generation_stops_the_send(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice.automation(WRITTEN, rules={**TWO_FOLLOW_UPS, "daily_limit": 5})
    waiting = wait_for_follow_up(alice.trigger())
    sandbox.add_fault(provider="gemini", fault="slow", times=1, seconds=1.5)
    let_a_day_pass(waiting, settings)
    eventually(lambda: execution(waiting["id"])["stage"] == "generating")

    record_reply(alice.workspace_id, waiting["contact_id"])

    done = wait_until_finished(waiting["id"])
    assert (read_ending(done), count_provider_calls(sandbox)) == (("succeeded", "replied"), 1)
    assert [message["status"] for message in messages(done["id"])] in (["sent"], ["sent", "discarded"])
    assert fetch_value("select count(*) from limit_reservations") == 1
    assert [check.name for check in verification.verify(alice.workspace_id) if not check.holds] == []


def test_a_reply_between_the_check_and_the_send_stops_the_send(
    alice: Alice, sandbox: RunningSandbox, settings: Settings, idle: Worker
) -> None:
    alice.automation(rules=TWO_FOLLOW_UPS)
    accepted = alice.trigger()
    idle.resume()
    waiting = wait_for_follow_up(accepted)
    original = sending.rest_if_provider_paused

    def answers_meanwhile(*args: Any) -> bool:
        record_reply(alice.workspace_id, waiting["contact_id"])
        return original(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sending, "rest_if_provider_paused", answers_meanwhile)
        let_a_day_pass(waiting, settings)
        done = wait_until_finished(waiting["id"])

    assert (read_ending(done), count_provider_calls(sandbox)) == (("succeeded", "replied"), 1)
    assert messages(done["id"])[-1]["status"] == "discarded"


@pytest.mark.parametrize(("reason", "rule"), [("unsubscribed", "unsubscribed"), ("bounced", "suppressed")])
def test_a_suppressed_contact_gets_no_follow_up(
    alice: Alice, sandbox: RunningSandbox, settings: Settings, reason: str, rule: str
) -> None:
    alice.automation(rules=TWO_FOLLOW_UPS)
    waiting = wait_for_follow_up(alice.trigger())
    execute(
        "insert into suppressions (workspace_id, contact_id, channel, reason) values (%s, %s, 'email', %s)",
        (alice.workspace_id, waiting["contact_id"], reason),
    )
    let_a_day_pass(waiting, settings)
    assert read_ending(wait_until_finished(waiting["id"])) == ("succeeded", rule)
    assert count_provider_calls(sandbox) == 1


def test_an_unsubscribe_ends_them_at_once(alice: Alice, sandbox: RunningSandbox) -> None:
    alice.automation(rules=TWO_FOLLOW_UPS)
    waiting = wait_for_follow_up(alice.trigger())
    assert deliver_callback("mailgun", mailgun(messages(waiting["id"])[0], "unsubscribed")) == "unsubscribed"
    assert read_ending(wait_until_finished(waiting["id"])) == ("succeeded", "unsubscribed")


def test_a_rule_that_now_fails_ends_them_and_is_named(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice.automation(rules={**TWO_FOLLOW_UPS, "tags": {"none": ["customer"]}})
    waiting = wait_for_follow_up(alice.trigger())
    execute("update contacts set tags = tags || '{customer}'")

    let_a_day_pass(waiting, settings)

    done = wait_until_finished(waiting["id"])
    assert (read_ending(done), done["skipped_rule"]) == (("succeeded", "tags"), None)
    assert done["follow_up_ended_because"]["detail"]["words"] == 'The contact has the tag "customer"'
    assert stages(done["id"])[-3:] == ["sent", "checking", "completed"]


def test_an_automation_that_is_off_sends_no_follow_up(alice: Alice, settings: Settings) -> None:
    automation_id = alice.automation(rules=TWO_FOLLOW_UPS)
    waiting = wait_for_follow_up(alice.trigger())
    automation.toggle(alice.workspace_id, automation_id, False, SYSTEM)
    let_a_day_pass(waiting, settings)
    assert read_ending(wait_until_finished(waiting["id"])) == ("succeeded", "automation_off")


def test_an_operator_stops_them(alice: Alice, sandbox: RunningSandbox) -> None:
    alice.automation(rules=TWO_FOLLOW_UPS)
    waiting = wait_for_follow_up(alice.trigger())

    operator_actions.stop_follow_ups(alice.workspace_id, waiting["id"], SYSTEM)

    done = wait_until_finished(waiting["id"])
    assert read_ending(done) == ("succeeded", "stopped")
    assert (
        fetch_value("select action from audit where object_id = %s", (waiting["id"],)) == "execution.follow_ups_stopped"
    )
    with pytest.raises(Conflict, match="succeeded"):
        operator_actions.stop_follow_ups(alice.workspace_id, waiting["id"], SYSTEM)
    with pytest.raises(NotFound):
        operator_actions.stop_follow_ups(Alice().workspace_id, waiting["id"], SYSTEM)


def test_an_operator_may_stop_them_before_the_first_message_is_sent(alice: Alice, idle: Worker) -> None:
    alice.automation(rules=TWO_FOLLOW_UPS)
    accepted = alice.trigger()
    operator_actions.stop_follow_ups(alice.workspace_id, accepted.executions[0]["executionId"], SYSTEM)
    idle.resume()
    done = wait_until_finished(accepted)
    assert read_ending(done) == ("succeeded", "stopped")
    assert [message["status"] for message in messages(done["id"])] == ["sent"]


def test_a_stop_during_a_send_is_not_lost(alice: Alice, sandbox: RunningSandbox, settings: Settings) -> None:
    alice.automation(rules=TWO_FOLLOW_UPS)
    sandbox.add_fault(provider="mailgun", fault="slow", times=1, seconds=1.0)
    accepted = alice.trigger()
    eventually(lambda: execution(accepted)["stage"] == "sending")

    operator_actions.stop_follow_ups(alice.workspace_id, read_execution_id(), SYSTEM)

    eventually(lambda: periodic_jobs.enqueue_due(settings)["woken"])
    assert read_ending(wait_until_finished(accepted)) == ("succeeded", "stopped")


def test_an_operator_may_stop_one_that_waits_for_a_time_or_a_retry(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    at = "{% if execution.follow_up > 0 %}2099-01-01T00:00:00Z{% else %}2020-01-01T00:00:00Z{% endif %}"
    alice.automation([{**HELLO[0], "send_at": at}], rules=TWO_FOLLOW_UPS)
    waiting = wait_for_follow_up(alice.trigger())
    let_a_day_pass(waiting, settings)
    eventually(
        lambda: (current := execution(waiting["id"]))["stage"] == "ready_to_send" and current["status"] == "waiting"
    )

    operator_actions.stop_follow_ups(alice.workspace_id, waiting["id"], SYSTEM)

    done = wait_until_finished(waiting["id"])
    assert (read_ending(done), [message["status"] for message in messages(done["id"])]) == (
        ("succeeded", "stopped"), ["sent", "discarded"],
    )  # fmt: skip
    assert [check.name for check in verification.verify(alice.workspace_id) if not check.holds] == []


def test_an_execution_without_follow_ups_cannot_be_stopped(alice: Alice, idle: Worker) -> None:
    alice.automation()
    with pytest.raises(Conflict):
        operator_actions.stop_follow_ups(alice.workspace_id, alice.trigger().executions[0]["executionId"], SYSTEM)


# Limits


def test_every_round_reserves_the_limit_of_its_own_day(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice.automation(rules={**TWO_FOLLOW_UPS, "daily_limit": 2})
    first = next_round(wait_for_follow_up(alice.trigger()), settings)
    assert [
        limit["count"] for limit in fetch_rows("select count from limit_counts where contact_id = %s", (ALL_CONTACTS,))
    ] == [2]

    let_a_day_pass(first, settings)

    done = wait_until_finished(first["id"])
    assert (read_ending(done), done["follow_up_count"], count_provider_calls(sandbox)) == (
        ("succeeded", "daily_limit"),
        1,
        2,
    )
    assert done["follow_up_ended_because"]["detail"]["words"] == "Daily limit: 2 of 2 sent today"
    assert_consistent()


def test_the_frequency_cap_counts_the_follow_ups(alice: Alice, sandbox: RunningSandbox, settings: Settings) -> None:
    alice.automation(rules={**TWO_FOLLOW_UPS, "frequency_cap": {"max": 2, "per": "7d"}})
    first = next_round(wait_for_follow_up(alice.trigger()), settings)
    let_a_day_pass(first, settings)
    assert read_ending(wait_until_finished(first["id"])) == ("succeeded", "frequency_cap")


def test_outside_the_active_hours_a_follow_up_waits(alice: Alice, sandbox: RunningSandbox, settings: Settings) -> None:
    far = clock.now() + timedelta(hours=12)
    hours = {"start": f"{far:%H:%M}", "end": f"{far + timedelta(minutes=1):%H:%M}", "timezone": "contact"}
    alice.automation(rules={**TWO_FOLLOW_UPS, "active_hours": hours, "outside_hours": "wait"})
    # In a zone twelve hours ahead, the window is open now.
    accepted = alice.trigger(contact=bob(timezone="Etc/GMT-12"))
    waiting = wait_for_follow_up(accepted)
    execute("update contacts set timezone = 'UTC'")

    let_a_day_pass(waiting, settings)

    postponed = eventually(lambda: (current := execution(waiting["id"]))["waiting_for"] == "window" and current)
    assert (postponed["stage"], postponed["round"], postponed["follow_up_count"]) == ("eligible", 1, 0)
    execute("update contacts set timezone = 'Etc/GMT-12'")
    execute("update executions set due_at = beckon_now(), rung_at = '2000-01-01'")
    periodic_jobs.enqueue_due(settings)
    assert eventually(lambda: execution(waiting["id"])["follow_up_count"] == 1)


# Crashes and races


def test_a_worker_that_dies_between_rounds_leaves_one_follow_up_not_two(
    alice: Alice, sandbox: RunningSandbox, settings: Settings, idle: Worker
) -> None:
    alice.automation(WRITTEN, rules={**TWO_FOLLOW_UPS, "daily_limit": 5})
    accepted = alice.trigger()
    idle.resume()
    waiting = wait_for_follow_up(accepted)
    idle.pause()
    let_a_day_pass(waiting, settings)

    claim_and_abandon(waiting["id"])
    claim_and_abandon(waiting["id"])
    idle.resume()
    periodic_jobs.rescue_expired_leases(settings)

    again = eventually(lambda: (current := execution(waiting["id"]))["follow_up_count"] == 1 and current)
    assert (again["round"], count_provider_calls(sandbox)) == (1, 2)
    assert fetch_value("select count(*) from limit_reservations") == 2


def test_an_interrupted_follow_up_continues_once_its_outcome_is_resolved(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice.automation(rules=TWO_FOLLOW_UPS)
    waiting = wait_for_follow_up(alice.trigger())
    sandbox.add_fault(provider="mailgun", fault="reset_after", times=1)
    let_a_day_pass(waiting, settings)
    failed = eventually(lambda: (current := execution(waiting["id"]))["status"] == "failed" and current)
    assert (failed["error_class"], failed["follow_up_count"]) == ("unknown_outcome", 0)

    message = messages(waiting["id"])[-1]
    operator_actions.resolve_message(alice.workspace_id, message["id"], "sent", SYSTEM)

    again = wait_for_follow_up(waiting["id"])
    assert (again["follow_up_count"], again["round"], count_provider_calls(sandbox)) == (1, 1, 2)


def test_a_failed_follow_up_is_retried_with_its_own_steps(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice.automation(WRITTEN, rules=TWO_FOLLOW_UPS)
    waiting = wait_for_follow_up(alice.trigger())
    sandbox.add_fault(provider="gemini", fault="http_500", times=3)
    let_a_day_pass(waiting, settings)
    eventually(lambda: execution(waiting["id"])["waiting_for"] == "retry")

    execute("update executions set due_at = beckon_now(), rung_at = '2000-01-01'")
    periodic_jobs.enqueue_due(settings)

    again = eventually(lambda: (current := wait_for_follow_up(waiting["id"]))["follow_up_count"] == 1 and current)
    assert count_provider_calls(sandbox) == 2
    tries = fetch_rows(
        "select attempts from steps where execution_id = %s and step_id = 'write' and round = 1", (again["id"],)
    )
    assert [step["attempts"] for step in tries] == [2]


def test_a_reply_that_races_the_due_time_either_stops_or_follows_the_send(
    engine: Engine, sandbox: RunningSandbox
) -> None:
    alice = Alice()
    alice.automation(rules={"follow_ups": {"max": 1, "every": "24h"}})
    waiting = [
        wait_for_follow_up(alice.trigger(contact=bob(external_id=f"c-{n}", email=f"c{n}@example.com", phone=None)))
        for n in range(8)
    ]  # fmt: skip

    def race(index: int) -> None:
        target = waiting[index // 2]
        if index % 2:
            record_reply(alice.workspace_id, target["contact_id"])
        else:
            make_due(target)
            notify(target["queue"], [target["id"]])

    run_concurrently(16, race)
    eventually(lambda: fetch_value(
        "select count(*) from executions where status = 'succeeded' or (follow_up_count = 1 and status = 'waiting')"
    ) == 8)  # fmt: skip
    for result in fetch_rows("select * from executions"):
        sent = [message for message in messages(result["id"]) if message["sent_at"]]
        assert len(sent) == 1 + result["follow_up_count"]
        assert (read_ending(result)[1] == "replied") == (result["follow_up_count"] == 0)
    assert_consistent()


def test_an_accepted_send_is_recorded_before_anything_else_is_checked(
    alice: Alice, sandbox: RunningSandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_away(*args: Any) -> Any:
        raise OperationalError("the connection broke")

    monkeypatch.setattr(follow_up, "fetch_stop_reasons", is_away)
    alice.automation(rules=TWO_FOLLOW_UPS)
    waiting = wait_for_follow_up(alice.trigger())
    assert [message["status"] for message in messages(waiting["id"])] == ["sent"]


def test_a_suspended_worker_that_resumes_late_sends_no_second_follow_up(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice.automation(rules=TWO_FOLLOW_UPS)
    waiting = wait_for_follow_up(alice.trigger())
    let_a_day_pass(waiting, settings)
    again = eventually(lambda: (current := execution(waiting["id"]))["follow_up_count"] == 1 and current)
    expire_lease(again["id"])
    for _ in range(3):
        notify("sending", [again["id"]])
    eventually(lambda: execution(again["id"])["status"] == "waiting")
    assert count_provider_calls(sandbox) == 2


def test_contacts_of_another_workspace_end_nothing(alice: Alice, sandbox: RunningSandbox, settings: Settings) -> None:
    alice.automation(rules={"follow_ups": {"max": 1, "every": "24h"}})
    waiting = wait_for_follow_up(alice.trigger())
    charlie = Alice(name="charlie")
    with acting_as(charlie.workspace_id):
        (theirs,) = contact_matching.match_or_create(charlie.workspace_id, [(None, {"email": "bob@example.com"})])
    assert isinstance(theirs, dict)
    record_reply(charlie.workspace_id, theirs["id"])
    assert next_round(waiting, settings)["follow_up_count"] == 1
