"""Received messages: stored once in any order of arrival, and deleted with the contact."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models import contact, conversation
from models.audit import SYSTEM
from models.database import acting_as, transaction
from models.ids import new_id
from models.queries import execute, fetch_value
from tests.models.test_contact import create_contact
from tests.support.rows import fetch_row, fetch_rows

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def bob(alices: str) -> str:
    return create_contact(alices, first_name="Bob", instagram_id="157")


@pytest.fixture
def record_message(alices: str, bob: str) -> Any:
    """Record a message of Bob's on Instagram, `minutes` after noon."""

    def record(mid: str, minutes: float = 0, text: str | None = "hi", kind: str = "message") -> dict[str, Any]:
        with transaction():
            return conversation.record_received(
                alices, bob, "instagram", mid, kind=kind, text=text, at=NOON + timedelta(minutes=minutes)
            )

    return record


def fetch_received(mid: str) -> dict[str, Any]:
    with transaction():
        row = fetch_row(
            "select text, edited_at, deleted_at from received_messages where provider_message_id = %s", (mid,)
        )
    assert row is not None
    return row


def fetch_last_received(bob: str) -> dict[str, datetime]:
    with transaction():
        rows = fetch_rows("select channel, last_received_at from conversations where contact_id = %s", (bob,))
    return {row["channel"]: row["last_received_at"] for row in rows}


def test_a_message_received_twice_is_stored_once(record_message: Any, bob: str) -> None:
    assert record_message("m1")["id"] == record_message("m1")["id"]
    with transaction():
        assert fetch_value("select count(*) from received_messages") == 1


def test_the_last_received_time_only_moves_forward(record_message: Any, bob: str) -> None:
    for mid, minutes in (("m2", 2), ("m1", 1), ("m3", 3)):
        record_message(mid, minutes)
    assert fetch_last_received(bob) == {"instagram": NOON + timedelta(minutes=3)}


@pytest.mark.parametrize("kind", ["comment", "reaction"])
def test_a_comment_and_a_reaction_do_not_extend_the_messaging_window(record_message: Any, bob: str, kind: str) -> None:
    record_message("m1", kind=kind)
    assert fetch_last_received(bob) == {}


@pytest.mark.parametrize("kind", sorted(conversation.PRIVATE_MESSAGE_KINDS))
def test_a_private_message_opens_the_messaging_window(record_message: Any, bob: str, kind: str) -> None:
    record_message("m1", kind=kind)
    assert fetch_last_received(bob) == {"instagram": NOON}


@pytest.mark.parametrize("edits", [("first", "second"), ("second", "first")])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_last_edit_wins_in_any_order_of_arrival(
    record_message: Any, alices: str, bob: str, edits: Any, place: int
) -> None:
    operations: list[Any] = [
        lambda text=text: conversation.record_edited(
            alices, bob, "instagram", "m1", text, NOON + timedelta(minutes=1 if text == "first" else 2)
        )
        for text in edits
    ]
    operations.insert(place, lambda: record_message("m1", text="as it was"))
    for operation in operations:
        with transaction():
            operation()
    assert fetch_received("m1")["text"] == "second"


@pytest.mark.parametrize("deleted_first", [True, False])
def test_an_unsent_message_keeps_no_text(record_message: Any, alices: str, bob: str, deleted_first: bool) -> None:
    if not deleted_first:
        record_message("m1")
    with transaction():
        conversation.record_deleted(alices, bob, "instagram", "m1", NOON + timedelta(minutes=1))
    if deleted_first:
        assert record_message("m1")["deleted_at"] is not None
    with transaction():
        conversation.record_edited(alices, bob, "instagram", "m1", "late", NOON + timedelta(minutes=2))
    assert fetch_received("m1")["text"] is None
    assert fetch_received("m1")["deleted_at"] is not None


def _insert_sent_message(workspace_id: str, contact_id: str, body: str, minutes: float, test: bool = False) -> None:
    at = NOON + timedelta(minutes=minutes)
    with acting_as(workspace_id):
        execute(
            "insert into messages (id, workspace_id, execution_id, automation_id, contact_id, step_id, key, channel, "
            "provider, sandbox, test, to_address, body, status, sent_at, created_at, updated_at) values "
            "(%s, %s, %s, %s, %s, 'hello', %s, 'instagram', 'instagram', true, %s, '157', %s, 'sent', %s, %s, %s)",
            (new_id(), workspace_id, new_id(), new_id(), contact_id, new_id(), test, body, at, at, at),
        )


def test_a_conversation_has_both_directions_in_order_without_tests(record_message: Any, alices: str, bob: str) -> None:
    record_message("m1", 1, "price?")
    _insert_sent_message(alices, bob, "12 euros", 2)
    _insert_sent_message(alices, bob, "a test", 2.5, test=True)
    record_message("m2", 3, "thanks")
    record_message("m0", 0, "hello")
    with transaction():
        messages = conversation.list_recent(bob, 3)
    assert [(message["direction"], message["text"]) for message in messages] == [
        ("in", "price?"), ("out", "12 euros"), ("in", "thanks"),
    ]  # fmt: skip


def test_deleting_a_contact_deletes_its_received_messages(record_message: Any, alices: str, bob: str) -> None:
    record_message("m1")
    contact.delete(alices, bob, SYSTEM, lambda: 0)
    with transaction():
        assert (
            fetch_value("select count(*) from received_messages")
            == fetch_value("select count(*) from conversations")
            == 0
        )
