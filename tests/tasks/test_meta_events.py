"""Meta's events have the right effects, once, in the right workspace, in any order."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import clock
import metrics
from models import conversation, sample_contact
from models.database import transaction
from models.ids import new_id
from models.queries import execute, fetch_value
from rules.samples import build_contacts
from sandbox.server import RunningSandbox
from settings import Settings
from tasks import periodic_jobs
from tasks.intake.callbacks import process_events
from tasks.runtime.engine import Engine
from tests.support import meta_world as meta
from tests.support.concurrency import assert_consistent, count_lock_waiters, run_concurrently
from tests.support.factories import Alice, bob, execution, steps, wait_for_status, wait_until_finished
from tests.support.meta_world import (
    IG,
    PERSON,
    comment,
    contacts,
    deliver_webhooks,
    echo,
    event,
    executions,
    message_event,
    page_comment,
    payloads,
)
from tests.support.rows import fetch_row, fetch_rows
from tests.support.waiting import eventually

TAG = [{"id": "tag", "action": "update_contact", "with": {"add_tags": ["seen"]}}]


@pytest.fixture
def alice(engine: Engine) -> Alice:
    owner = Alice()
    meta.connect(owner.workspace_id)
    return owner


def on(type_: str, **with_: Any) -> dict[str, Any]:
    return {"type": type_, "with": with_} if with_ else {"type": type_}


def count_executions(*automations: str) -> list[int]:
    """Count the executions of each automation."""
    return [
        sum(execution_row["automation_id"] == automation for execution_row in executions())
        for automation in automations
    ]


def insert_message(alice: Alice, contact_id: str, **fields: Any) -> dict[str, Any]:
    """Insert a message of ours to the contact."""
    now = clock.now()
    columns = {
        "id": new_id(), "workspace_id": alice.workspace_id, "execution_id": new_id(), "automation_id": new_id(),
        "contact_id": contact_id, "step_id": "hello", "key": new_id(), "channel": "instagram", "provider": "instagram",
        "sandbox": True, "test": False, "to_address": PERSON, "body": "Hello!", "status": "sent",
        "provider_message_id": "ours-1", "sending_at": fields.get("sent_at") or now, "sent_at": now, "created_at": now,
        "updated_at": now, **fields,
    }  # fmt: skip
    columns["provider"] = columns["channel"]
    placeholders = ", ".join(["%s"] * len(columns))
    execute(f"insert into messages ({', '.join(columns)}) values ({placeholders})", list(columns.values()))
    return columns


def read_status(message: dict[str, Any]) -> str:
    return str(fetch_value("select status from messages where id = %s", (message["id"],)))


def create_contact(alice: Alice) -> str:
    """Create a contact for the person, who has sent a message before."""
    deliver_webhooks(message_event("hello"))
    return str(contacts()[0]["id"])


# Contacts


def test_a_commenter_becomes_a_contact_with_their_name_and_stays_one(alice: Alice) -> None:
    deliver_webhooks(comment(), comment(), message_event("hi"))
    (contact,) = contacts()
    assert (contact["instagram_id"], contact["username"]) == (PERSON, f"user_{PERSON}")
    assert contact["last_event_at"] is not None


def test_a_known_person_keeps_their_name_and_gets_a_new_username(alice: Alice) -> None:
    alice.trigger(contact=bob(instagram_id=PERSON, username="old_handle"))
    deliver_webhooks(comment())
    (contact,) = contacts()
    assert (contact["first_name"], contact["username"]) == ("Bob", f"user_{PERSON}")


def test_a_page_s_commenter_has_the_name_that_the_page_shows(alice: Alice) -> None:
    deliver_webhooks(page_comment())
    (contact,) = contacts()
    assert (contact["facebook_id"], contact["first_name"], contact["last_name"]) == (PERSON, "Ada", "Byron King")


def test_a_reply_to_our_message_under_a_new_id_is_the_same_person(alice: Alice) -> None:
    contact_id = create_contact(alice)
    insert_message(alice, contact_id)
    deliver_webhooks(message_event("yes", person="another-id", reply_to={"mid": "ours-1"}))
    assert [contact["id"] for contact in contacts()] == [contact_id]


# Workspaces


def test_the_account_in_the_body_determines_the_workspace(alice: Alice) -> None:
    charlie = Alice(name="charlie")
    for each in (alice, charlie):
        each.automation(TAG, trigger="instagram.comment")
    deliver_webhooks(comment())
    assert [execution_row["workspace_id"] for execution_row in executions()] == [alice.workspace_id]
    assert [contact["workspace_id"] for contact in contacts()] == [alice.workspace_id]


def test_an_event_of_an_unknown_account_is_counted_and_dropped(alice: Alice) -> None:
    counter = metrics.triggers_total.labels(source="webhook", result="unknown_account")
    before = counter._value.get()
    body = comment()
    body["entry"][0]["id"] = "999"
    assert deliver_webhooks(body) is None
    assert counter._value.get() == before + 1
    assert (fetch_rows("select 1 from inbound_events"), contacts()) == ([], [])


def test_a_receipt_moves_no_message_of_another_workspace(alice: Alice) -> None:
    charlie = Alice(name="charlie")
    message = insert_message(charlie, new_id())
    assert deliver_webhooks(event(read={"mid": "ours-1"})) == "another workspace's message"
    assert read_status(message) == "sent"


# Comments


def test_a_comment_starts_automations_by_post_and_keyword(alice: Alice) -> None:
    matching = [{"posts": ["media-1"], "keywords": ["price"]}, {}, {"keywords": ["cost", "PRICE"]}]
    non_matching = [{"posts": ["media-2"]}, {"keywords": ["pric"]}, {"posts": ["media-1"], "keywords": ["cost"]}]
    matching_ids = [
        alice.automation(TAG, trigger=on("instagram.comment", **with_), exclusive=False) for with_ in matching
    ]
    non_matching_ids = [alice.automation(TAG, trigger=on("instagram.comment", **with_)) for with_ in non_matching]

    deliver_webhooks(comment("PRICE please", number=1))

    assert count_executions(*matching_ids) == [1, 1, 1]
    assert count_executions(*non_matching_ids) == [0, 0, 0]
    (payload,) = payloads()
    assert payload["account"] == {"id": IG}
    assert payload["comment"].pop("at")
    assert payload["comment"] == {
        "id": "comment-1", "text": "PRICE please", "media_id": "media-1", "parent_id": None, "live": False,
        "from": {"id": PERSON, "username": f"user_{PERSON}"},
    }  # fmt: skip


def test_one_automation_answers_a_comment_and_the_others_stay_on_its_trigger(alice: Alice) -> None:
    every = alice.automation(TAG, trigger="instagram.comment")
    answers, newer = (alice.automation(TAG, trigger=on("instagram.comment", keywords=["price"])) for _ in range(2))
    beside = alice.automation(TAG, trigger="instagram.comment", exclusive=False)

    deliver_webhooks(comment("PRICE please"))

    assert count_executions(every, answers, newer, beside) == [0, 1, 0, 1]
    (answer,) = fetch_rows("select answer from triggers")
    assert sorted(answer["answer"]["notChosen"], key=lambda other: other["because"]) == [
        {"automationId": every, "because": "less_specific"}, {"automationId": newer, "because": "newer"},
    ]  # fmt: skip


def test_nobody_steps_in_where_the_one_that_answers_cools_down(alice: Alice) -> None:
    every = alice.automation(TAG, trigger="instagram.message")
    answers = alice.automation(TAG, trigger=on("instagram.message", keywords=["price"], cooldown="1h"))
    deliver_webhooks(message_event("price"))
    deliver_webhooks(message_event("price"))
    assert count_executions(every, answers) == [0, 1]


def test_a_condition_sees_the_comment(alice: Alice) -> None:
    replies = alice.automation(TAG, trigger={"type": "instagram.comment", "where": "payload.comment.parent_id != null"})
    deliver_webhooks(comment(), comment(parent_id="comment-0"))
    assert count_executions(replies) == [1]


def test_our_own_comments_and_echoes_start_nothing(alice: Alice) -> None:
    for type_ in ("instagram.comment", "instagram.message"):
        alice.automation(TAG, trigger=type_)
    message = insert_message(alice, create_contact(alice))
    before = len(executions())
    under_another_id = {"id": "17840", "username": "shop", "self_ig_scoped_id": "17840"}
    deliver_webhooks(
        comment(**{"from": under_another_id}),
        comment(person=IG, parent_id="c"),
        event(is_self=True, message={"mid": "m-2", "text": "x"}),
        event(is_self=True, postback={"mid": "m-3", "title": "Start", "payload": "start"}),
        comment(person=IG),
        echo(message, text="PRICE"),
        event(message={"mid": "m", "text": "x", "is_self": True}),
    )
    assert len(executions()) == before


def test_a_page_s_comment_starts_its_own_trigger_and_its_removal_none(alice: Alice) -> None:
    automation = alice.automation(TAG, trigger=on("facebook.comment", keywords=["price"]))
    deliver_webhooks(page_comment(verb="edited"), page_comment())
    deliver_webhooks(page_comment(verb="remove", comment_id="p_2"), page_comment(comment_id="p_2"))
    assert count_executions(automation) == [1]
    deleted = fetch_rows("select provider_message_id from received_messages where deleted_at is not null")
    assert [message["provider_message_id"] for message in deleted] == ["p_2"]


def test_one_comment_delivered_concurrently_is_one_execution(alice: Alice) -> None:
    automation = alice.automation(TAG, trigger="instagram.comment")
    body = comment()

    outcomes = run_concurrently(8, lambda _: deliver_webhooks(body))

    assert sorted(outcomes, key=str) == [*[None] * 7, "comment"]
    assert count_executions(automation) == [1]
    assert len(contacts()) == 1


def test_fifty_comments_of_one_person_at_once_are_fifty_executions(alice: Alice) -> None:
    automation = alice.automation(TAG, trigger="instagram.comment")
    bodies = [comment() for _ in range(50)]

    run_concurrently(10, lambda index: deliver_webhooks(*bodies[index::10]))

    assert count_executions(automation) == [50]
    assert len(contacts()) == 1
    for execution_row in executions():
        wait_until_finished(execution_row["id"])
    assert_consistent()


# Messages


def test_a_message_starts_keyword_automations_and_only_without_one_the_default(alice: Alice) -> None:
    price = alice.automation(TAG, trigger=on("instagram.message", keywords=["price"]))
    default = alice.automation(TAG, trigger=on("instagram.message", default=True))

    deliver_webhooks(message_event("what is the PRICE?"))
    assert count_executions(price, default) == [1, 0]

    deliver_webhooks(message_event("good morning"))
    assert count_executions(price, default) == [1, 1]


def test_a_default_reply_does_not_start_where_an_execution_waits(alice: Alice) -> None:
    waits = alice.automation(
        [{"id": "answer", "action": "wait_until", "with": {"event": "contact.replied", "timeout": "2d"},
          "then": TAG, "else": []}],
        trigger="instagram.comment",
    )  # fmt: skip
    default = alice.automation(TAG, trigger=on("instagram.message", default=True))
    deliver_webhooks(comment())
    wait_for_status(executions()[0]["id"])

    deliver_webhooks(message_event("yes please"))

    assert count_executions(waits, default) == [1, 0]
    assert wait_until_finished(executions()[0]["id"])["status"] == "succeeded"
    deliver_webhooks(message_event("are you there?"))
    assert count_executions(default) == [1]


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
def test_every_kind_of_reply_wakes_a_waiting_execution(alice: Alice, answer: dict[str, Any]) -> None:
    alice.automation(
        [{"id": "answer", "action": "wait_until", "with": {"event": "contact.replied", "timeout": "2d"},
          "then": TAG, "else": []}],
        trigger="instagram.comment",
    )  # fmt: skip
    deliver_webhooks(comment())
    waiting = wait_for_status(executions()[0]["id"])

    deliver_webhooks(event(**answer))

    assert wait_until_finished(waiting["id"])["status"] == "succeeded"
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
def test_an_event_that_is_no_reply_wakes_and_starts_nothing(alice: Alice, seen: dict[str, Any]) -> None:
    for type_ in ("instagram.message", "instagram.story_reply"):
        alice.automation(TAG, trigger=type_)
    alice.automation(
        [{"id": "answer", "action": "wait_until", "with": {"event": "contact.replied", "timeout": "2d"},
          "then": [], "else": []}],
        trigger="instagram.comment",
    )  # fmt: skip
    deliver_webhooks(comment())
    waiting = wait_for_status(executions()[0]["id"])

    deliver_webhooks(event(**seen))

    assert [execution_row["id"] for execution_row in executions()] == [waiting["id"]]
    assert executions()[0]["event_at"] is None


def opening(*then: dict[str, Any]) -> list[dict[str, Any]]:
    """Build a private reply and the steps after the contact's reply to it."""
    private_reply = {"channel": "instagram", "as": "private_reply", "body": "Shall we send you the link?"}
    return [
        {"id": "opening", "action": "send_message", "with": private_reply},
        {"id": "answer", "action": "wait_until", "with": {"event": "contact.replied", "timeout": "2d"},
         "then": [*then], "else": []},
    ]  # fmt: skip


def run_to_end(settings: Settings, execution_id: str) -> dict[str, Any]:
    """Run the scheduler until the execution has ended; return it."""
    eventually(lambda: periodic_jobs.enqueue_due(settings)["woken"] or execution(execution_id)["finished_at"])
    return wait_until_finished(execution_id)


def begin_to_send(alice: Alice, sandbox: RunningSandbox) -> None:
    """Start a send that Instagram has received and not yet answered."""
    alice.automation(opening(*TAG), trigger="instagram.comment")
    sandbox.add_fault("instagram", "slow", seconds=1)
    deliver_webhooks(comment())
    eventually(lambda: sandbox.list_messages("instagram"))


def test_a_reply_that_precedes_our_record_of_the_send_is_not_lost(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    begin_to_send(alice, sandbox)

    deliver_webhooks(message_event("yes please"))

    assert executions()[0]["status"] == "running"
    assert run_to_end(settings, executions()[0]["id"])["status"] == "succeeded"
    assert contacts()[0]["tags"] == ["seen"]


def test_a_reply_processed_while_the_wait_is_recorded_is_not_lost(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    begin_to_send(alice, sandbox)

    with transaction():
        (contact,) = fetch_rows("select id from contacts for update")
        conversation.record_received(
            alice.workspace_id, contact["id"], "instagram", "mid-q", kind="message", text="yes", at=clock.now()
        )
        eventually(count_lock_waiters)

    assert run_to_end(settings, executions()[0]["id"])["status"] == "succeeded"
    assert contacts()[0]["tags"] == ["seen"]


def test_one_reply_does_not_end_two_waits_without_a_message_between(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    (again,) = [{**opening(*TAG)[1], "id": "again"}]
    alice.automation(opening(again), trigger="instagram.comment")
    deliver_webhooks(comment())
    waiting = wait_for_status(executions()[0]["id"])

    deliver_webhooks(message_event("yes"))

    eventually(lambda: steps(waiting["id"]).get("again"))
    assert wait_for_status(waiting["id"])["waiting_for"] == "event"
    deliver_webhooks(message_event("yes, again"))
    assert run_to_end(settings, waiting["id"])["status"] == "succeeded"


def test_a_reply_ends_the_follow_ups_of_a_direct_message(alice: Alice, sandbox: RunningSandbox) -> None:
    answer = {"id": "answer", "action": "send_message", "with": {"channel": "facebook", "body": "Can we help?"}}
    alice.automation(
        [answer], trigger=on("facebook.message", keywords=["price"]), rules={"follow_ups": {"max": 3, "every": "6h"}}
    )
    deliver_webhooks(message_event("the price?", channel="facebook"))
    waiting = eventually(lambda: (current := executions()[0])["waiting_for"] == "follow_up" and current)

    deliver_webhooks(message_event("thanks, got it", channel="facebook"))

    result = wait_until_finished(waiting["id"])
    assert (result["status"], result["follow_up_ended_because"]["rule"]) == ("succeeded", "replied")
    assert len(sandbox.list_messages("facebook", PERSON)) == 1


def test_a_button_starts_by_its_title_and_brings_its_payload(alice: Alice) -> None:
    automation = alice.automation(TAG, trigger=on("facebook.message", keywords=["link"]))
    deliver_webhooks(event("facebook", postback={"title": "Send me the link", "payload": "LINK_1"}))
    assert count_executions(automation) == [1]
    assert payloads()[0]["message"]["payload"] == "LINK_1"


def test_a_story_reply_starts_story_automations_and_brings_the_story(alice: Alice) -> None:
    story = alice.automation(TAG, trigger=on("instagram.story_reply", keywords=["love"]))
    message = alice.automation(TAG, trigger=on("instagram.message", default=True))
    deliver_webhooks(message_event("I love it", reply_to={"story": {"id": "s-1", "url": "https://cdn.example/s.jpg"}}))
    assert count_executions(story, message) == [1, 0]
    assert payloads()[0]["story"] == {"id": "s-1", "url": "https://cdn.example/s.jpg"}
    assert payloads()[0]["message"]["text"] == "I love it"


def test_within_its_cool_down_an_automation_starts_once_for_a_contact(alice: Alice) -> None:
    automation = alice.automation(TAG, trigger=on("instagram.message", default=True, cooldown="1h"))
    deliver_webhooks(message_event("one"), message_event("two"), message_event("other", person="42"))
    assert count_executions(automation) == [2]

    execute("update executions set created_at = created_at - interval '61 minutes'")
    deliver_webhooks(message_event("three"))
    assert count_executions(automation) == [3]


def test_two_concurrent_messages_within_the_cool_down_get_one_reply(alice: Alice) -> None:
    automation = alice.automation(TAG, trigger=on("instagram.message", default=True, cooldown="1h"))
    run_concurrently(6, lambda number: deliver_webhooks(message_event(f"message {number}")))
    assert count_executions(automation) == [1]


def test_a_producers_concurrent_triggers_get_one_reply_too(alice: Alice) -> None:
    contact_id = str(alice.trigger().contact_id)
    automation = alice.automation(TAG, trigger=on("instagram.message", cooldown="1h"))
    run_concurrently(8, lambda _: alice.trigger("instagram.message", contact_id=contact_id))
    assert count_executions(automation) == [1]


def test_a_skipped_execution_begins_no_cool_down(alice: Alice) -> None:
    automation = alice.automation(
        TAG, trigger=on("instagram.message", cooldown="1h"), rules={"where": "contact.attributes.vip == true"}
    )
    deliver_webhooks(message_event("one"))
    wait_until_finished(executions()[0]["id"])
    deliver_webhooks(message_event("two"))
    assert count_executions(automation) == [2]


# The conversation


def test_the_time_of_the_last_message_is_metas_and_only_moves_forward(alice: Alice) -> None:
    new = message_event("new", age=60)
    deliver_webhooks(new, message_event("old", age=3600), comment())
    at = fetch_value("select last_received_at from conversations where channel = 'instagram'")
    assert at == datetime.fromtimestamp(new["entry"][0]["messaging"][0]["timestamp"] / 1000, UTC)
    assert fetch_value("select account_id from conversations") == fetch_value(
        "select id from accounts where channel = 'instagram'"
    )


def test_a_replayed_webhook_counts_from_its_time_of_receipt(alice: Alice) -> None:
    body = message_event("hello")
    body["entry"][0]["messaging"][0]["timestamp"] = 1569262485349
    started_at = clock.now()
    deliver_webhooks(body)
    at = fetch_value("select last_received_at from conversations where channel = 'instagram'")
    assert started_at <= at <= clock.now()


def test_an_unsent_message_is_removed_and_starts_nothing_in_any_order(alice: Alice) -> None:
    automation = alice.automation(TAG, trigger="instagram.message")
    deliver_webhooks(event(message={"mid": "m-1", "is_deleted": True}), message_event("never mind", mid="m-1"))
    assert count_executions(automation) == [0]
    assert fetch_row("select text from received_messages") == {"text": None}
    deliver_webhooks(message_event("stays", mid="m-2"), event(message={"mid": "m-2", "is_deleted": True}))
    assert fetch_value("select count(*) from received_messages where text is not null") == 0
    assert "never mind" not in (raw := str(fetch_rows("select body from inbound_events")))
    assert "stays" not in raw
    assert deliver_webhooks(message_event("stays", mid="m-2")) is None


@pytest.mark.parametrize("seed", range(4))
def test_edits_and_reactions_have_the_same_result_in_any_order(alice: Alice, seed: int) -> None:
    events = [
        message_event("first", mid="m-1", age=30),
        event(age=20, message_edit={"mid": "m-1", "text": "second", "num_edit": "1"}),
        event(age=10, message_edit={"mid": "m-1", "text": "third", "num_edit": "2"}),
        event(age=5, reaction={"mid": "ours", "action": "react", "emoji": "❤️"}),
    ] * 2
    random.Random(seed).shuffle(events)
    deliver_webhooks(*events)
    assert fetch_row("select text from received_messages where kind = 'message'") == {"text": "third"}
    assert fetch_value("select count(*) from received_messages") == 2
    assert fetch_value("select count(*) from inbound_events where processed_at is null") == 0


def test_stop_suppresses_the_channel_and_starts_nothing(alice: Alice) -> None:
    automation = alice.automation(TAG, trigger="instagram.message")
    deliver_webhooks(message_event("STOP"))
    assert fetch_row("select channel, reason from suppressions") == {"channel": "instagram", "reason": "stopped"}
    assert count_executions(automation) == [0]
    assert fetch_value("select text from received_messages") == "STOP"


@pytest.mark.parametrize(
    ("message", "listed"),
    [
        ({"text": "stop please"}, 1),
        ({"text": "leave me alone"}, 1),
        ({"text": "Cancel"}, 0),
        ({"text": "stop please", "quick_reply": {"payload": "S"}}, 0),
        ({"text": "no more", "reply_to": {"story": {"id": "1"}}}, 0),
    ],
)
def test_a_typed_message_that_may_opt_out_is_listed_and_starts_its_automations(
    alice: Alice, message: dict[str, Any], listed: int
) -> None:
    automation = alice.automation(TAG, trigger="instagram.message")
    deliver_webhooks(event(message={"mid": "m-1", **message}))
    rows = fetch_rows("select channel from possible_opt_outs")
    assert (rows, fetch_rows("select 1 from suppressed_addresses")) == ([{"channel": "instagram"}] * listed, [])
    assert count_executions(automation) == [0 if "reply_to" in message else 1]


@pytest.mark.parametrize(
    ("message", "reasons"),
    [
        ({"text": "Start"}, []),
        ({"text": "UNSTOP"}, []),
        ({"text": "yes"}, ["stopped"]),
        ({"text": "start now please"}, ["stopped"]),
        ({"text": "Start", "quick_reply": {"payload": "START"}}, ["stopped"]),
        ({"text": "Start", "reply_to": {"story": {"id": "1"}}}, ["stopped"]),
    ],
)
def test_a_typed_start_lifts_what_stop_made_and_starts_its_automations(
    alice: Alice, message: dict[str, Any], reasons: list[str]
) -> None:
    automation = alice.automation(TAG, trigger="instagram.message")
    deliver_webhooks(message_event("stop"))
    deliver_webhooks(event(message={"mid": "m-2", **message}))
    assert [row["reason"] for row in fetch_rows("select reason from suppressed_addresses")] == reasons
    assert [row["reason"] for row in fetch_rows("select reason from suppressions")] == reasons
    assert count_executions(automation) == [0 if "reply_to" in message else 1]


# Our messages


def test_a_read_receipt_moves_its_message(alice: Alice) -> None:
    message = insert_message(alice, create_contact(alice))
    deliver_webhooks(event(read={"mid": "ours-1"}), event(read={"mid": "ours-1"}))
    assert read_status(message) == "read"


def test_messengers_receipts_move_every_message_up_to_their_time(alice: Alice) -> None:
    deliver_webhooks(message_event("hello", channel="facebook"))
    contact_id = contacts()[0]["id"]
    then = datetime(2026, 11, 20, 12, tzinfo=UTC)
    first, second, later = (
        insert_message(
            alice, contact_id, channel="facebook", provider_message_id=mid, sent_at=then + timedelta(minutes=at)
        )
        for mid, at in (("m-1", 0), ("m-2", 1), ("m-3", 3))
    )
    until = int((then + timedelta(minutes=2)).timestamp() * 1000)
    deliver_webhooks(event("facebook", delivery={"mids": ["m-1", "m-2"], "watermark": until}))
    assert [read_status(message) for message in (first, second, later)] == ["delivered", "delivered", "sent"]
    deliver_webhooks(event("facebook", read={"watermark": until}))
    assert [read_status(message) for message in (first, second, later)] == ["read", "read", "sent"]


@pytest.mark.parametrize("matched_by", ["our key", "our text"])
def test_an_echo_resolves_an_unknown_outcome_once(alice: Alice, matched_by: str) -> None:
    contact_id = create_contact(alice)
    message = insert_message(alice, contact_id, status="outcome_unknown", provider_message_id=None, sent_at=None)
    other = insert_message(alice, contact_id, status="outcome_unknown", provider_message_id=None, body="Another")
    body = echo(message, **({"metadata": message["key"]} if matched_by == "our key" else {"text": " Hello! "}))

    deliver_webhooks(body, body)

    assert fetch_row("select status, provider_message_id from messages where id = %s", (message["id"],)) == {
        "status": "sent", "provider_message_id": "echoed-1",
    }  # fmt: skip
    assert read_status(other) == "outcome_unknown"


def test_an_echo_that_fits_two_unknown_outcomes_resolves_neither(alice: Alice) -> None:
    contact_id = create_contact(alice)
    twins = [insert_message(alice, contact_id, status="outcome_unknown", provider_message_id=None) for _ in range(2)]
    deliver_webhooks(echo(twins[0], text="Hello!"))
    assert [read_status(message) for message in twins] == ["outcome_unknown"] * 2


def test_the_webhook_of_our_own_comment_resolves_a_public_reply(alice: Alice) -> None:
    message = insert_message(alice, create_contact(alice), status="outcome_unknown", provider_message_id=None,
                             to_address="comment-1", body="See your inbox")  # fmt: skip
    deliver_webhooks(comment("See your inbox", number=2, person=IG, parent_id="comment-1"))
    assert fetch_row("select status, provider_message_id from messages where id = %s", (message["id"],)) == {
        "status": "sent", "provider_message_id": "comment-2",
    }  # fmt: skip
    assert executions() == []


def test_an_echo_of_a_message_from_the_inbox_resolves_nothing(alice: Alice) -> None:
    message = insert_message(alice, create_contact(alice), status="outcome_unknown", provider_message_id=None)
    deliver_webhooks(echo(message, text="Hi, this is Alice herself"))
    assert read_status(message) == "outcome_unknown"


def test_a_receipt_that_precedes_the_answer_to_its_send_is_not_lost(alice: Alice, sandbox: RunningSandbox) -> None:
    answer = {"channel": "facebook", "body": "Here it is"}
    alice.automation([{"id": "link", "action": "send_message", "with": answer}], trigger="facebook.message")
    sandbox.add_fault("facebook", "slow", seconds=1)
    deliver_webhooks(message_event("the link please", channel="facebook"))
    (accepted,) = eventually(lambda: sandbox.list_messages("facebook"))

    deliver_webhooks(event("facebook", delivery={"mids": [accepted["id"]], "watermark": 1}))

    eventually(lambda: fetch_value("select status from messages") == "delivered")


def test_a_reply_to_the_sandbox_finds_its_workspace_by_the_message(alice: Alice) -> None:
    """The sandbox uses accounts that no workspace has."""
    contact_id = create_contact(alice)
    insert_message(alice, contact_id)
    for sandbox, outcome in ((True, "replied"), (False, None)):
        execute("update messages set sandbox = %s", (sandbox,))
        body = message_event("yes", reply_to={"mid": "ours-1"})
        body["entry"][0]["id"] = "17841400000000001"
        assert deliver_webhooks(body) == outcome


def test_a_sample_contact_may_answer_in_the_demo_workspace_and_is_not_changed(alice: Alice) -> None:
    (sample,) = build_contacts(1, {})
    (contact_id,) = sample_contact.ensure(alice.workspace_id, [{**sample, "instagram_id": PERSON}])
    automation = alice.automation([{"id": "end", "action": "stop"}], trigger=on("instagram.message"))
    insert_message(alice, contact_id)
    before = fetch_row("select username, tags from contacts")
    assert deliver_webhooks(message_event("yes", reply_to={"mid": "ours-1"})) == "replied"
    assert deliver_webhooks(comment()) == "comment"
    assert fetch_row("select username, tags from contacts") == before
    assert count_executions(automation) == [1]
    assert fetch_value("select count(*) from contacts") == 1


def test_a_thousand_events_of_one_body_are_each_processed_once(alice: Alice) -> None:
    automation = alice.automation(TAG, trigger=on("instagram.comment", keywords=["never said"]))
    body = comment(number=1, person="1")
    changes = body["entry"][0]["changes"]
    changes.extend(comment(number=n, person=str(n))["entry"][0]["changes"][0] for n in range(2, 1001))
    ids = meta.store_webhook(body)
    run_concurrently(8, lambda index: process_events.fn(*ids[index::8]))
    assert (len(ids), len(contacts())) == (1000, 1000)
    assert fetch_value("select count(*) from inbound_events where outcome = 'comment'") == 1000
    assert count_executions(automation) == [0]


def test_an_event_that_cannot_be_applied_does_not_block_the_others(alice: Alice) -> None:
    ids = [
        event_id for number in (1, 2, 3) for event_id in meta.store_webhook(comment(number=number, person=str(number)))
    ]
    execute("update inbound_events set provider = 'nobody' where id = %s", (ids[1],))

    with pytest.raises(KeyError):
        process_events.fn(*ids)

    eventually(lambda: len(contacts()) == 2)


def test_a_send_whose_answer_was_lost_continues_after_its_echo(alice: Alice, sandbox: RunningSandbox) -> None:
    answer = {"channel": "instagram", "body": "Here it is"}
    alice.automation(
        [{"id": "link", "action": "send_message", "with": answer}, *TAG],
        trigger=on("instagram.message", keywords=["link"]),
    )
    sandbox.add_fault(provider="instagram", fault="reset_after", times=1)
    deliver_webhooks(message_event("the link please"))
    failed = wait_until_finished(executions()[0]["id"])
    assert (failed["status"], failed["error_class"]) == ("failed", "unknown_outcome")
    (sent,) = sandbox.list_messages("instagram", PERSON)

    deliver_webhooks(echo({"channel": "instagram"}, mid=sent["id"], metadata=sent["body"]["message"]["metadata"]))

    eventually(lambda: executions()[0]["status"] == "succeeded")
    assert fetch_row("select status, provider_message_id from messages") == {
        "status": "sent", "provider_message_id": sent["id"],
    }  # fmt: skip
    assert contacts()[0]["tags"] == ["seen"]
    assert len(sandbox.list_messages("instagram", PERSON)) == 1
    deliver_webhooks(event(read={"mid": sent["id"]}))
    assert fetch_value("select status from messages") == "read"
    assert_consistent()


# The sandbox's signature


def test_the_sandbox_imitates_people_in_the_demo_workspace(alice: Alice) -> None:
    automation = alice.automation(TAG, trigger="instagram.message")
    assert deliver_webhooks(message_event("hello"), sandbox=True) == "replied"
    assert count_executions(automation) == [1]


@pytest.mark.parametrize(
    "what", [comment(), message_event("hello"), message_event("STOP"), message_event("yes", reply_to={"mid": "ours-1"})]
)
def test_the_sandbox_imitates_no_person_in_other_workspaces(alice: Alice, what: dict[str, Any]) -> None:
    contact_id = create_contact(alice)
    insert_message(alice, contact_id, sandbox=False)
    before = fetch_value("select count(*) from received_messages")
    execute("update workspaces set demo = false")
    automations = [alice.automation(TAG, trigger=f"instagram.{name}") for name in ("message", "comment")]

    assert deliver_webhooks(what, sandbox=True) == "not of the sandbox"

    assert count_executions(*automations) == [0, 0]
    assert fetch_value("select count(*) from received_messages") == before
    assert fetch_value("select count(*) from suppressions") == 0


def test_the_sandbox_moves_no_message_that_went_to_meta(alice: Alice) -> None:
    deliver_webhooks(message_event("hello", channel="facebook"))
    contact_id, then = contacts()[0]["id"], datetime(2026, 11, 20, 12, tzinfo=UTC)
    real, simulated = (
        insert_message(
            alice, contact_id, channel="facebook", provider_message_id=mid, sent_at=then, sandbox=mid == "m-2"
        )
        for mid in ("m-1", "m-2")
    )
    until = int((then + timedelta(minutes=2)).timestamp() * 1000)
    deliver_webhooks(event("facebook", delivery={"mids": ["m-2", "m-1"], "watermark": until}), sandbox=True)
    assert [read_status(message) for message in (real, simulated)] == ["sent", "delivered"]
    deliver_webhooks(event("facebook", read={"watermark": until}), sandbox=True)
    assert [read_status(message) for message in (real, simulated)] == ["sent", "read"]
    assert deliver_webhooks(event("facebook", read={"mid": "m-1"}), sandbox=True) == "not of the sandbox"
    assert read_status(real) == "sent"


@pytest.mark.parametrize("matched_by", ["our key", "our text"])
def test_an_echo_of_the_sandbox_resolves_no_real_message(alice: Alice, matched_by: str) -> None:
    message = insert_message(
        alice, create_contact(alice), status="outcome_unknown", provider_message_id=None, sent_at=None, sandbox=False
    )
    body = echo(message, **({"metadata": message["key"]} if matched_by == "our key" else {"text": " Hello! "}))
    assert deliver_webhooks(body, sandbox=True) == "not of the sandbox"
    assert read_status(message) == "outcome_unknown"


def test_the_sandbox_cannot_unsend_an_event_of_meta(alice: Alice) -> None:
    deliver_webhooks(message_event("kept", mid="m-1"))
    deliver_webhooks(message_event(None, mid="m-1", is_deleted=True), sandbox=True)
    assert "kept" in str(fetch_rows("select body from inbound_events where not sandbox"))


def test_outside_the_demo_workspace_the_sandbox_moves_a_tests_message(alice: Alice) -> None:
    message = insert_message(alice, create_contact(alice), test=True)
    execute("update workspaces set demo = false")
    assert deliver_webhooks(event(read={"mid": "ours-1"}), sandbox=True) == "read"
    assert read_status(message) == "read"
