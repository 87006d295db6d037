"""What Meta tells us sets off what it should, once, in the right workspace, whatever the order."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import meta_world as meta
import pytest
from crew import at_once, books_balance, waiting_for_a_lock
from meta_world import IG, PERSON, comment, contacts, echo, event, executions, page_comment, payloads, says, tell

import clock
import metrics
from cast import Alice, at_rest, bob, execution, finished, steps
from models import conversation
from models.database import changed, row, rows, transaction, value
from models.ids import new_id
from sandbox.server import Running
from settings import Settings
from tasks import sweeps
from tasks.engine import Engine
from tasks.inbound import process_events
from waiting import eventually

TAG = [{"id": "tag", "action": "update_contact", "with": {"add_tags": ["seen"]}}]


@pytest.fixture
def alice(engine: Engine) -> Alice:
    made = Alice()
    meta.connect(made.workspace_id)
    return made


def on(type_: str, **with_: Any) -> dict[str, Any]:
    return {"type": type_, "with": with_} if with_ else {"type": type_}


def started(*automations: str) -> list[int]:
    """How many executions each automation has."""
    return [sum(one["automation_id"] == automation for one in executions()) for automation in automations]


def message_to(alice: Alice, contact_id: str, **fields: Any) -> dict[str, Any]:
    """A message of ours to the contact, as it stands in the database."""
    now = clock.now()
    columns = {
        "id": new_id(), "workspace_id": alice.workspace_id, "execution_id": new_id(), "automation_id": new_id(),
        "contact_id": contact_id, "step_id": "hello", "key": new_id(), "channel": "instagram", "provider": "instagram",
        "sandbox": True, "test": False, "to_address": PERSON, "body": "Hello!", "status": "sent",
        "provider_message_id": "ours-1", "sent_at": now, "created_at": now, "updated_at": now, **fields,
    }  # fmt: skip
    columns["provider"] = columns["channel"]
    places = ", ".join(["%s"] * len(columns))
    changed(f"insert into messages ({', '.join(columns)}) values ({places})", list(columns.values()))
    return columns


def status(message: dict[str, Any]) -> str:
    return str(value("select status from messages where id = %s", (message["id"],)))


def known(alice: Alice) -> str:
    """The person as a contact who has written before."""
    tell(says("hello"))
    return str(contacts()[0]["id"])


# Who it is


def test_a_commenter_becomes_a_contact_with_their_name_and_stays_one(alice: Alice) -> None:
    tell(comment(), comment(), says("hi"))
    (contact,) = contacts()
    assert (contact["instagram_id"], contact["username"]) == (PERSON, f"user_{PERSON}")
    assert contact["last_event_at"] is not None


def test_a_known_person_keeps_their_name_and_takes_on_a_new_handle(alice: Alice) -> None:
    alice.trigger(contact=bob(instagram_id=PERSON, username="old_handle"))
    tell(comment())
    (contact,) = contacts()
    assert (contact["first_name"], contact["username"]) == ("Bob", f"user_{PERSON}")


def test_a_page_s_commenter_has_the_name_that_the_page_shows(alice: Alice) -> None:
    tell(page_comment())
    (contact,) = contacts()
    assert (contact["facebook_id"], contact["first_name"], contact["last_name"]) == (PERSON, "Ada", "Byron King")


def test_an_answer_to_our_message_under_a_new_id_is_the_same_person(alice: Alice) -> None:
    contact_id = known(alice)
    message_to(alice, contact_id)
    tell(says("yes", person="another-id", reply_to={"mid": "ours-1"}))
    assert [one["id"] for one in contacts()] == [contact_id]


# Whose it is


def test_the_account_in_the_body_names_the_workspace(alice: Alice) -> None:
    charlie = Alice(name="charlie")
    for each in (alice, charlie):
        each.automation(TAG, trigger="instagram.comment")
    tell(comment())
    assert [one["workspace_id"] for one in executions()] == [alice.workspace_id]
    assert [one["workspace_id"] for one in contacts()] == [alice.workspace_id]


def test_an_account_that_nobody_has_is_counted_and_dropped(alice: Alice) -> None:
    counter = metrics.triggers_total.labels(source="webhook", result="unknown_account")
    before = counter._value.get()
    body = comment()
    body["entry"][0]["id"] = "999"
    assert tell(body) is None
    assert counter._value.get() == before + 1
    assert (rows("select 1 from inbound_events"), contacts()) == ([], [])


def test_a_receipt_moves_no_message_of_another_workspace(alice: Alice) -> None:
    charlie = Alice(name="charlie")
    message = message_to(charlie, new_id())
    assert tell(event(read={"mid": "ours-1"})) == "another workspace's message"
    assert status(message) == "sent"


# Comments


def test_a_comment_starts_those_who_want_it_by_post_and_keyword(alice: Alice) -> None:
    wanted = [{"posts": ["media-1"], "keywords": ["price"]}, {}, {"keywords": ["cost", "PRICE"]}]
    unwanted = [{"posts": ["media-2"]}, {"keywords": ["pric"]}, {"posts": ["media-1"], "keywords": ["cost"]}]
    takes = [alice.automation(TAG, trigger=on("instagram.comment", **with_)) for with_ in wanted]
    leaves = [alice.automation(TAG, trigger=on("instagram.comment", **with_)) for with_ in unwanted]

    tell(comment("PRICE please", number=1))

    assert started(*takes) == [1, 1, 1]
    assert started(*leaves) == [0, 0, 0]
    (payload,) = payloads()
    assert payload["account"] == {"id": IG}
    assert payload["comment"].pop("at")
    assert payload["comment"] == {
        "id": "comment-1", "text": "PRICE please", "media_id": "media-1", "parent_id": None, "live": False,
        "from": {"id": PERSON, "username": f"user_{PERSON}"},
    }  # fmt: skip


def test_a_condition_sees_the_comment(alice: Alice) -> None:
    replies = alice.automation(TAG, trigger={"type": "instagram.comment", "where": "payload.comment.parent_id != null"})
    tell(comment(), comment(parent_id="comment-0"))
    assert started(replies) == [1]


def test_our_own_comments_and_echoes_start_nothing(alice: Alice) -> None:
    for type_ in ("instagram.comment", "instagram.message"):
        alice.automation(TAG, trigger=type_)
    message = message_to(alice, known(alice))
    before = len(executions())
    tell(comment(person=IG), echo(message, text="PRICE"), event(message={"mid": "m", "text": "x", "is_self": True}))
    assert len(executions()) == before


def test_a_page_s_comment_starts_its_own_trigger_and_its_removal_none(alice: Alice) -> None:
    automation = alice.automation(TAG, trigger=on("facebook.comment", keywords=["price"]))
    tell(page_comment(verb="edited"), page_comment())
    tell(page_comment(verb="remove", comment_id="p_2"), page_comment(comment_id="p_2"))
    assert started(automation) == [1]
    deleted = rows("select provider_message_id from received_messages where deleted_at is not null")
    assert [one["provider_message_id"] for one in deleted] == ["p_2"]


def test_one_comment_told_by_many_at_once_is_one_execution(alice: Alice) -> None:
    automation = alice.automation(TAG, trigger="instagram.comment")
    body = comment()

    outcomes = at_once(8, lambda _: tell(body))

    assert sorted(outcomes, key=str) == [*[None] * 7, "comment"]
    assert started(automation) == [1]
    assert len(contacts()) == 1


def test_fifty_comments_of_one_person_at_once_are_fifty_executions(alice: Alice) -> None:
    automation = alice.automation(TAG, trigger="instagram.comment")
    bodies = [comment() for _ in range(50)]

    at_once(10, lambda hand: tell(*bodies[hand::10]))

    assert started(automation) == [50]
    assert len(contacts()) == 1
    for one in executions():
        finished(one["id"])
    books_balance()


# Messages


def test_a_message_starts_keyword_automations_and_only_without_one_the_default(alice: Alice) -> None:
    price = alice.automation(TAG, trigger=on("instagram.message", keywords=["price"]))
    default = alice.automation(TAG, trigger=on("instagram.message", default=True))

    tell(says("what is the PRICE?"))
    assert started(price, default) == [1, 0]

    tell(says("good morning"))
    assert started(price, default) == [1, 1]


def test_a_default_answer_stays_silent_where_an_execution_waits_for_the_reply(alice: Alice) -> None:
    waits = alice.automation(
        [{"id": "answer", "action": "wait_until", "with": {"event": "contact.replied", "timeout": "2d"},
          "then": TAG, "else": []}],
        trigger="instagram.comment",
    )  # fmt: skip
    default = alice.automation(TAG, trigger=on("instagram.message", default=True))
    tell(comment())
    at_rest(executions()[0]["id"])

    tell(says("yes please"))

    assert started(waits, default) == [1, 0]
    assert finished(executions()[0]["id"])["status"] == "succeeded"
    tell(says("are you there?"))
    assert started(default) == [1]


@pytest.mark.parametrize(
    "answer",
    [
        {"message": {"mid": "m", "text": "I follow", "quick_reply": {"payload": "FOLLOW_CHECK"}}},
        {"postback": {"mid": "m", "title": "Send me the link", "payload": "OPENING_DM_CONTINUE"}},
        {"message": {"mid": "m", "text": "yes"}},
        {"message": {"mid": "m", "text": "love it", "reply_to": {"story": {"id": "s", "url": "https://x.example"}}}},
    ],
    ids=["quick reply", "button", "text", "story reply"],
)
def test_every_answer_wakes_who_waits_for_a_reply(alice: Alice, answer: dict[str, Any]) -> None:
    alice.automation(
        [{"id": "answer", "action": "wait_until", "with": {"event": "contact.replied", "timeout": "2d"},
          "then": TAG, "else": []}],
        trigger="instagram.comment",
    )  # fmt: skip
    tell(comment())
    waiting = at_rest(executions()[0]["id"])

    tell(event(**answer))

    assert finished(waiting["id"])["status"] == "succeeded"
    assert contacts()[0]["tags"] == ["seen"]


@pytest.mark.parametrize(
    "seen",
    [
        {"read": {"mid": "ours-1"}},
        {"reaction": {"mid": "ours-1", "action": "react", "emoji": "👍"}},
        {"message": {"mid": "m", "attachments": [{"type": "story_mention", "payload": {"url": "https://x.example"}}]}},
    ],
    ids=["read", "reaction", "story mention"],
)
def test_what_is_no_answer_wakes_and_starts_nothing(alice: Alice, seen: dict[str, Any]) -> None:
    for type_ in ("instagram.message", "instagram.story_reply"):
        alice.automation(TAG, trigger=type_)
    alice.automation(
        [{"id": "answer", "action": "wait_until", "with": {"event": "contact.replied", "timeout": "2d"},
          "then": [], "else": []}],
        trigger="instagram.comment",
    )  # fmt: skip
    tell(comment())
    waiting = at_rest(executions()[0]["id"])

    tell(event(**seen))

    assert [one["id"] for one in executions()] == [waiting["id"]]
    assert executions()[0]["event_at"] is None


def opening(*then: dict[str, Any]) -> list[dict[str, Any]]:
    """A private reply, and what follows once the contact answers it."""
    said = {"channel": "instagram", "as": "private_reply", "body": "Shall we send you the link?"}
    return [
        {"id": "opening", "action": "send_message", "with": said},
        {"id": "answer", "action": "wait_until", "with": {"event": "contact.replied", "timeout": "2d"},
         "then": [*then], "else": []},
    ]  # fmt: skip


def goes_on(settings: Settings, execution_id: str) -> dict[str, Any]:
    """The execution once it has ended, with the scheduler looking for what is due."""
    eventually(lambda: sweeps.wake_due(settings)["woken"] or execution(execution_id)["finished_at"])
    return finished(execution_id)


def begin_to_send(alice: Alice, sandbox: Running) -> None:
    """Instagram has the opening message, and has not yet answered us."""
    alice.automation(opening(*TAG), trigger="instagram.comment")
    sandbox.fault("instagram", "slow", seconds=1)
    tell(comment())
    eventually(lambda: sandbox.messages("instagram"))


def test_an_answer_that_is_quicker_than_our_record_of_the_send_is_not_lost(
    alice: Alice, sandbox: Running, settings: Settings
) -> None:
    begin_to_send(alice, sandbox)

    tell(says("yes please"))

    assert executions()[0]["status"] == "running"
    assert goes_on(settings, executions()[0]["id"])["status"] == "succeeded"
    assert contacts()[0]["tags"] == ["seen"]


def test_an_answer_that_is_being_taken_in_while_the_wait_is_recorded_is_not_lost(
    alice: Alice, sandbox: Running, settings: Settings
) -> None:
    begin_to_send(alice, sandbox)

    with transaction():
        (contact,) = rows("select id from contacts for update")
        conversation.record_received(
            alice.workspace_id, contact["id"], "instagram", "mid-q", kind="message", text="yes", at=clock.now()
        )
        eventually(waiting_for_a_lock)

    assert goes_on(settings, executions()[0]["id"])["status"] == "succeeded"
    assert contacts()[0]["tags"] == ["seen"]


def test_one_answer_does_not_end_two_waits_without_a_message_between_them(
    alice: Alice, sandbox: Running, settings: Settings
) -> None:
    (again,) = [{**opening(*TAG)[1], "id": "again"}]
    alice.automation(opening(again), trigger="instagram.comment")
    tell(comment())
    waiting = at_rest(executions()[0]["id"])

    tell(says("yes"))

    eventually(lambda: steps(waiting["id"]).get("again"))
    assert at_rest(waiting["id"])["waiting_for"] == "event"
    tell(says("yes, again"))
    assert goes_on(settings, waiting["id"])["status"] == "succeeded"


def test_an_answer_ends_the_follow_ups_of_a_direct_message(alice: Alice, sandbox: Running) -> None:
    answer = {"id": "answer", "action": "send_message", "with": {"channel": "facebook", "body": "Can we help?"}}
    alice.automation(
        [answer], trigger=on("facebook.message", keywords=["price"]), rules={"follow_ups": {"max": 3, "every": "6h"}}
    )
    tell(says("the price?", channel="facebook"))
    waiting = eventually(lambda: (one := executions()[0])["waiting_for"] == "follow_up" and one)

    tell(says("thanks, got it", channel="facebook"))

    found = finished(waiting["id"])
    assert (found["status"], found["follow_up_ended_because"]["rule"]) == ("succeeded", "replied")
    assert len(sandbox.messages("facebook", PERSON)) == 1


def test_a_button_starts_by_its_title_and_brings_its_payload(alice: Alice) -> None:
    automation = alice.automation(TAG, trigger=on("facebook.message", keywords=["link"]))
    tell(event("facebook", postback={"title": "Send me the link", "payload": "LINK_1"}))
    assert started(automation) == [1]
    assert payloads()[0]["message"]["payload"] == "LINK_1"


def test_a_story_reply_starts_story_automations_and_brings_the_story(alice: Alice) -> None:
    story = alice.automation(TAG, trigger=on("instagram.story_reply", keywords=["love"]))
    message = alice.automation(TAG, trigger=on("instagram.message", default=True))
    tell(says("I love it", reply_to={"story": {"id": "s-1", "url": "https://cdn.example/s.jpg"}}))
    assert started(story, message) == [1, 0]
    assert payloads()[0]["story"] == {"id": "s-1", "url": "https://cdn.example/s.jpg"}
    assert payloads()[0]["message"]["text"] == "I love it"


def test_within_its_cool_down_an_automation_answers_a_contact_once(alice: Alice) -> None:
    automation = alice.automation(TAG, trigger=on("instagram.message", default=True, cooldown="1h"))
    tell(says("one"), says("two"), says("other", person="42"))
    assert started(automation) == [2]

    changed("update executions set created_at = created_at - interval '61 minutes'")
    tell(says("three"))
    assert started(automation) == [3]


def test_two_messages_at_once_within_the_cool_down_get_one_answer(alice: Alice) -> None:
    automation = alice.automation(TAG, trigger=on("instagram.message", default=True, cooldown="1h"))
    at_once(6, lambda number: tell(says(f"message {number}")))
    assert started(automation) == [1]


def test_a_producer_s_triggers_at_once_are_answered_once_too(alice: Alice) -> None:
    contact_id = str(alice.trigger().contact_id)
    automation = alice.automation(TAG, trigger=on("instagram.message", cooldown="1h"))
    at_once(8, lambda _: alice.trigger("instagram.message", contact_id=contact_id))
    assert started(automation) == [1]


def test_what_was_skipped_answered_nobody_and_cools_nothing_down(alice: Alice) -> None:
    automation = alice.automation(
        TAG, trigger=on("instagram.message", cooldown="1h"), rules={"where": "contact.attributes.vip == true"}
    )
    tell(says("one"))
    finished(executions()[0]["id"])
    tell(says("two"))
    assert started(automation) == [2]


# The conversation


def test_when_a_person_last_wrote_is_as_meta_tells_it_and_moves_only_forward(alice: Alice) -> None:
    tell(says("new", age=60), says("old", age=3600), comment())
    at = conversation.last_received(contacts()[0]["id"])["instagram"]
    assert clock.now() - at == pytest.approx(timedelta(seconds=60), abs=timedelta(seconds=20))
    assert value("select account_id from conversations") == value("select id from accounts where channel = 'instagram'")


def test_a_recorded_webhook_of_long_ago_counts_from_when_it_came(alice: Alice) -> None:
    body = says("hello")
    body["entry"][0]["messaging"][0]["timestamp"] = 1569262485349
    tell(body)
    at = conversation.last_received(contacts()[0]["id"])["instagram"]
    assert clock.now() - at < timedelta(minutes=1)


def test_an_unsent_message_is_forgotten_and_starts_nothing_even_if_it_comes_later(alice: Alice) -> None:
    automation = alice.automation(TAG, trigger="instagram.message")
    tell(event(message={"mid": "m-1", "is_deleted": True}), says("never mind", mid="m-1"))
    assert started(automation) == [0]
    assert row("select text from received_messages") == {"text": None}
    tell(says("stays", mid="m-2"), event(message={"mid": "m-2", "is_deleted": True}))
    assert value("select count(*) from received_messages where text is not null") == 0
    assert "never mind" not in (raw := str(rows("select body from inbound_events")))
    assert "stays" not in raw
    assert tell(says("stays", mid="m-2")) is None


@pytest.mark.parametrize("seed", range(4))
def test_edits_and_reactions_end_as_in_order_whatever_the_order(alice: Alice, seed: int) -> None:
    told = [
        says("first", mid="m-1", age=30),
        event(age=20, message_edit={"mid": "m-1", "text": "second", "num_edit": "1"}),
        event(age=10, message_edit={"mid": "m-1", "text": "third", "num_edit": "2"}),
        event(age=5, reaction={"mid": "ours", "action": "react", "emoji": "❤️"}),
    ] * 2
    random.Random(seed).shuffle(told)
    tell(*told)
    assert row("select text from received_messages where kind = 'message'") == {"text": "third"}
    assert value("select count(*) from received_messages") == 2
    assert value("select count(*) from inbound_events where processed_at is null") == 0


def test_stop_suppresses_the_channel_and_starts_nothing(alice: Alice) -> None:
    automation = alice.automation(TAG, trigger="instagram.message")
    tell(says("STOP"))
    assert row("select channel, reason from suppressions") == {"channel": "instagram", "reason": "unsubscribed"}
    assert started(automation) == [0]
    assert value("select text from received_messages") == "STOP"


# What became of our messages


def test_a_read_receipt_moves_its_message(alice: Alice) -> None:
    message = message_to(alice, known(alice))
    tell(event(read={"mid": "ours-1"}), event(read={"mid": "ours-1"}))
    assert status(message) == "read"


def test_messenger_s_receipts_move_all_that_was_sent_until_then(alice: Alice) -> None:
    tell(says("hello", channel="facebook"))
    contact_id = contacts()[0]["id"]
    then = datetime(2026, 11, 20, 12, tzinfo=UTC)
    first, second, later = (
        message_to(alice, contact_id, channel="facebook", provider_message_id=mid, sent_at=then + timedelta(minutes=at))
        for mid, at in (("m-1", 0), ("m-2", 1), ("m-3", 3))
    )
    until = int((then + timedelta(minutes=2)).timestamp() * 1000)
    tell(event("facebook", delivery={"mids": ["m-1", "m-2"], "watermark": until}))
    assert [status(one) for one in (first, second, later)] == ["delivered", "delivered", "sent"]
    tell(event("facebook", read={"watermark": until}))
    assert [status(one) for one in (first, second, later)] == ["read", "read", "sent"]


@pytest.mark.parametrize("told", ["our key", "our text"])
def test_an_echo_settles_what_was_unknown_once(alice: Alice, told: str) -> None:
    contact_id = known(alice)
    message = message_to(alice, contact_id, status="outcome_unknown", provider_message_id=None, sent_at=None)
    other = message_to(alice, contact_id, status="outcome_unknown", provider_message_id=None, body="Another")
    body = echo(message, **({"metadata": message["key"]} if told == "our key" else {"text": " Hello! "}))

    tell(body, body)

    assert row("select status, provider_message_id from messages where id = %s", (message["id"],)) == {
        "status": "sent", "provider_message_id": "echoed-1",
    }  # fmt: skip
    assert status(other) == "outcome_unknown"


def test_an_echo_of_what_a_person_wrote_in_the_inbox_settles_nothing(alice: Alice) -> None:
    message = message_to(alice, known(alice), status="outcome_unknown", provider_message_id=None)
    tell(echo(message, text="Hi, this is Alice herself"))
    assert status(message) == "outcome_unknown"


def test_an_answer_to_the_sandbox_finds_its_workspace_by_the_message(alice: Alice) -> None:
    """The sandbox speaks for accounts that no workspace has."""
    contact_id = known(alice)
    message_to(alice, contact_id)
    for sandbox, outcome in ((True, "replied"), (False, None)):
        changed("update messages set sandbox = %s", (sandbox,))
        body = says("yes", reply_to={"mid": "ours-1"})
        body["entry"][0]["id"] = "17841400000000001"
        assert tell(body) == outcome


def test_a_thousand_events_of_one_body_are_each_read_once(alice: Alice) -> None:
    automation = alice.automation(TAG, trigger=on("instagram.comment", keywords=["never said"]))
    body = comment(number=1, person="1")
    changes = body["entry"][0]["changes"]
    changes.extend(comment(number=n, person=str(n))["entry"][0]["changes"][0] for n in range(2, 1001))
    ids = meta.keep(body)
    at_once(8, lambda hand: process_events.fn(*ids[hand::8]))
    assert (len(ids), len(contacts())) == (1000, 1000)
    assert value("select count(*) from inbound_events where outcome = 'comment'") == 1000
    assert started(automation) == [0]


def test_an_event_that_cannot_be_read_keeps_nobody_from_the_others(alice: Alice) -> None:
    ids = [one for number in (1, 2, 3) for one in meta.keep(comment(number=number, person=str(number)))]
    changed("update inbound_events set provider = 'nobody' where id = %s", (ids[1],))

    with pytest.raises(KeyError):
        process_events.fn(*ids)

    eventually(lambda: len(contacts()) == 2)


def test_a_send_whose_answer_was_lost_goes_on_when_its_echo_comes(alice: Alice, sandbox: Running) -> None:
    answer = {"channel": "instagram", "body": "Here it is"}
    alice.automation(
        [{"id": "link", "action": "send_message", "with": answer}, *TAG],
        trigger=on("instagram.message", keywords=["link"]),
    )
    sandbox.fault(provider="instagram", fault="reset_after", times=1)
    tell(says("the link please"))
    held = finished(executions()[0]["id"])
    assert (held["status"], held["error_class"]) == ("failed", "unknown_outcome")
    (sent,) = sandbox.messages("instagram", PERSON)

    tell(echo({"channel": "instagram"}, mid=sent["id"], metadata=sent["body"]["message"]["metadata"]))

    eventually(lambda: executions()[0]["status"] == "succeeded")
    assert row("select status, provider_message_id from messages") == {
        "status": "sent", "provider_message_id": sent["id"],
    }  # fmt: skip
    assert contacts()[0]["tags"] == ["seen"]
    assert len(sandbox.messages("instagram", PERSON)) == 1
    tell(event(read={"mid": sent["id"]}))
    assert value("select status from messages") == "read"
    books_balance()


# What the sandbox signed


def test_the_sandbox_plays_people_in_the_demo_workspace(alice: Alice) -> None:
    automation = alice.automation(TAG, trigger="instagram.message")
    assert tell(says("hello"), sandbox=True) == "replied"
    assert started(automation) == [1]


@pytest.mark.parametrize("what", [comment(), says("hello"), says("STOP"), says("yes", reply_to={"mid": "ours-1"})])
def test_the_sandbox_plays_nobody_elsewhere(alice: Alice, what: dict[str, Any]) -> None:
    contact_id = known(alice)
    message_to(alice, contact_id, sandbox=False)
    before = value("select count(*) from received_messages")
    changed("update workspaces set demo = false")
    automations = [alice.automation(TAG, trigger=f"instagram.{name}") for name in ("message", "comment")]

    assert tell(what, sandbox=True) == "not of the sandbox"

    assert started(*automations) == [0, 0]
    assert value("select count(*) from received_messages") == before
    assert value("select count(*) from suppressions") == 0


def test_the_sandbox_moves_no_message_that_went_to_meta(alice: Alice) -> None:
    tell(says("hello", channel="facebook"))
    contact_id, then = contacts()[0]["id"], datetime(2026, 11, 20, 12, tzinfo=UTC)
    real, played = (
        message_to(alice, contact_id, channel="facebook", provider_message_id=mid, sent_at=then, sandbox=mid == "m-2")
        for mid in ("m-1", "m-2")
    )
    until = int((then + timedelta(minutes=2)).timestamp() * 1000)
    tell(event("facebook", delivery={"mids": ["m-2", "m-1"], "watermark": until}), sandbox=True)
    assert [status(one) for one in (real, played)] == ["sent", "delivered"]
    tell(event("facebook", read={"watermark": until}), sandbox=True)
    assert [status(one) for one in (real, played)] == ["sent", "read"]
    assert tell(event("facebook", read={"mid": "m-1"}), sandbox=True) == "not of the sandbox"
    assert status(real) == "sent"


@pytest.mark.parametrize("told", ["our key", "our text"])
def test_an_echo_of_the_sandbox_settles_no_real_message(alice: Alice, told: str) -> None:
    message = message_to(
        alice, known(alice), status="outcome_unknown", provider_message_id=None, sent_at=None, sandbox=False
    )
    body = echo(message, **({"metadata": message["key"]} if told == "our key" else {"text": " Hello! "}))
    assert tell(body, sandbox=True) == "not of the sandbox"
    assert status(message) == "outcome_unknown"


def test_what_the_sandbox_unsends_is_not_what_meta_told(alice: Alice) -> None:
    tell(says("kept", mid="m-1"))
    tell(says(None, mid="m-1", is_deleted=True), sandbox=True)
    assert "kept" in str(rows("select body from inbound_events where not sandbox"))


def test_outside_the_demo_workspace_the_sandbox_moves_a_tests_message(alice: Alice) -> None:
    message = message_to(alice, known(alice), test=True)
    changed("update workspaces set demo = false")
    assert tell(event(read={"mid": "ours-1"}), sandbox=True) == "read"
    assert status(message) == "read"
