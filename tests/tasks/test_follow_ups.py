"""Follow-ups: whoever does not answer is written to again, n times and no more, and whoever does is left in peace."""

from __future__ import annotations

import itertools
import time
from datetime import timedelta
from typing import Any

import pytest
from crew import at_once, books_balance, dies_with, let_lease_run_out, provider_calls
from dramatiq import Worker
from peewee import OperationalError

import clock
from cast import HELLO, WRITTEN, Alice, at_rest, bob, execution, finished, messages, stages
from models import automation, contact_matching, conversation, follow_up, inbound_event, verification
from models.audit import SYSTEM
from models.database import acting_as, changed, row, rows, transaction, value
from models.limits import EVERYBODY
from models.refusals import Conflict, NotThere
from sandbox.server import Running
from settings import Settings
from tasks import operators, sending, sweeps
from tasks.broker import ring
from tasks.engine import Engine
from tasks.inbound import process_event
from tests.tasks.test_callbacks import mailgun, tell
from waiting import eventually

TWICE = {"follow_ups": {"max": 2, "every": "24h"}}
WAY_OF_A_ROUND = ["checking", "eligible", "generating", "ready_to_send", "sending", "sent"]
_numbers = itertools.count(1)


@pytest.fixture
def alice(engine: Engine) -> Alice:
    return Alice()


def silent(accepted: Any) -> dict[str, Any]:
    """The execution, once it waits for the contact's answer."""
    return eventually(lambda: (found := at_rest(accepted))["waiting_for"] == "follow_up" and found)


def make_due(found: dict[str, Any]) -> None:
    """As if a day had passed: what was done is a day older, and what waits is due."""
    changed("update steps set finished_at = finished_at - interval '1 day' where execution_id = %s", (found["id"],))
    changed("update executions set due_at = beckon_now(), rung_at = '2000-01-01' where id = %s", (found["id"],))


def let_a_day_pass(found: dict[str, Any], settings: Settings) -> None:
    """The contact is silent for a day, and the scheduler notices."""
    make_due(found)
    sweeps.wake_due(settings)


def next_round(found: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """A day of silence later, when one more follow-up has left."""
    let_a_day_pass(found, settings)
    return eventually(
        lambda: (one := execution(found["id"]))["follow_up_count"] > found["follow_up_count"]
        and one["status"] == "waiting" and one["waiting_for"] == "follow_up" and one
    )  # fmt: skip


def hear(workspace_id: str, contact_id: str, text: str = "Yes!") -> None:
    """What the contact's answer leaves on record, without the event that it is."""
    with transaction():
        conversation.record_received(
            workspace_id, contact_id, "email", f"in-{next(_numbers)}", kind="message", text=text, at=clock.now()
        )


def because(found: dict[str, Any]) -> tuple[str, str | None]:
    """Status and the rule that ended the follow-ups."""
    ended = found["follow_up_ended_because"]
    return found["status"], ended and ended["rule"]


# Rounds


def test_a_contact_who_does_not_answer_is_written_to_again_as_often_as_wanted(
    alice: Alice, sandbox: Running, settings: Settings
) -> None:
    alice.automation(WRITTEN, rules=TWICE)
    first = silent(alice.trigger())
    assert (first["stage"], first["follow_up_count"], provider_calls(sandbox)) == ("sent", 0, 1)
    assert abs(first["due_at"] - clock.now() - timedelta(hours=24)) < timedelta(seconds=10)

    second = next_round(first, settings)
    third = next_round(second, settings)
    assert (second["follow_up_count"], third["follow_up_count"]) == (1, 2)
    let_a_day_pass(third, settings)

    done = finished(first["id"])
    assert (because(done), done["follow_up_count"], provider_calls(sandbox)) == (("succeeded", None), 2, 3)
    assert stages(first["id"]) == ["queued", *WAY_OF_A_ROUND * 3, "completed"]
    assert [one["key"].rsplit(":", 2)[1:] for one in messages(first["id"])] == [["hello", str(n)] for n in range(3)]
    written = rows("select round, attempts from steps where execution_id = %s and step_id = 'write'", (first["id"],))
    assert sorted((one["round"], one["attempts"]) for one in written) == [(0, 1), (1, 1), (2, 1)]
    books_balance()
    assert [one.name for one in verification.verify(alice.workspace_id) if not one.holds] == []


def test_without_follow_ups_it_is_completed_at_once(alice: Alice) -> None:
    alice.automation(rules={"follow_ups": {"max": 0, "every": "24h"}})
    assert because(finished(alice.trigger())) == ("succeeded", None)


def test_what_sent_nothing_is_not_followed_up(alice: Alice) -> None:
    alice.automation([{"id": "tag", "action": "update_contact", "with": {"add_tags": ["seen"]}}], rules=TWICE)
    assert because(finished(alice.trigger())) == ("succeeded", None)


def test_a_stop_ends_everything(alice: Alice, sandbox: Running) -> None:
    alice.automation([*HELLO, {"id": "end", "action": "stop"}], rules=TWICE)
    assert because(finished(alice.trigger())) == ("succeeded", None)


def test_a_follow_up_does_the_last_text_and_the_last_send_again_and_nothing_else(
    alice: Alice, sandbox: Running, settings: Settings
) -> None:
    told = {"subject": "No. {{ execution.follow_up }}", "body": "{{ steps.tag.addedTags | json }}"}
    alice.automation(
        [*HELLO, {"id": "tag", "action": "update_contact", "with": {"add_tags": ["seen"]}},
         {"id": "last", "action": "send_email", "with": told},
         {"id": "note", "action": "notify", "with": {"channel": "slack", "text": "x"}}],
        rules=TWICE,
    )  # fmt: skip
    next_round(silent(alice.trigger()), settings)

    sent = [
        (one["step_id"], one["round"], one["subject"]) for one in messages(execution_id()) if one["channel"] == "email"
    ]
    assert sent == [("hello", 0, "Hello Bob"), ("last", 0, "No. 0"), ("last", 1, "No. 1")]
    assert messages(execution_id())[-1]["body"] == '["seen"]'


def execution_id() -> str:
    """The only execution there is."""
    return str(value("select id from executions"))


def test_a_bell_before_the_time_sends_nothing(alice: Alice, sandbox: Running, settings: Settings) -> None:
    alice.automation(rules=TWICE)
    waiting = silent(alice.trigger())
    changed("update executions set due_at = beckon_now() where id = %s", (waiting["id"],))
    ring(waiting["queue"], [waiting["id"]])

    again = eventually(lambda: (one := silent(waiting["id"]))["fence"] > waiting["fence"] and one)

    assert again["due_at"] == waiting["due_at"]
    assert provider_calls(sandbox) == 1


def test_a_test_execution_is_followed_up_in_the_sandbox(alice: Alice, sandbox: Running, settings: Settings) -> None:
    alice.automation(rules={**TWICE, "daily_limit": 1})
    next_round(silent(alice.trigger(test=True)), settings)
    assert all(one["sandbox"] and one["test"] for one in messages(execution_id()))
    assert row("select 1 from limit_reservations") is None


# What ends them


def mail_from_bob(text: str = "Yes, please") -> str:
    """Mailgun's inbound route, read by the actor."""
    token = f"mail-{next(_numbers)}"
    body = {"from": "Bob <bob@example.com>", "stripped-text": text, "timestamp": str(time.time()), "token": token}
    stored = inbound_event.store("mailgun_inbound", token, None, body)
    assert stored is not None
    process_event.fn(stored)
    return str(value("select outcome from inbound_events where id = %s", (stored,)))


def test_an_answer_ends_them_at_once(alice: Alice, sandbox: Running) -> None:
    alice.automation(rules=TWICE)
    waiting = silent(alice.trigger())

    assert mail_from_bob() == "replied"

    done = finished(waiting["id"])
    assert (because(done), done["stage"], provider_calls(sandbox)) == (("succeeded", "replied"), "completed", 1)
    assert done["follow_up_ended_because"]["detail"]["words"] == "The contact answered"


def test_an_answer_that_a_producer_tells_of_ends_them_too(alice: Alice, sandbox: Running) -> None:
    alice.automation(rules=TWICE)
    waiting = silent(alice.trigger())
    alice.trigger("contact.replied")
    assert because(finished(waiting["id"])) == ("succeeded", "replied")


def test_an_answer_whose_event_was_missed_is_found_when_the_follow_up_is_due(
    alice: Alice, sandbox: Running, settings: Settings
) -> None:
    alice.automation(rules=TWICE)
    waiting = silent(alice.trigger())
    hear(alice.workspace_id, waiting["contact_id"])

    let_a_day_pass(waiting, settings)

    assert because(finished(waiting["id"])) == ("succeeded", "replied")
    assert provider_calls(sandbox) == 1


def test_an_answer_to_an_earlier_message_does_not_end_them(alice: Alice, settings: Settings) -> None:
    alice.automation(
        [*HELLO, {"id": "answer", "action": "wait_until", "with": {"event": "contact.replied", "timeout": "2d"},
                  "then": [{**HELLO[0], "id": "more"}], "else": []}],
        rules=TWICE,
    )  # fmt: skip
    waiting = at_rest(alice.trigger())
    assert waiting["waiting_for"] == "event"
    mail_from_bob()

    assert next_round(silent(waiting["id"]), settings)["follow_up_count"] == 1


def test_an_answer_that_comes_while_the_text_is_written_stops_the_send(
    alice: Alice, sandbox: Running, settings: Settings
) -> None:
    alice.automation(WRITTEN, rules={**TWICE, "daily_limit": 5})
    waiting = silent(alice.trigger())
    sandbox.fault(provider="gemini", fault="slow", times=1, seconds=1.5)
    let_a_day_pass(waiting, settings)
    eventually(lambda: execution(waiting["id"])["stage"] == "generating")

    hear(alice.workspace_id, waiting["contact_id"])

    done = finished(waiting["id"])
    assert (because(done), provider_calls(sandbox)) == (("succeeded", "replied"), 1)
    assert [one["status"] for one in messages(done["id"])] in (["sent"], ["sent", "discarded"])
    assert value("select count(*) from limit_reservations") == 1
    assert [one.name for one in verification.verify(alice.workspace_id) if not one.holds] == []


def test_an_answer_between_the_workers_look_and_its_send_stops_it_right_before_the_send(
    alice: Alice, sandbox: Running, settings: Settings, idle: Worker
) -> None:
    alice.automation(rules=TWICE)
    accepted = alice.trigger()
    idle.resume()
    waiting = silent(accepted)
    asked = sending.held_provider

    def answers_meanwhile(*given: Any) -> bool:
        hear(alice.workspace_id, waiting["contact_id"])
        return asked(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sending, "held_provider", answers_meanwhile)
        let_a_day_pass(waiting, settings)
        done = finished(waiting["id"])

    assert (because(done), provider_calls(sandbox)) == (("succeeded", "replied"), 1)
    assert messages(done["id"])[-1]["status"] == "discarded"


@pytest.mark.parametrize(("reason", "rule"), [("unsubscribed", "unsubscribed"), ("bounced", "suppressed")])
def test_a_contact_who_must_not_be_written_to_any_more_is_not(
    alice: Alice, sandbox: Running, settings: Settings, reason: str, rule: str
) -> None:
    alice.automation(rules=TWICE)
    waiting = silent(alice.trigger())
    changed(
        "insert into suppressions (workspace_id, contact_id, channel, reason) values (%s, %s, 'email', %s)",
        (alice.workspace_id, waiting["contact_id"], reason),
    )
    let_a_day_pass(waiting, settings)
    assert because(finished(waiting["id"])) == ("succeeded", rule)
    assert provider_calls(sandbox) == 1


def test_an_unsubscribe_ends_them_at_once(alice: Alice, sandbox: Running) -> None:
    alice.automation(rules=TWICE)
    waiting = silent(alice.trigger())
    assert tell("mailgun", mailgun(messages(waiting["id"])[0], "unsubscribed")) == "unsubscribed"
    assert because(finished(waiting["id"])) == ("succeeded", "unsubscribed")


def test_a_rule_that_fails_by_now_ends_them_and_says_which(alice: Alice, sandbox: Running, settings: Settings) -> None:
    alice.automation(rules={**TWICE, "tags": {"none": ["customer"]}})
    waiting = silent(alice.trigger())
    changed("update contacts set tags = tags || '{customer}'")

    let_a_day_pass(waiting, settings)

    done = finished(waiting["id"])
    assert (because(done), done["skipped_rule"]) == (("succeeded", "tags"), None)
    assert done["follow_up_ended_because"]["detail"]["words"] == 'The contact has the tag "customer"'
    assert stages(done["id"])[-3:] == ["sent", "checking", "completed"]


def test_an_automation_that_was_switched_off_follows_nobody_up(alice: Alice, settings: Settings) -> None:
    automation_id = alice.automation(rules=TWICE)
    waiting = silent(alice.trigger())
    automation.toggle(alice.workspace_id, automation_id, False, SYSTEM)
    let_a_day_pass(waiting, settings)
    assert because(finished(waiting["id"])) == ("succeeded", "automation_off")


def test_an_operator_stops_them(alice: Alice, sandbox: Running) -> None:
    alice.automation(rules=TWICE)
    waiting = silent(alice.trigger())

    operators.stop_follow_ups(alice.workspace_id, waiting["id"], SYSTEM)

    done = finished(waiting["id"])
    assert because(done) == ("succeeded", "stopped")
    assert value("select action from audit where object_id = %s", (waiting["id"],)) == "execution.follow_ups_stopped"
    with pytest.raises(Conflict, match="succeeded"):
        operators.stop_follow_ups(alice.workspace_id, waiting["id"], SYSTEM)
    with pytest.raises(NotThere):
        operators.stop_follow_ups(Alice().workspace_id, waiting["id"], SYSTEM)


def test_an_operator_may_stop_them_before_the_first_message_has_left(alice: Alice, idle: Worker) -> None:
    alice.automation(rules=TWICE)
    accepted = alice.trigger()
    operators.stop_follow_ups(alice.workspace_id, accepted.executions[0]["executionId"], SYSTEM)
    idle.resume()
    done = finished(accepted)
    assert because(done) == ("succeeded", "stopped")
    assert [one["status"] for one in messages(done["id"])] == ["sent"]


def test_a_wish_to_stop_that_comes_while_a_message_is_sent_is_not_lost(
    alice: Alice, sandbox: Running, settings: Settings
) -> None:
    alice.automation(rules=TWICE)
    sandbox.fault(provider="mailgun", fault="slow", times=1, seconds=1.0)
    accepted = alice.trigger()
    eventually(lambda: execution(accepted)["stage"] == "sending")

    operators.stop_follow_ups(alice.workspace_id, execution_id(), SYSTEM)

    eventually(lambda: sweeps.wake_due(settings)["woken"])
    assert because(finished(accepted)) == ("succeeded", "stopped")


def test_an_operator_may_stop_one_that_waits_for_its_time_or_its_retry(
    alice: Alice, sandbox: Running, settings: Settings
) -> None:
    at = "{% if execution.follow_up > 0 %}2099-01-01T00:00:00Z{% else %}2020-01-01T00:00:00Z{% endif %}"
    alice.automation([{**HELLO[0], "send_at": at}], rules=TWICE)
    waiting = silent(alice.trigger())
    let_a_day_pass(waiting, settings)
    eventually(lambda: (one := execution(waiting["id"]))["stage"] == "ready_to_send" and one["status"] == "waiting")

    operators.stop_follow_ups(alice.workspace_id, waiting["id"], SYSTEM)

    done = finished(waiting["id"])
    assert (because(done), [one["status"] for one in messages(done["id"])]) == (
        ("succeeded", "stopped"), ["sent", "discarded"],
    )  # fmt: skip
    assert [one.name for one in verification.verify(alice.workspace_id) if not one.holds] == []


def test_nothing_is_stopped_where_no_follow_ups_are_wanted(alice: Alice, idle: Worker) -> None:
    alice.automation()
    with pytest.raises(Conflict):
        operators.stop_follow_ups(alice.workspace_id, alice.trigger().executions[0]["executionId"], SYSTEM)


# Limits


def test_every_round_takes_a_place_of_its_own_day(alice: Alice, sandbox: Running, settings: Settings) -> None:
    alice.automation(rules={**TWICE, "daily_limit": 2})
    first = next_round(silent(alice.trigger()), settings)
    assert [one["count"] for one in rows("select count from limit_counts where contact_id = %s", (EVERYBODY,))] == [2]

    let_a_day_pass(first, settings)

    done = finished(first["id"])
    assert (because(done), done["follow_up_count"], provider_calls(sandbox)) == (("succeeded", "daily_limit"), 1, 2)
    assert done["follow_up_ended_because"]["detail"]["words"] == "Daily limit: 2 of 2 sent today"
    books_balance()


def test_the_frequency_cap_counts_the_follow_ups(alice: Alice, sandbox: Running, settings: Settings) -> None:
    alice.automation(rules={**TWICE, "frequency_cap": {"max": 2, "per": "7d"}})
    first = next_round(silent(alice.trigger()), settings)
    let_a_day_pass(first, settings)
    assert because(finished(first["id"])) == ("succeeded", "frequency_cap")


def test_outside_the_hours_a_follow_up_waits_for_them(alice: Alice, sandbox: Running, settings: Settings) -> None:
    far = clock.now() + timedelta(hours=12)
    hours = {"start": f"{far:%H:%M}", "end": f"{far + timedelta(minutes=1):%H:%M}", "timezone": "contact"}
    alice.automation(rules={**TWICE, "active_hours": hours, "outside_hours": "wait"})
    # Where it is twelve hours later, the window is open now.
    accepted = alice.trigger(contact=bob(timezone="Etc/GMT-12"))
    waiting = silent(accepted)
    changed("update contacts set timezone = 'UTC'")

    let_a_day_pass(waiting, settings)

    held = eventually(lambda: (one := execution(waiting["id"]))["waiting_for"] == "window" and one)
    assert (held["stage"], held["round"], held["follow_up_count"]) == ("eligible", 1, 0)
    changed("update contacts set timezone = 'Etc/GMT-12'")
    changed("update executions set due_at = beckon_now(), rung_at = '2000-01-01'")
    sweeps.wake_due(settings)
    assert eventually(lambda: execution(waiting["id"])["follow_up_count"] == 1)


# Crashes and races


def test_a_worker_that_dies_between_rounds_leaves_one_follow_up_and_not_two(
    alice: Alice, sandbox: Running, settings: Settings, idle: Worker
) -> None:
    alice.automation(WRITTEN, rules={**TWICE, "daily_limit": 5})
    accepted = alice.trigger()
    idle.resume()
    waiting = silent(accepted)
    idle.pause()
    let_a_day_pass(waiting, settings)

    dies_with(waiting["id"])
    dies_with(waiting["id"])
    idle.resume()
    sweeps.rescue_leases(settings)

    again = eventually(lambda: (one := execution(waiting["id"]))["follow_up_count"] == 1 and one)
    assert (again["round"], provider_calls(sandbox)) == (1, 2)
    assert value("select count(*) from limit_reservations") == 2


def test_a_follow_up_that_was_cut_off_while_being_sent_is_held_and_goes_on_once_it_is_resolved(
    alice: Alice, sandbox: Running, settings: Settings
) -> None:
    alice.automation(rules=TWICE)
    waiting = silent(alice.trigger())
    sandbox.fault(provider="mailgun", fault="reset_after", times=1)
    let_a_day_pass(waiting, settings)
    held = eventually(lambda: (one := execution(waiting["id"]))["status"] == "failed" and one)
    assert (held["error_class"], held["follow_up_count"]) == ("unknown_outcome", 0)

    message = messages(waiting["id"])[-1]
    operators.resolve_message(alice.workspace_id, message["id"], "sent", SYSTEM)

    again = silent(waiting["id"])
    assert (again["follow_up_count"], again["round"], provider_calls(sandbox)) == (1, 1, 2)


def test_a_follow_up_that_failed_goes_on_with_its_own_steps(alice: Alice, sandbox: Running, settings: Settings) -> None:
    alice.automation(WRITTEN, rules=TWICE)
    waiting = silent(alice.trigger())
    sandbox.fault(provider="gemini", fault="http_500", times=3)
    let_a_day_pass(waiting, settings)
    eventually(lambda: execution(waiting["id"])["waiting_for"] == "retry")

    changed("update executions set due_at = beckon_now(), rung_at = '2000-01-01'")
    sweeps.wake_due(settings)

    again = eventually(lambda: (one := silent(waiting["id"]))["follow_up_count"] == 1 and one)
    assert provider_calls(sandbox) == 2
    tries = rows(
        "select attempts from steps where execution_id = %s and step_id = 'write' and round = 1", (again["id"],)
    )
    assert [one["attempts"] for one in tries] == [2]


def test_an_answer_that_races_the_due_time_ends_in_one_of_two_ways_and_never_in_between(
    engine: Engine, sandbox: Running
) -> None:
    alice = Alice()
    alice.automation(rules={"follow_ups": {"max": 1, "every": "24h"}})
    waiting = [
        silent(alice.trigger(contact=bob(external_id=f"c-{n}", email=f"c{n}@example.com", phone=None)))
        for n in range(8)
    ]  # fmt: skip

    def race(hand: int) -> None:
        one = waiting[hand // 2]
        if hand % 2:
            hear(alice.workspace_id, one["contact_id"])
        else:
            make_due(one)
            ring(one["queue"], [one["id"]])

    at_once(16, race)
    eventually(lambda: value(
        "select count(*) from executions where status = 'succeeded' or (follow_up_count = 1 and status = 'waiting')"
    ) == 8)  # fmt: skip
    for found in rows("select * from executions"):
        left = [one for one in messages(found["id"]) if one["sent_at"]]
        assert len(left) == 1 + found["follow_up_count"]
        assert (because(found)[1] == "replied") == (found["follow_up_count"] == 0)
    books_balance()


def test_what_the_provider_took_is_on_record_before_anything_else_is_asked(
    alice: Alice, sandbox: Running, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_away(*given: Any) -> Any:
        raise OperationalError("the connection broke")

    monkeypatch.setattr(follow_up, "called_off", is_away)
    alice.automation(rules=TWICE)
    waiting = silent(alice.trigger())
    assert [one["status"] for one in messages(waiting["id"])] == ["sent"]


def test_a_frozen_worker_that_wakes_too_late_sends_no_second_follow_up(
    alice: Alice, sandbox: Running, settings: Settings
) -> None:
    alice.automation(rules=TWICE)
    waiting = silent(alice.trigger())
    let_a_day_pass(waiting, settings)
    again = eventually(lambda: (one := execution(waiting["id"]))["follow_up_count"] == 1 and one)
    let_lease_run_out(again["id"])
    for _ in range(3):
        ring("sending", [again["id"]])
    eventually(lambda: execution(again["id"])["status"] == "waiting")
    assert provider_calls(sandbox) == 2


def test_contacts_of_another_workspace_end_nothing(alice: Alice, sandbox: Running, settings: Settings) -> None:
    alice.automation(rules={"follow_ups": {"max": 1, "every": "24h"}})
    waiting = silent(alice.trigger())
    charlie = Alice(name="charlie")
    with acting_as(charlie.workspace_id):
        (theirs,) = contact_matching.match(charlie.workspace_id, [(None, {"email": "bob@example.com"})])
    assert isinstance(theirs, dict)
    hear(charlie.workspace_id, theirs["id"])
    assert next_round(waiting, settings)["follow_up_count"] == 1
