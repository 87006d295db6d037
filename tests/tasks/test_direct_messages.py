"""Facebook and Instagram: the window, the comment and its one private reply, pacing, and the follow check."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

import clock
from ephemeral import slots
from ephemeral.connection import get_ephemeral
from ephemeral.rate_limits import RateLimit
from models import account, conversation
from models import execution as events
from models.queries import execute, fetch_value
from sandbox.server import RunningSandbox
from settings import Settings
from tasks import periodic_jobs, shutdown
from tasks.runtime.engine import Engine
from tasks.runtime.notifications import notify_rows
from tasks.steps import pacing
from tests.support.factories import (
    Alice,
    bob,
    expire_wait,
    messages,
    stages,
    steps,
    wait_for_status,
    wait_until_finished,
)
from tests.support.rows import fetch_row, fetch_rows
from tests.support.waiting import eventually

INSTAGRAM_ID, FACEBOOK_ID = "1570000000000001", "6780462125377510"
COMMENT = {"comment": {"id": "17894227972186120", "text": "PRICE please"}}
CHANNELS = pytest.mark.parametrize("channel", ["facebook", "instagram"])


@pytest.fixture
def alice(engine: Engine) -> Alice:
    reset_pacing()
    return Alice()


def reset_pacing() -> None:
    """Reset the pacing, as if nothing had been sent recently."""
    for key in [*get_ephemeral().scan_iter("slots:*"), *get_ephemeral().scan_iter("stopped:*")]:
        get_ephemeral().delete(key)


def ada(**fields: Any) -> dict[str, Any]:
    """The contact on Meta's channels."""
    return bob(facebook_id=FACEBOOK_ID, instagram_id=INSTAGRAM_ID, **fields)


def direct(step_id: str = "hello", channel: str = "instagram", body: str = "Hi!", **more: Any) -> dict[str, Any]:
    return {"id": step_id, "action": "send_message", "with": {"channel": channel, "body": body, **more}}


def private(step_id: str = "opening", channel: str = "instagram", **more: Any) -> dict[str, Any]:
    return direct(step_id, channel, **{"as": "private_reply", **more})


def reply(step_id: str = "answer", **more: Any) -> dict[str, Any]:
    return {"id": step_id, "action": "reply_comment", "with": {"body": "Look into your inbox!", **more}}


def record_received_messages(alice: Alice, ago: timedelta = timedelta(), **fields: Any) -> str:
    """Record the contact's last message on both channels as `ago` old; return the contact's id."""
    accepted = alice.trigger("somebody.wrote", contact=ada(**fields))
    for channel in ("facebook", "instagram"):
        conversation.record_received(
            alice.workspace_id, accepted.contact_id, channel, f"mid-{channel}-{accepted.contact_id}", kind="message",
            text="Hello", at=clock.now() - ago,
        )  # fmt: skip
    return accepted.contact_id


def read_message(execution_id: str) -> dict[str, Any]:
    (message,) = messages(execution_id)
    return message


@CHANNELS
def test_a_direct_message_within_a_day_of_the_contacts_own_is_sent(
    alice: Alice, sandbox: RunningSandbox, channel: str
) -> None:
    record_received_messages(alice, timedelta(hours=23))
    alice.automation([direct(channel=channel, body="Hi {{ contact.first_name }}!")])

    result = wait_until_finished(alice.trigger(contact=ada()))

    assert result["status"] == "succeeded"
    assert stages(result["id"])[-4:] == ["ready_to_send", "sending", "sent", "completed"]
    sent = sandbox.list_messages(channel)
    assert [message["to"] for message in sent] == [FACEBOOK_ID if channel == "facebook" else INSTAGRAM_ID]
    assert sent[0]["body"]["message"] == {"text": "Hi Bob!", "metadata": f"{result['id']}:hello:0"}
    assert read_message(result["id"])["provider_message_id"] == sent[0]["id"]
    assert read_message(result["id"])["provider"] == channel


@CHANNELS
def test_a_closed_window_skips_and_reports_both_of_its_times(
    alice: Alice, sandbox: RunningSandbox, channel: str
) -> None:
    started_at = clock.now()
    record_received_messages(alice, timedelta(hours=25))
    alice.automation([direct(channel=channel)])

    result = wait_until_finished(alice.trigger(contact=ada()))

    assert (result["status"], result["skipped_rule"]) == ("skipped", "window_closed")
    measured = result["skipped_detail"]["measured"]
    closed = datetime.fromisoformat(measured["closed_at"])
    assert closed - datetime.fromisoformat(measured["last_received_at"]) == timedelta(hours=24)
    # Shown in whole seconds.
    assert started_at.replace(microsecond=0) <= closed + timedelta(hours=1) <= clock.now()
    assert sandbox.list_messages(channel) == []
    assert stages(result["id"]) == ["queued", "checking", "skipped"]


def test_a_message_on_one_channel_opens_no_window_on_the_other(alice: Alice, sandbox: RunningSandbox) -> None:
    contact_id = record_received_messages(alice)
    execute("delete from conversations where contact_id = %s and channel = 'instagram'", (contact_id,))
    alice.automation([direct(channel="instagram")])

    assert wait_until_finished(alice.trigger(contact=ada()))["skipped_rule"] == "window_closed"


def test_each_message_of_the_contact_reopens_the_window(alice: Alice, sandbox: RunningSandbox) -> None:
    contact_id = record_received_messages(alice, timedelta(days=3))
    alice.automation([direct()])
    assert wait_until_finished(alice.trigger(contact=ada()))["skipped_rule"] == "window_closed"

    conversation.record_received(
        alice.workspace_id, contact_id, "instagram", "mid-2", kind="message", text="Hi", at=clock.now()
    )

    assert wait_until_finished(alice.trigger(contact=ada()))["status"] == "succeeded"


def test_a_window_that_closes_during_a_wait_skips_the_later_message(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    record_received_messages(alice)
    pause = {"id": "pause", "action": "wait", "with": {"for": "30h"}}
    tag = {"id": "tag", "action": "update_contact", "with": {"add_tags": ["told"]}}
    alice.automation([direct("first"), pause, direct("second"), tag])
    waiting = wait_for_status(alice.trigger(contact=ada()))

    execute("update conversations set last_received_at = last_received_at - interval '30 hours'")
    expire_wait(waiting["id"])
    periodic_jobs.enqueue_due(settings)

    result = wait_until_finished(waiting["id"])
    assert result["status"] == "succeeded"
    assert steps(result["id"])["second"]["status"] == "skipped"
    assert steps(result["id"])["second"]["output"]["skipped"]["rule"] == "window_closed"
    assert steps(result["id"])["tag"]["status"] == "succeeded"
    assert len(sandbox.list_messages("instagram")) == 1


def test_a_window_that_closes_between_check_and_send_skips_the_send(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    record_received_messages(alice)
    later = (clock.now() + timedelta(hours=23)).isoformat()
    automation = alice.automation([direct(send_at=later)], rules={"daily_limit": 1})
    waiting = wait_for_status(alice.trigger(contact=ada()))
    assert (waiting["stage"], waiting["waiting_for"]) == ("ready_to_send", "time")

    execute("update conversations set last_received_at = last_received_at - interval '25 hours'")
    execute("update messages set send_at = beckon_now() where execution_id = %s", (waiting["id"],))
    expire_wait(waiting["id"])
    periodic_jobs.enqueue_due(settings)

    result = wait_until_finished(waiting["id"])
    assert (result["status"], result["skipped_rule"], result["error_class"]) == ("skipped", "window_closed", None)
    assert read_message(result["id"])["status"] == "discarded"
    assert sandbox.list_messages() == []
    assert fetch_value("select coalesce(sum(count), 0) from limit_counts where automation_id = %s", (automation,)) == 0


def test_after_a_wait_for_a_reply_the_window_is_checked_again(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    answer = {"id": "answer", "action": "wait_until", "with": {"event": "contact.replied", "timeout": "2d"},
              "then": [direct()], "else": []}  # fmt: skip
    alice.automation([answer])

    waiting = wait_for_status(alice.trigger(contact=ada()))

    assert waiting["status"] == "waiting"
    assert waiting["skipped_rule"] is None


def test_a_send_that_meta_refuses_for_its_window_is_skipped_not_failed(alice: Alice, sandbox: RunningSandbox) -> None:
    record_received_messages(alice)
    alice.automation([direct()], rules={"daily_limit": 1})
    sandbox.add_fault("instagram", "refused", code=10, subcode=2534022)

    result = wait_until_finished(alice.trigger(contact=ada()))

    assert (result["status"], result["skipped_rule"]) == ("skipped", "window_closed")
    assert read_message(result["id"])["status"] == "discarded"
    assert stages(result["id"])[-3:] == ["sending", "ready_to_send", "skipped"]
    # The reservation under the daily limit is released; the time of the release does not matter here.
    reset_pacing()
    assert wait_until_finished(alice.trigger(contact=ada()))["status"] == "succeeded"


def test_a_contact_who_blocked_us_is_not_messaged_on_that_channel(alice: Alice, sandbox: RunningSandbox) -> None:
    record_received_messages(alice)
    alice.automation([direct()])
    sandbox.add_fault("instagram", "refused", code=551, subcode=1545041)

    result = wait_until_finished(alice.trigger(contact=ada()))

    assert (result["status"], result["error_class"]) == ("failed", "blocked")
    assert wait_until_finished(alice.trigger(contact=ada()))["skipped_rule"] == "suppressed"
    suppressed = fetch_rows("select channel, address from suppressions")
    assert [(suppression["channel"], suppression["address"]) for suppression in suppressed] == [
        ("instagram", INSTAGRAM_ID)
    ]


@CHANNELS
def test_a_private_reply_needs_no_window_and_goes_to_the_comment(
    alice: Alice, sandbox: RunningSandbox, channel: str
) -> None:
    alice.automation([private(channel=channel)])

    result = wait_until_finished(alice.trigger(payload=COMMENT, contact=bob()))

    assert result["status"] == "succeeded"
    sent = sandbox.list_messages(channel, "17894227972186120")
    assert sent[0]["body"]["recipient"] == {"comment_id": "17894227972186120"}
    assert read_message(result["id"])["to_address"] == "17894227972186120"
    assert read_message(result["id"])["detail"]["way"] == "private_reply"


@pytest.mark.parametrize(("channel", "edge"), [("facebook", "comments"), ("instagram", "replies")])
def test_a_public_reply_is_posted_under_the_comment(
    alice: Alice, sandbox: RunningSandbox, channel: str, edge: str
) -> None:
    alice.automation([reply(channel=channel)])

    assert wait_until_finished(alice.trigger(payload=COMMENT, contact=bob()))["status"] == "succeeded"

    (sent,) = sandbox.list_messages(channel)
    assert sent["path"] == f"/v25.0/17894227972186120/{edge}"
    assert sent["body"] == {"message": "Look into your inbox!"}


def test_a_comment_older_than_seven_days_takes_no_private_reply(alice: Alice, sandbox: RunningSandbox) -> None:
    alice.automation([private()])
    at = (clock.now() - timedelta(days=7, minutes=1)).isoformat()

    result = wait_until_finished(alice.trigger(payload={"comment": {"id": "178", "at": at}}, contact=bob()))

    assert (result["status"], result["skipped_rule"]) == ("skipped", "comment_too_old")
    assert sandbox.list_messages() == []


@pytest.mark.parametrize("step", [private(), reply()], ids=["private", "public"])
def test_without_a_comment_no_reply_is_sent(alice: Alice, sandbox: RunningSandbox, step: dict[str, Any]) -> None:
    alice.automation([step])

    result = wait_until_finished(alice.trigger(contact=ada()))

    assert (result["status"], result["skipped_rule"]) == ("skipped", "no_comment")


def test_a_comment_gets_one_private_reply_from_however_many_automations(alice: Alice, sandbox: RunningSandbox) -> None:
    for name in ("One", "Two", "Three"):
        alice.automation([private()], name=name)

    accepted = alice.trigger(payload=COMMENT, contact=bob())

    results = [wait_until_finished(started["executionId"]) for started in accepted.executions]
    assert sorted(result["status"] for result in results) == ["skipped", "skipped", "succeeded"]
    assert {result["skipped_rule"] for result in results} == {None, "comment_answered"}
    assert len(sandbox.list_messages("instagram")) == 1


def test_a_retried_private_reply_keeps_its_comment(alice: Alice, sandbox: RunningSandbox, settings: Settings) -> None:
    alice.automation([private()])
    sandbox.add_fault("instagram", "http_429", times=3, seconds=0)
    waiting = wait_for_status(alice.trigger(payload=COMMENT, contact=bob()))
    assert waiting["waiting_for"] == "retry"

    expire_wait(waiting["id"])
    periodic_jobs.enqueue_overdue_retries(settings)

    assert wait_until_finished(waiting["id"])["status"] == "succeeded"
    assert len(sandbox.list_messages("instagram")) == 1


@pytest.mark.parametrize("step", [private(), reply()], ids=["private", "public"])
def test_a_reply_to_a_deleted_comment_is_skipped_without_calling_meta(
    alice: Alice, sandbox: RunningSandbox, settings: Settings, step: dict[str, Any]
) -> None:
    alice.automation([{"id": "pause", "action": "wait", "with": {"for": "1h"}}, step])
    waiting = wait_for_status(alice.trigger(payload=COMMENT, contact=bob()))
    conversation.record_deleted(
        alice.workspace_id, waiting["contact_id"], "instagram", COMMENT["comment"]["id"], clock.now(), "comment"
    )

    expire_wait(waiting["id"])
    periodic_jobs.enqueue_due(settings)

    result = wait_until_finished(waiting["id"])
    assert (result["status"], result["skipped_rule"]) == ("skipped", "comment_deleted")
    assert sandbox.list_messages() == []


def test_a_comment_missing_at_meta_is_a_permanent_failure(alice: Alice, sandbox: RunningSandbox) -> None:
    alice.automation([private()])
    sandbox.add_fault("instagram", "refused", code=100, subcode=33)

    result = wait_until_finished(alice.trigger(payload=COMMENT, contact=bob()))

    assert (result["status"], result["error_class"], result["next_retry_at"]) == ("failed", "invalid", None)
    assert "no longer exists" in result["error_message"]


def test_a_private_reply_that_meta_already_has_counts_as_sent(alice: Alice, sandbox: RunningSandbox) -> None:
    alice.automation([private()])
    sandbox.add_fault("instagram", "refused", code=100, subcode=2534025)

    result = wait_until_finished(alice.trigger(payload=COMMENT, contact=bob()))

    assert result["status"] == "succeeded"
    assert steps(result["id"])["opening"]["output"]["alreadySent"] is True


def test_an_interrupted_direct_message_is_never_sent_again(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    record_received_messages(alice)
    alice.automation([direct()])
    sandbox.add_fault("instagram", "reset_after")

    result = wait_until_finished(alice.trigger(contact=ada()))
    periodic_jobs.enqueue_overdue_retries(settings)
    periodic_jobs.reconcile_unknown_outcomes(settings)

    assert (result["status"], result["error_class"]) == ("failed", "unknown_outcome")
    assert read_message(result["id"])["status"] == "outcome_unknown"
    assert len(sandbox.list_messages("instagram")) == 1
    # The key by which an echo identifies the message.
    assert sandbox.list_messages("instagram")[0]["body"]["message"]["metadata"] == read_message(result["id"])["key"]


@pytest.mark.parametrize(
    ("channel", "measure", "most"), [("instagram", lambda text: len(text.encode()), 1000), ("facebook", len, 2000)]
)
def test_a_text_is_truncated_and_the_message_has_the_original_length(
    alice: Alice, sandbox: RunningSandbox, channel: str, measure: Any, most: int
) -> None:
    record_received_messages(alice)
    alice.automation([direct(channel=channel, body="{{ payload.text }}")])
    text = "Große Wörter " * 300

    result = wait_until_finished(alice.trigger(contact=ada(), payload={"text": text}))

    sent = sandbox.list_messages(channel)[0]["body"]["message"]["text"]
    assert most - 30 < measure(sent) <= most
    assert sent.endswith((" Wörter…", " Große…"))
    assert read_message(result["id"])["body"] == sent
    assert read_message(result["id"])["detail"]["shortenedFrom"] == len(text)


def test_a_text_is_truncated_before_it_is_ready_to_send(alice: Alice, sandbox: RunningSandbox) -> None:
    record_received_messages(alice)
    alice.automation([{**direct(body="{{ payload.text }}"), "review": True}])

    waiting = wait_for_status(alice.trigger(contact=ada(), payload={"text": "Große Wörter " * 300}))

    assert (waiting["stage"], waiting["waiting_for"]) == ("ready_to_send", "review")
    assert 970 < len(read_message(waiting["id"])["body"].encode()) <= 1000


def test_buttons_and_quick_replies_are_rendered_and_truncated(alice: Alice, sandbox: RunningSandbox) -> None:
    record_received_messages(alice)
    buttons = [
        {"title": "For {{ contact.first_name }} and everybody else", "payload": "{{ contact.username }}-yes"},
        {"title": "Shop", "url": "https://example.com/?u={{ contact.external_id }}"},
    ]
    alice.automation([direct(buttons=buttons, quick_replies=["Yes, {{ contact.first_name }}"])])

    wait_until_finished(alice.trigger(contact=ada(username="bobby")))

    sent = sandbox.list_messages("instagram")[0]["body"]["message"]
    assert sent["attachment"]["payload"]["buttons"] == [
        {"type": "postback", "title": "For Bob and…", "payload": "bobby-yes"},
        {"type": "web_url", "title": "Shop", "url": "https://example.com/?u=bob"},
    ]
    assert [quick_reply["title"] for quick_reply in sent["quick_replies"]] == ["Yes, Bob"]


def test_the_account_that_the_contact_messaged_replies(alice: Alice, sandbox: RunningSandbox) -> None:
    account.add(alice.workspace_id, "instagram", "17840000000000001", "First")
    second = account.add(alice.workspace_id, "instagram", "17840000000000002", "Second")
    contact_id = alice.trigger("somebody.wrote", contact=ada()).contact_id
    conversation.record_received(
        alice.workspace_id, contact_id, "instagram", "mid-1", kind="message", text="Hi", at=clock.now(),
        account_id=second,
    )  # fmt: skip
    alice.automation([direct()])

    result = wait_until_finished(alice.trigger(contact=ada()))

    assert sandbox.list_messages("instagram")[0]["path"] == "/v25.0/17840000000000002/messages"
    assert read_message(result["id"])["sender"] == "17840000000000002"


def test_the_account_that_the_trigger_names_sends_if_it_is_connected(alice: Alice, sandbox: RunningSandbox) -> None:
    charlie = Alice(name="charlie")
    account.add(charlie.workspace_id, "instagram", "17840000000000009", "Charlie's")
    account.add(alice.workspace_id, "instagram", "17840000000000001", "First")
    account.add(alice.workspace_id, "instagram", "17840000000000002", "Second")
    alice.automation([private()])

    for account_id in ("17840000000000002", "17840000000000009"):
        payload = {"comment": {"id": f"c-{account_id}"}, "account": {"id": account_id}}
        wait_until_finished(alice.trigger(payload=payload, contact=bob()))

    paths = [message["path"] for message in sandbox.list_messages("instagram")]
    assert paths == ["/v25.0/17840000000000002/messages", "/v25.0/17840000000000001/messages"]


def test_two_messages_to_one_person_are_paced_and_use_up_no_attempt(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    record_received_messages(alice)
    alice.automation([direct("first"), direct("second")])

    waiting = wait_for_status(alice.trigger(contact=ada()))

    assert (waiting["stage"], waiting["waiting_for"], waiting["attempt"]) == ("ready_to_send", "rate_limit", 1)
    booked = messages(waiting["id"])[1]
    assert booked["detail"]["booked"] is True
    assert booked["send_at"] == waiting["due_at"]
    assert steps(waiting["id"]).get("second", {"attempts": 0})["attempts"] == 0
    assert len(sandbox.list_messages("instagram")) == 1

    expire_wait(waiting["id"])
    execute("update messages set send_at = beckon_now() where id = %s", (booked["id"],))
    periodic_jobs.enqueue_due(settings)

    result = wait_until_finished(waiting["id"])
    assert result["status"] == "succeeded"
    assert steps(result["id"])["second"]["attempts"] == 1
    assert len(sandbox.list_messages("instagram")) == 2
    assert "booked" not in messages(result["id"])[1]["detail"]


def test_a_page_sends_no_faster_than_its_rate(alice: Alice, sandbox: RunningSandbox) -> None:
    page = "17840000000000001"
    account.add(alice.workspace_id, "instagram", page, "First")
    alice.automation([reply()])
    # As if the page had just sent its quota of ten seconds.
    slots.reserve_send_slot(RateLimit("meta_page", 0.1, 1), f"instagram:{page}")

    requests = [{"payload": {"comment": {"id": f"c{n}"}}, "contact": bob(external_id=f"b{n}", email=None, phone=None)}
             for n in range(6)]  # fmt: skip
    waiting = [wait_for_status(accepted) for accepted in alice.triggers(requests)]

    assert {(execution["waiting_for"], execution["attempt"]) for execution in waiting} == {("rate_limit", 1)}
    # Each has its own slot.
    assert len({execution["due_at"] for execution in waiting}) == len(waiting)
    assert sandbox.list_messages() == []


def test_a_rate_limit_of_meta_stops_the_whole_page_until_it_ends(alice: Alice, sandbox: RunningSandbox) -> None:
    started_at = clock.now()
    record_received_messages(alice)
    alice.automation([direct()])
    sandbox.add_fault("instagram", "http_429", seconds=120)

    first = wait_for_status(alice.trigger(contact=ada()))
    alice.trigger("somebody.wrote", contact=bob(external_id="eve", email=None, phone=None, instagram_id="77"))
    eve = fetch_row("select id from contacts where instagram_id = '77'")
    assert eve is not None
    conversation.record_received(
        alice.workspace_id, eve["id"], "instagram", "mid-77", kind="message", text="Hi", at=clock.now()
    )
    second = wait_for_status(alice.trigger(contact_id=eve["id"]))

    for waiting in (first, second):
        assert (waiting["waiting_for"], waiting["attempt"]) == ("rate_limit", 1)
        assert started_at <= waiting["due_at"] - timedelta(seconds=120) <= clock.now() + timedelta(seconds=20)
    assert sandbox.list_messages("instagram") == []


def test_a_page_slows_down_from_80_percent_of_metas_limits_and_stops_at_100(engine: Engine) -> None:
    reset_pacing()
    usage = {"calm": 79.0, "slow": 90.0, "full": 100.0}
    for page, percent in usage.items():
        pacing.apply_usage(page, {"usagePercent": percent, "regainSeconds": None})
    pacing.apply_usage("told", {"usagePercent": 100.0, "regainSeconds": 1140.0})

    stopped = {page: slots.read_suspension_seconds("meta_page", page) for page in (*usage, "told")}
    assert stopped["calm"] == 0
    assert 0.5 < stopped["slow"] <= 1.0
    assert 290 < stopped["full"] <= pacing.STOP_SECONDS
    assert 1130 < stopped["told"] <= 1140


def test_an_expired_token_pauses_the_provider_and_fails_no_execution(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    record_received_messages(alice)
    alice.automation([direct()])
    sandbox.add_fault("instagram", "auth")

    first = wait_for_status(alice.trigger(contact=ada()))
    second = wait_for_status(alice.trigger(contact=ada()))

    for waiting in (first, second):
        assert (waiting["waiting_for"], waiting["attempt"], waiting["finished_at"]) == ("configuration", 1, None)
    pause = fetch_row("select name, reason, message from pauses where workspace_id = %s", (alice.workspace_id,))
    assert pause is not None
    assert (pause["name"], pause["reason"]) == ("instagram", "configuration")
    assert "Check the access token" in pause["message"]
    assert sandbox.list_messages("instagram") == []


def test_a_new_token_of_the_workspaces_account_resumes_waiting_sends(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    record_received_messages(alice)
    alice.automation([direct()])
    account_id = account.add(
        alice.workspace_id, "instagram", "17840000000000001", "First", access_token="old-token",
        secret_key=settings.secret_key,
    )  # fmt: skip
    sandbox.add_fault("instagram", "auth", times=1)
    waiting = wait_for_status(alice.trigger(contact=ada()))
    assert periodic_jobs.end_resolved_pauses(settings)["ended"] == 0

    assert account.renew(alice.workspace_id, account_id, "new-token", settings.secret_key)
    # The refused send had its slot; the time of the next slot does not matter here.
    reset_pacing()

    assert periodic_jobs.end_resolved_pauses(settings)["ended"] == 1
    result = wait_until_finished(waiting["id"])
    assert (result["status"], result["attempt"]) == ("succeeded", 1)
    assert [message["path"] for message in sandbox.list_messages("instagram")] == ["/v25.0/17840000000000001/messages"]
    assert fetch_rows("select * from pauses") == []


def test_a_test_execution_only_reaches_the_sandbox_and_is_never_paced(engine: Engine, sandbox: RunningSandbox) -> None:
    reset_pacing()
    alice = Alice(demo=False)
    alice.automation([private("one"), reply("two"), private("three")])

    result = wait_until_finished(alice.trigger(payload=COMMENT, contact=bob(), test=True))

    assert result["status"] == "succeeded"
    assert {message["sandbox"] for message in messages(result["id"])} == {True}
    assert fetch_rows("select * from private_replies") == []


FOLLOW = {"id": "follow", "action": "check_follow"}


def run_follow_check(alice: Alice, **contact: Any) -> dict[str, Any]:
    alice.automation([FOLLOW])
    result = wait_until_finished(alice.trigger(contact=bob(**contact)))
    assert result["status"] == "succeeded"
    return dict(steps(result["id"])["follow"]["output"])


def test_a_follow_check_reports_a_follower(alice: Alice, sandbox: RunningSandbox) -> None:
    assert run_follow_check(alice, instagram_id="1570000000000001") == {"following": True}
    assert sandbox.list_messages() == []


def test_a_follow_check_reports_a_contact_who_does_not_follow(alice: Alice, sandbox: RunningSandbox) -> None:
    assert run_follow_check(alice, instagram_id="1570000000000002") == {"following": False}


@pytest.mark.parametrize(("person", "because"), [("a-commenter", "consent"), (None, "no Instagram id")])
def test_an_unanswerable_follow_check_is_unknown_with_the_reason(
    alice: Alice, sandbox: RunningSandbox, person: str | None, because: str
) -> None:
    output = run_follow_check(alice, instagram_id=person)
    assert output["following"] == "unknown"
    assert because in output["because"]


def test_a_branch_goes_by_the_follow_check(alice: Alice, sandbox: RunningSandbox) -> None:
    fork = {"id": "fork", "action": "branch", "if": "steps.follow.following == true",
            "then": [private("yes", body="Here it is")], "else": [private("no", body="Follow us first")]}  # fmt: skip
    alice.automation([FOLLOW, fork])

    wait_until_finished(alice.trigger(payload=COMMENT, contact=ada()))

    assert [message["body"]["message"]["text"] for message in sandbox.list_messages("instagram")] == ["Here it is"]


def test_an_unreachable_instagram_is_retried_and_then_unknown(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice.automation([{**FOLLOW, "retry": {"max": 1}}])
    sandbox.add_fault("instagram", "http_500", times=0, match={"call": "look_up"})
    waiting = wait_for_status(alice.trigger(contact=ada()))
    assert waiting["waiting_for"] == "retry"

    expire_wait(waiting["id"])
    periodic_jobs.enqueue_overdue_retries(settings)

    result = wait_until_finished(waiting["id"])
    assert result["status"] == "succeeded"
    assert steps(result["id"])["follow"]["output"]["following"] == "unknown"


def test_a_stopping_worker_releases_a_follow_check_to_be_repeated(
    alice: Alice, engine: Engine, sandbox: RunningSandbox
) -> None:
    alice.automation([FOLLOW])
    sandbox.add_fault("instagram", "slow", seconds=3, match={"call": "look_up"})
    accepted = alice.trigger(contact=ada())
    claimed = eventually(
        lambda: next((claimed for claimed in engine.leases.list_held() if claimed.call == "follow_check"), None)
    )

    shutdown.release_in_flight(engine, claimed)

    result = wait_until_finished(accepted)
    assert result["status"] == "succeeded"
    assert steps(result["id"])["follow"]["output"] == {"following": True}
    assert steps(result["id"])["follow"]["attempts"] == 1


def test_a_comment_leads_through_opening_and_follow_check_to_the_main_message(
    alice: Alice, sandbox: RunningSandbox
) -> None:
    """Instagram reports a follower only after the person has sent a message, here the reply to the opening message."""
    link, ask = direct("main", body="Here is your link"), direct("ask", body="Follow us first")
    main = {"id": "fork", "action": "branch", "if": "steps.follow.following == true", "then": [link], "else": [ask]}
    answer = {"id": "answered", "action": "wait_until", "with": {"event": "contact.replied", "timeout": "1d"},
              "then": [FOLLOW, main]}  # fmt: skip
    alice.automation([reply(), private(buttons=[{"title": "Send it"}]), answer])
    waiting = wait_for_status(alice.trigger(payload=COMMENT, contact=ada()))
    assert waiting["waiting_for"] == "event"

    conversation.record_received(
        alice.workspace_id, waiting["contact_id"], "instagram", "mid-1", kind="postback", text="Send it", at=clock.now()
    )
    notify_rows(events.wake_for_events([(waiting["contact_id"], "contact.replied")]))

    result = wait_until_finished(waiting["id"])
    assert result["status"] == "succeeded"
    sent = sandbox.list_messages("instagram")
    assert [message["path"].rsplit("/", 1)[1] for message in sent] == ["replies", "messages", "messages"]
    assert sent[2]["body"]["message"]["text"] == "Here is your link"
    assert sent[2]["to"] == INSTAGRAM_ID
    # The first of them is the run.
    assert [run["kind"] for run in fetch_rows("select kind from automation_runs")] == ["comment_reply"]
