"""Unknown outcomes: looked up at the provider until it is known, and then sent again, held or continued."""

from __future__ import annotations

from typing import Any

import pytest

from models import message, workspace_preferences
from models.audit import SYSTEM
from models.database import transaction
from sandbox.server import RunningSandbox
from settings import Settings
from tasks import periodic_jobs
from tasks.health.facts import read_workspace
from tasks.operators.actions import resolve_message
from tasks.runtime.engine import Engine
from tests.support.factories import Alice, counters, execution, messages, steps, wait_until_finished
from tests.support.unknown_outcomes import look_up_after
from tests.support.waiting import eventually

SEND = {"id": "hello", "action": "send_email", "with": {"subject": "Hello", "body": "Hi"}}
SMS = {"id": "sms", "action": "send_sms", "with": {"body": "Hi"}}
CALL = {"id": "call", "action": "notify", "with": {"channel": "slack", "text": "Hi"}}
#: Of the last scheduled look-up, and of one before it.
LAST, BEFORE = 2_100.0, 400.0


def count_sent(sandbox: RunningSandbox, provider: str = "mailgun") -> int:
    return len(sandbox.list_messages(provider=provider))


def fail(alice: Alice, sandbox: RunningSandbox, step: dict[str, Any], fault: str = "reset_before") -> str:
    """Let the first send of this step have an unknown outcome; return its execution."""
    alice.automation([step])
    provider = {"send_email": "mailgun", "send_sms": "telnyx", "notify": "slack"}[step["action"]]
    sandbox.add_fault(provider, fault)
    failed = wait_until_finished(alice.trigger())
    assert failed["error_class"] == "unknown_outcome"
    return str(failed["id"])


def look_up(settings: Settings, execution_id: str, seconds: float) -> dict[str, Any]:
    """Look a message up as so long after its send; return it once it has changed."""
    before = messages(execution_id)[0]["look_up_log"]
    look_up_after(settings, seconds)
    row: dict[str, Any] = eventually(
        lambda: ((row := messages(execution_id)[0])["look_up_log"] != before and row) or None
    )
    return row


def read_refusals(alice: Alice, settings: Settings) -> Any:
    return read_workspace(settings, alice.workspace_id).results["refusals"]


def wait_for_execution(execution_id: str, status: str) -> None:
    eventually(lambda: execution(execution_id)["status"] == status)


def test_a_lost_answer_is_reconciled_and_the_execution_continues(
    engine: Engine, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice = Alice()
    automation_id = alice.automation([SEND, {"id": "tag", "action": "update_contact", "with": {"add_tags": ["read"]}}])
    sandbox.add_fault(provider="mailgun", fault="reset_after")
    failed = wait_until_finished(alice.trigger())

    look_up_after(settings, 5)

    wait_for_execution(failed["id"], "succeeded")
    (row,) = messages(failed["id"])
    assert (row["status"], count_sent(sandbox)) == ("sent", 1)
    assert row["provider_message_id"]
    assert steps(failed["id"])["tag"]["status"] == "succeeded"
    assert counters(alice.workspace_id, automation_id)["failed"] == 0


def test_the_next_look_up_is_at_its_time_from_the_send(
    engine: Engine, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice = Alice()
    execution_id = fail(alice, sandbox, SEND)
    (first,) = messages(execution_id)
    assert (first["look_up_at"] - first["sending_at"]).total_seconds() == pytest.approx(5)

    row = look_up(settings, execution_id, 21)

    assert (row["look_up_at"] - row["sending_at"]).total_seconds() == pytest.approx(60)
    assert (row["look_ups"], row["look_up_log"][0]["found"]) == (2, False)


def test_an_email_that_mailgun_never_lists_is_sent_again_once(
    engine: Engine, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice = Alice()
    execution_id = fail(alice, sandbox, SEND)
    sandbox.add_fault("mailgun", "reset_before")

    look_up(settings, execution_id, BEFORE)
    assert messages(execution_id)[0]["resends"] == 0
    look_up(settings, execution_id, LAST)
    eventually(lambda: messages(execution_id)[0]["resends"] == 1)
    wait_for_execution(execution_id, "failed")
    row = look_up(settings, execution_id, LAST)

    assert (row["status"], row["look_up_at"], row["resends"]) == ("outcome_unknown", None, 1)
    assert count_sent(sandbox) == 0


def test_a_notice_is_held_where_nothing_says_otherwise(
    engine: Engine, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice = Alice()
    execution_id = fail(alice, sandbox, CALL)

    assert messages(execution_id)[0]["look_up_at"] is None
    periodic_jobs.reconcile_unknown_outcomes(settings)
    assert execution(execution_id)["status"] == "failed"


@pytest.mark.parametrize(("of_step", "of_workspace", "resends"), [(None, "hold", 0), ("resend", "hold", 1)])
def test_the_step_wins_over_the_workspace_and_it_over_the_provider(
    engine: Engine, sandbox: RunningSandbox, settings: Settings, of_step: str | None, of_workspace: str, resends: int
) -> None:
    alice = Alice()
    workspace_preferences.change(alice.workspace_id, "delivery", {"when_unknown": of_workspace}, SYSTEM)
    execution_id = fail(alice, sandbox, {**SEND, **({"on_unknown": of_step} if of_step else {})})

    look_up(settings, execution_id, LAST)

    wait_for_execution(execution_id, "succeeded" if resends else "failed")
    (row,) = messages(execution_id)
    assert (row["look_up_at"], row["resends"], count_sent(sandbox)) == (None, resends, resends)


@pytest.mark.parametrize("of", ["step", "workspace"])
def test_where_nobody_can_be_asked_a_message_is_sent_again_after_35_minutes(
    engine: Engine, sandbox: RunningSandbox, settings: Settings, of: str
) -> None:
    alice = Alice()
    if of == "workspace":
        workspace_preferences.change(alice.workspace_id, "delivery", {"when_unknown": "resend"}, SYSTEM)
    execution_id = fail(alice, sandbox, {**CALL, **({"on_unknown": "resend"} if of == "step" else {})})
    (row,) = messages(execution_id)
    assert (row["look_up_at"] - row["sending_at"]).total_seconds() == pytest.approx(LAST)

    look_up_after(settings, LAST)

    wait_for_execution(execution_id, "succeeded")
    assert (count_sent(sandbox, "slack"), messages(execution_id)[0]["look_up_log"]) == (1, [])


def test_a_message_listed_late_is_found_by_a_later_look_up(
    engine: Engine, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice = Alice()
    execution_id = fail(alice, sandbox, SEND, "reset_after")
    sandbox.add_fault("mailgun", "lookup_late", seconds=3_600)

    assert look_up(settings, execution_id, BEFORE)["look_up_log"][0]["found"] is False
    look_up_after(settings, LAST)

    wait_for_execution(execution_id, "succeeded")
    assert count_sent(sandbox) == 1


def test_a_message_on_the_second_page_is_found(engine: Engine, sandbox: RunningSandbox, settings: Settings) -> None:
    alice = Alice()
    execution_id = fail(alice, sandbox, SEND, "reset_after")
    sandbox.add_fault("mailgun", "lookup_second_page", times=0)

    look_up_after(settings, LAST)

    wait_for_execution(execution_id, "succeeded")
    assert count_sent(sandbox) == 1


def test_a_key_that_may_not_read_never_sends_again_and_is_on_record(
    engine: Engine, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice = Alice()
    execution_id = fail(alice, sandbox, SEND)
    sandbox.add_fault("mailgun", "lookup_auth", times=2)

    assert look_up(settings, execution_id, BEFORE)["look_up_at"] is not None
    held = look_up(settings, execution_id, LAST)

    assert (held["status"], held["look_up_at"], held["resends"]) == ("outcome_unknown", None, 0)
    assert [(entry["found"], "Check the API key" in entry["error"]) for entry in held["look_up_log"]] == [
        (None, True)
    ] * 2
    assert "Check the API key" in read_refusals(alice, settings)["mailgun"]["message"]
    assert not read_refusals(alice, settings.model_copy(update={"mailgun_api_key": "another"}))


def test_an_answered_look_up_ends_the_refusal(engine: Engine, sandbox: RunningSandbox, settings: Settings) -> None:
    alice = Alice()
    execution_id = fail(alice, sandbox, SEND)
    sandbox.add_fault("mailgun", "lookup_auth")

    look_up(settings, execution_id, 5)
    look_up(settings, execution_id, BEFORE)

    assert not read_refusals(alice, settings)


@pytest.mark.parametrize("fault", ["http_500", "bad_json", "reset_after"])
def test_a_last_look_up_without_an_answer_is_repeated_and_never_resends(
    engine: Engine, sandbox: RunningSandbox, settings: Settings, fault: str
) -> None:
    alice = Alice()
    execution_id = fail(alice, sandbox, {**SEND, "on_unknown": "resend"}, "reset_after")
    sandbox.add_fault("mailgun", fault, times=0, match={"call": "look_up"})

    row = look_up(settings, execution_id, LAST)
    assert (row["look_up_at"] - row["sending_at"]).total_seconds() == pytest.approx(3_600)
    sandbox.sandbox.store.faults.clear()
    look_up_after(settings, 3_600)

    wait_for_execution(execution_id, "succeeded")
    assert count_sent(sandbox) == 1


def test_an_outage_heals_by_itself_and_sends_nothing_twice(
    engine: Engine, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice = Alice()
    alice.automation([SEND])
    for fault in ("http_500", "reset_after", "bad_json", "http_500"):
        sandbox.add_fault("mailgun", fault)
    sandbox.add_fault("mailgun", "http_500", times=0, match={"call": "look_up"})
    contacts = [{"external_id": f"c-{n}", "email": f"c{n}@example.com"} for n in range(4)]
    ids = [wait_until_finished(alice.trigger(contact=contact))["id"] for contact in contacts]
    look_up(settings, ids[0], LAST)
    eventually(lambda: all(messages(execution_id)[0]["look_up_log"] for execution_id in ids))
    assert {execution(execution_id)["error_class"] for execution_id in ids} == {"unknown_outcome"}

    sandbox.sandbox.store.faults.clear()
    look_up_after(settings, 3_600)

    for execution_id in ids:
        wait_for_execution(execution_id, "succeeded")
    assert sorted(message["to"] for message in sandbox.list_messages("mailgun")) == [
        contact["email"] for contact in contacts
    ]


@pytest.mark.slow
def test_an_execution_that_is_being_reconciled_counts_as_in_flight(
    engine: Engine, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice = Alice()
    alice.automation([{**SEND, "on_unknown": "hold"}], rules={"reentry": "after_finish"})
    sandbox.add_fault("mailgun", "reset_before")
    execution_id = wait_until_finished(alice.trigger())["id"]
    assert wait_until_finished(alice.trigger())["skipped_rule"] == "reentry"

    look_up(settings, execution_id, LAST)

    assert wait_until_finished(alice.trigger())["status"] == "succeeded"


def test_the_only_detail_record_of_the_only_sms_proves_that_it_was_sent(
    engine: Engine, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice = Alice()
    execution_id = fail(alice, sandbox, SMS, "reset_after")

    look_up_after(settings, 20)

    wait_for_execution(execution_id, "succeeded")
    (row,) = messages(execution_id)
    assert row["provider_message_id"] == sandbox.list_messages("telnyx")[0]["id"]


def test_a_record_that_may_be_of_another_sms_proves_nothing(
    engine: Engine, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice = Alice()
    execution_id = fail(alice, sandbox, SMS, "reset_before")
    wait_until_finished(alice.trigger())
    assert count_sent(sandbox, "telnyx") == 1

    row = look_up(settings, execution_id, 20)

    assert (row["status"], row["look_up_log"][0]["found"]) == ("outcome_unknown", False)


def test_an_sms_without_a_record_is_held(engine: Engine, sandbox: RunningSandbox, settings: Settings) -> None:
    alice = Alice()
    execution_id = fail(alice, sandbox, SMS)

    row = look_up(settings, execution_id, LAST)

    assert (row["look_up_at"], row["resends"], count_sent(sandbox, "telnyx")) == (None, 0, 0)


def test_a_look_up_that_ends_after_the_message_was_sent_again_decides_nothing(
    engine: Engine, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice = Alice()
    execution_id = fail(alice, sandbox, SEND)
    (stale,) = messages(execution_id)
    sandbox.add_fault("mailgun", "reset_after")
    resolve_message(alice.workspace_id, stale["id"], "resend", SYSTEM)
    eventually(lambda: count_sent(sandbox) == 1)
    wait_for_execution(execution_id, "failed")

    with transaction():
        assert message.lock_unchanged(stale["id"], stale["sending_at"]) is None
