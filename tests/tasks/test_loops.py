"""Nothing answers itself: our own comments and messages start nothing, and programs that answer each other stop."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import clock
from models import account
from models.ids import new_id
from models.queries import execute
from tasks.runtime.engine import Engine
from tests.support import meta_world as meta
from tests.support.factories import Alice, bob, wait_until_finished
from tests.support.meta_world import IG, PERSON, comment, contacts, deliver_webhooks, event, executions, message_event
from tests.support.rows import fetch_row, fetch_rows

TAG = [{"id": "tag", "action": "update_contact", "with": {"add_tags": ["seen"]}}]
SECOND_ACCOUNT = "17841400000000002"
#: Messages to one person may follow faster than Meta's pace: the message of each execution is inserted.
_COLUMNS = (
    "id, workspace_id, execution_id, automation_id, contact_id, step_id, key, channel, provider, sandbox, test, "
    "to_address, body, status, provider_message_id, sending_at, sent_at, created_at, updated_at"
)
_INSERT = (
    f"insert into messages ({_COLUMNS}) values (%(id)s, %(workspace_id)s, %(execution_id)s, %(automation_id)s, "
    "%(contact_id)s, 'hello', %(id)s, %(channel)s, %(channel)s, true, false, %(to)s, 'Hello!', %(status)s, %(mid)s, "
    "%(at)s, %(sent_at)s, %(at)s, %(at)s)"
)


@pytest.fixture
def alice(engine: Engine) -> Alice:
    owner = Alice()
    meta.connect(owner.workspace_id)
    for type_ in ("instagram.comment", "instagram.message", "instagram.story_reply", "facebook.message",
                  "facebook.comment"):  # fmt: skip
        owner.automation(TAG, trigger=type_)
    return owner


def send_message(
    execution: dict[str, Any],
    ago: timedelta = timedelta(),
    channel: str = "instagram",
    to: str = PERSON,
    mid: str = "",
    status: str = "sent",
) -> str:
    """Insert a message of the execution that left `ago`; return Meta's id of it."""
    at, mid = clock.now() - ago, mid or new_id()
    sent_at = at if status == "sent" else None
    execute(_INSERT, {
        "id": new_id(), "execution_id": execution["id"], "channel": channel, "to": to, "at": at, "status": status,
        "mid": mid if sent_at else None, "sent_at": sent_at,
        **{name: execution[name] for name in ("workspace_id", "automation_id", "contact_id")},
    })  # fmt: skip
    return mid


def read_depth(execution: dict[str, Any]) -> int | None:
    row = fetch_row("select loop_depth from triggers where id = %s", (execution["trigger_id"],))
    assert row is not None
    depth: int | None = row["loop_depth"]
    return depth


def receive(body: dict[str, Any]) -> dict[str, Any]:
    """Deliver an event that starts one execution; return it."""
    before = {row["id"] for row in executions()}
    deliver_webhooks(body)
    (started,) = [row for row in executions() if row["id"] not in before]
    return started


# Our own


@pytest.mark.parametrize(
    "own",
    [{"id": "555", "username": "Alices.Shop"}, {"id": "17841400000000002", "username": "x"},
     {"id": "556", "username": "alices.second"}],
    ids=["username", "another account's id", "another account's name"],
)  # fmt: skip
def test_an_unmarked_comment_of_an_account_of_the_workspace_starts_nothing(alice: Alice, own: dict[str, str]) -> None:
    account.add(alice.workspace_id, "instagram", SECOND_ACCOUNT, "@alices.second")
    deliver_webhooks(comment(parent_id="c", **{"from": {"id": IG, "username": "alices.shop"}}))
    assert deliver_webhooks(comment(**{"from": own})) == "own"
    assert (executions(), contacts()) == ([], [])
    assert deliver_webhooks(comment()) == "comment"
    assert len(executions()) == 1


@pytest.mark.parametrize(
    "content",
    [{"message": {"mid": "m", "text": "PRICE"}},
     {"message": {"mid": "m", "text": "love it", "reply_to": {"story": {"id": "s"}}}},
     {"postback": {"mid": "m", "title": "Start", "payload": "start"}}],
    ids=["message", "story reply", "button"],
)  # fmt: skip
def test_a_message_under_the_other_id_of_our_own_comments_starts_nothing(alice: Alice, content: dict[str, Any]) -> None:
    own = {"id": IG, "username": "alices.shop", "self_ig_scoped_id": "900900"}
    deliver_webhooks(comment(parent_id="c", **{"from": own}))
    assert deliver_webhooks(event(person="900900", **content)) == "own"
    assert (executions(), contacts()) == ([], [])


def test_another_workspaces_account_is_a_person_like_any_other(alice: Alice) -> None:
    charlie = Alice(name="charlie")
    account.add(charlie.workspace_id, "instagram", SECOND_ACCOUNT, "charlies")
    deliver_webhooks(comment(person=SECOND_ACCOUNT, **{"from": {"id": SECOND_ACCOUNT, "username": "charlies"}}))
    assert len(executions()) == 1


# Loops


def exchange(alice: Alice, body: Any, count: int, **fields: Any) -> list[dict[str, Any]]:
    """Answer each of `count` events with a message of its execution; return the executions."""
    started = []
    for _ in range(count):
        started.append(wait_until_finished(receive(body())["id"]))
        if started[-1]["status"] == "succeeded":
            send_message(started[-1], **fields)
    return started


@pytest.mark.parametrize("channel", ["instagram", "facebook"])
def test_programs_that_answer_each_other_stop_after_ten_answers(alice: Alice, channel: str) -> None:
    started = exchange(alice, lambda: message_event("PRICE", channel=channel), 13, channel=channel)
    assert [row["status"] for row in started] == ["succeeded"] * 11 + ["skipped"] * 2
    assert {row["skipped_rule"] for row in started[11:]} == {"loop"}
    assert started[11]["skipped_detail"] == {
        "limit": 10, "measured": 11,
        "words": "Loop: 11 automatic messages in a row were answered within 10 minutes each",
    }  # fmt: skip


def test_comments_that_answer_our_replies_in_a_thread_are_a_loop(alice: Alice) -> None:
    first = receive(comment(number=1000))
    send_message(first, to="comment-1000")
    second = receive(comment(number=1001, parent_id="comment-1000"))
    send_message(second, to="comment-1001", mid="reply-1001")
    third = receive(comment(number=1002, parent_id="comment-1000"))
    fourth = receive(comment(number=1003, parent_id="reply-1001"))
    assert [read_depth(row) for row in (first, second, third, fourth)] == [0, 1, 2, 2]


def test_a_comment_outside_the_thread_of_our_reply_answers_nothing(alice: Alice) -> None:
    send_message(receive(comment(number=2000)), to="comment-2000")
    assert read_depth(receive(comment(number=2001))) == 0
    assert read_depth(receive(comment(number=2002, parent_id="comment-9"))) == 0
    page = receive(meta.page_comment(comment_id="p_1"))
    send_message(page, channel="facebook", to="p_1")
    on_post = meta.page_comment(comment_id="p_2")
    on_post["entry"][0]["changes"][0]["value"]["parent_id"] = "post-1"
    assert read_depth(receive(on_post)) == 0


@pytest.mark.parametrize(("minutes", "depth"), [(9, 1), (11, 0)])
def test_an_event_answers_a_message_of_the_last_ten_minutes(alice: Alice, minutes: int, depth: int) -> None:
    send_message(receive(message_event("hi")), ago=timedelta(minutes=minutes))
    assert read_depth(receive(message_event("PRICE"))) == depth


def test_an_event_that_was_written_before_the_message_is_no_answer(alice: Alice) -> None:
    first = receive(message_event("hi", age=1200))
    send_message(first, ago=timedelta(minutes=5))
    assert read_depth(receive(message_event("late", age=900))) == 0
    assert read_depth(receive(message_event("now"))) == 1


def test_an_answer_that_is_quicker_than_the_record_of_our_send_counts(alice: Alice) -> None:
    first = wait_until_finished(receive(message_event("hi"))["id"])
    execute(
        "update executions set status = 'running', stage = 'sending', finished_at = null, "
        "lease_until = beckon_now() + interval '1 minute' where id = %s", (first["id"],),
    )  # fmt: skip
    send_message(first, status="sending")
    assert read_depth(receive(message_event("PRICE", reply_to={"mid": "not recorded"}))) == 1


def test_an_answer_that_names_its_message_answers_that_one(alice: Alice) -> None:
    first = receive(message_event("hi"))
    mid = send_message(first, ago=timedelta(minutes=2))
    send_message(receive(message_event("again")), ago=timedelta(minutes=1))
    assert read_depth(receive(message_event("PRICE", reply_to={"mid": mid}))) == 1
    assert read_depth(receive(message_event("PRICE"))) == 2
    assert read_depth(receive(message_event("PRICE", reply_to={"mid": "written by a person"}))) == 0


@pytest.mark.parametrize(
    "tap",
    [{"postback": {"mid": "tap", "title": "More", "payload": "more"}},
     {"message": {"mid": "tap", "text": "More", "quick_reply": {"payload": "more"}}},
     {"message": {"mid": "tap", "text": "love it", "reply_to": {"story": {"id": "s"}}}}],
    ids=["button", "quick reply", "story reply"],
)  # fmt: skip
def test_a_tap_starts_again_at_zero_and_so_does_the_exchange_after_it(alice: Alice, tap: dict[str, Any]) -> None:
    exchange(alice, lambda: message_event("PRICE"), 5)
    tapped = receive(event(**tap))
    send_message(tapped)
    assert [read_depth(tapped), read_depth(receive(message_event("PRICE")))] == [0, 1]


def test_named_events_have_no_depth_until_the_contact_answers(alice: Alice) -> None:
    alice.automation(TAG, trigger="order.paid")
    for _ in range(15):
        alice.trigger("order.paid", contact=bob(instagram_id=PERSON))
    paid = executions()
    assert {read_depth(row) for row in paid} == {None}
    assert {wait_until_finished(row["id"])["status"] for row in paid} == {"succeeded"}
    send_message(paid[0])
    assert read_depth(receive(message_event("PRICE"))) == 1


def test_fifty_messages_that_came_before_our_answers_are_no_loop(alice: Alice) -> None:
    for _ in range(50):
        deliver_webhooks(message_event("PRICE", age=1))
    assert {row["loop_depth"] for row in fetch_rows("select loop_depth from triggers")} == {0}


def test_two_workspaces_that_answer_each_other_stop(alice: Alice) -> None:
    charlie = Alice(name="charlie")
    account.add(charlie.workspace_id, "instagram", SECOND_ACCOUNT, "charlies")
    charlie.automation(TAG, trigger="instagram.message")
    sent = 0
    for _ in range(30):
        for sender, receiver in ((SECOND_ACCOUNT, IG), (IG, SECOND_ACCOUNT)):
            body = message_event("PRICE", person=sender)
            body["entry"][0]["id"] = body["entry"][0]["messaging"][0]["recipient"]["id"] = receiver
            started = wait_until_finished(receive(body)["id"])
            if started["status"] == "skipped":
                assert started["skipped_rule"] == "loop"
                assert sent == 22
                return
            send_message(started, to=sender)
            sent += 1
    pytest.fail("the loop has no end")
