"""HELP by SMS is answered once, where the workspace has a text and the provider has not answered."""

from __future__ import annotations

from typing import Any

import pytest

from models import help_reply, pause, workspace_preferences
from models.audit import SYSTEM
from models.queries import execute
from sandbox.server import RunningSandbox
from settings import Settings
from tasks import periodic_jobs
from tasks.runtime.engine import Engine
from tasks.steps.help_replies import send_help_reply
from tests.support.factories import Alice, wait_until_finished
from tests.support.rows import fetch_row, fetch_rows
from tests.support.waiting import eventually
from tests.tasks.test_callbacks import SMS, deliver_callback, send_message, telnyx_received

TEXT = "Call +1 555 0100 or write to help@example.com. Reply STOP to end."


@pytest.fixture
def alice(engine: Engine) -> Alice:
    alice = Alice()
    set_text(alice, TEXT)
    send_message(alice, SMS)
    return alice


def set_text(alice: Alice, text: str | None) -> None:
    workspace_preferences.change(alice.workspace_id, "sender", {"help_text": text}, SYSTEM)


def receive(text: str = "HELP", autoresponse: str | None = None, **options: Any) -> None:
    body = telnyx_received(text)
    body["data"]["payload"]["autoresponse_type"] = autoresponse
    deliver_callback("telnyx", body, **options)


def list_texts(sandbox: RunningSandbox) -> list[tuple[str, str]]:
    """The sender and text of each message to Bob after the first."""
    sent = [message["body"] for message in sandbox.list_messages("telnyx") if message["to"] == "+15550123"]
    return [(body.get("from"), body["text"]) for body in sent[1:]]


def read_reply() -> dict[str, Any] | None:
    return fetch_row("select status, error, to_address from help_replies")


def wait_until_sent() -> None:
    eventually(lambda: (read_reply() or {}).get("status") in ("sent", "failed"))


@pytest.mark.parametrize("text", ["HELP", "info", "Aide", "¿Ayuda?"])
def test_help_is_answered_once_from_the_number_that_received_it(
    alice: Alice, sandbox: RunningSandbox, text: str
) -> None:
    body = telnyx_received(text)
    for _ in range(2):
        deliver_callback("telnyx", body)
    wait_until_sent()
    assert list_texts(sandbox) == [("+15550000", TEXT)]
    assert read_reply() == {"status": "sent", "error": None, "to_address": None}


def test_help_is_answered_to_a_number_that_opted_out_and_lifts_nothing(alice: Alice, sandbox: RunningSandbox) -> None:
    receive("STOP")
    assert list_texts(sandbox) == []
    receive()
    wait_until_sent()
    assert list_texts(sandbox) == [("+15550000", TEXT)]
    assert wait_until_finished(alice.trigger())["skipped_rule"] == "suppressed"


@pytest.mark.parametrize(
    ("text", "autoresponse", "help_text"),
    [("HELP", "HELP", TEXT), ("HELP", None, None), ("please help me", None, TEXT), ("STOP", None, TEXT),
     ("START", None, TEXT), ("support", "HELP", TEXT)],
)  # fmt: skip
def test_nothing_else_is_answered(alice: Alice, text: str, autoresponse: str | None, help_text: str | None) -> None:
    set_text(alice, help_text)
    receive(text, autoresponse)
    assert fetch_rows("select 1 from help_replies") == []


def test_a_refused_answer_is_recorded_and_not_repeated(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    sandbox.add_fault(provider="telnyx", fault="reset_after", times=1)
    receive()
    wait_until_sent()
    reply = read_reply()
    assert reply is not None
    assert (reply["status"], reply["to_address"]) == ("failed", None)
    execute("update help_replies set created_at = created_at - interval '1 minute'")
    assert periodic_jobs.enqueue_waiting_callbacks(settings) == {"rung": 0}
    assert list_texts(sandbox) == [("+15550000", TEXT)]


def test_a_pause_delays_the_answer(alice: Alice, sandbox: RunningSandbox, settings: Settings) -> None:
    pause.start("provider", "telnyx", alice.workspace_id)
    receive()
    (row,) = fetch_rows("select id from help_replies")
    send_help_reply.fn(row["id"])
    assert fetch_rows("select status from help_replies") == [{"status": "pending"}]
    pause.resume("provider", "telnyx", alice.workspace_id)
    execute("update help_replies set created_at = created_at - interval '1 minute'")
    periodic_jobs.enqueue_waiting_callbacks(settings)
    wait_until_sent()
    assert list_texts(sandbox) == [("+15550000", TEXT)]


def test_a_number_gets_a_bounded_number_of_answers(alice: Alice) -> None:
    for _ in range(help_reply.MAX_PER_HOUR + 2):
        receive()
    assert len(fetch_rows("select 1 from help_replies")) == help_reply.MAX_PER_HOUR
