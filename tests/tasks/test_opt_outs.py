"""What a contact asks for by a word: STOP suppresses, START lifts what a word made, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from models import contact, possible_opt_out, suppression
from models.audit import SYSTEM
from models.database import acting_as
from models.errors import Conflict
from models.queries import execute, fetch_values
from tasks.runtime.engine import Engine
from tests.support.factories import Alice, execution, wait_for_status, wait_until_finished
from tests.support.rows import fetch_row, fetch_rows
from tests.tasks.test_callbacks import SMS, deliver_callback, mail, send_message, telnyx_received, telnyx_status

BOB = "+15550123"
STOP_REPORT = [{"code": "40300", "title": "Blocked due to STOP message"}]


@pytest.fixture
def alice(engine: Engine) -> Alice:
    return Alice()


@pytest.fixture
def message(alice: Alice) -> dict[str, Any]:
    """A message that was sent to Bob."""
    return send_message(alice, SMS)


def receive(text: str, autoresponse: str | None = None, workspace_id: str | None = None) -> str | None:
    """Receive an SMS of Bob; Telnyx has answered it where it says so."""
    body = telnyx_received(text)
    body["data"]["payload"] |= {"autoresponse_type": autoresponse, "id": body["data"]["id"]}
    return deliver_callback("telnyx", body, workspace_id)


def add(alice: Alice, reason: Any) -> None:
    with acting_as(alice.workspace_id):
        (contact_id,) = fetch_values("select id from contacts where deleted_at is null")
        suppression.add_for_contact(alice.workspace_id, contact_id, "sms", BOB, reason)


def list_reasons() -> list[list[str]]:
    """The reasons of Bob's number, and those of Bob."""
    tables = ("select reason from suppressed_addresses order by 1", "select reason from suppressions order by 1")
    return [[row["reason"] for row in fetch_rows(sql)] for sql in tables]


@pytest.mark.parametrize("stop", ["STOP", "arrêt", "stop please"])
@pytest.mark.parametrize("start", [("START", None), ("unstop", None), ("YES", "START"), ("continue", "OPT_IN")])
def test_start_lifts_what_a_word_made(
    alice: Alice, message: dict[str, Any], stop: str, start: tuple[str, str | None]
) -> None:
    receive(stop)
    assert list_reasons() == [["stopped"], ["stopped"]]
    receive(*start)
    assert list_reasons() == [[], []]
    assert wait_until_finished(alice.trigger())["status"] == "succeeded"
    audit = fetch_row("select actor_kind, detail ->> 'because' as because from audit where action like '%%lifted'")
    assert audit == {"actor_kind": "contact", "because": f"The recipient wrote {start[0]}"}


@pytest.mark.parametrize("text", ["YES", "continue", "start the car", "Hello", "HELP"])
def test_another_word_lifts_nothing(message: dict[str, Any], text: str) -> None:
    receive("STOP")
    receive(text)
    assert list_reasons() == [["stopped"], ["stopped"]]


@pytest.mark.parametrize("reason", ["complained", "operator", "blocked", "bounced"])
def test_start_lifts_no_other_reason(alice: Alice, message: dict[str, Any], reason: str) -> None:
    add(alice, reason)
    receive("START")
    assert list_reasons() == [[reason], [] if reason == "bounced" else [reason]]
    assert fetch_rows("select 1 from audit where action like '%%lifted'") == []


@pytest.mark.parametrize(
    ("text", "autoresponse", "is_free"),
    [("START", "START", True), ("YES", "opt_in", True), ("START", None, False), ("HELP", "HELP", False)],
)
def test_start_that_telnyx_has_answered_lifts_its_block(
    alice: Alice, message: dict[str, Any], text: str, autoresponse: str | None, is_free: bool
) -> None:
    receive("STOP")
    deliver_callback("telnyx", telnyx_status(message, "delivery_failed", errors=STOP_REPORT))
    receive(text, autoresponse)
    assert (list_reasons() == [[], []]) is is_free
    detail = [["stopped", "blocked"]] if is_free else [["stopped"]] if text == "START" else []
    audit = fetch_rows("select detail -> 'reasons' as reasons from audit where action like '%%lifted'")
    assert [row["reasons"] for row in audit] == detail
    assert wait_until_finished(alice.trigger())["status"] == ("succeeded" if is_free else "skipped")


def test_start_that_telnyx_has_answered_lifts_no_complaint(alice: Alice, message: dict[str, Any]) -> None:
    add(alice, "complained")
    add(alice, "blocked")
    receive("START", "START")
    assert list_reasons() == [["complained"], ["complained"]]


@pytest.mark.parametrize("reason", ["complained", "operator"])
def test_a_reason_that_came_after_the_word_stays_with_the_contact(
    alice: Alice, message: dict[str, Any], reason: str
) -> None:
    receive("STOP")
    add(alice, reason)
    receive("START")
    assert list_reasons() == [[reason], [reason]]


def test_a_stop_that_telnyx_reports_after_the_lift_suppresses_again(alice: Alice, message: dict[str, Any]) -> None:
    receive("STOP")
    receive("START")
    deliver_callback("telnyx", telnyx_status(message, "delivery_failed", errors=STOP_REPORT))
    assert list_reasons() == [["blocked"], ["blocked"]]
    assert wait_until_finished(alice.trigger())["skipped_rule"] == "suppressed"


@pytest.mark.parametrize("is_path_own", [True, False])
def test_a_person_whose_contact_was_deleted_opts_out_and_in(
    alice: Alice, message: dict[str, Any], is_path_own: bool
) -> None:
    contact.delete(alice.workspace_id, execution(message["execution_id"])["contact_id"], SYSTEM, lambda: 0)
    workspace_id = alice.workspace_id if is_path_own else None
    assert receive("STOP", None, workspace_id) == "unsubscribed"
    assert wait_until_finished(alice.trigger())["skipped_rule"] == "suppressed"
    receive("START", None, workspace_id)
    assert wait_until_finished(alice.trigger())["status"] == "succeeded"


def test_start_frees_an_erased_address_and_no_other(alice: Alice, message: dict[str, Any]) -> None:
    deliver_callback("telnyx", telnyx_received("STOP", "+15550199"), alice.workspace_id)
    receive("STOP")
    execute("update suppressed_addresses set address = null")
    receive("START")
    assert len(fetch_rows("select 1 from suppressed_addresses")) == 1


# What may be an opt-out


def list_possible(alice: Alice, *, is_resolved: bool = False) -> list[str | None]:
    rows = possible_opt_out.fetch_page(alice.workspace_id, 10, None, is_resolved=is_resolved)
    return [row["text"] for row in rows]


def test_a_doubtful_sms_is_listed_once_and_counts_as_a_reply(alice: Alice) -> None:
    alice.automation(SMS, rules={"follow_ups": {"max": 1, "every": "1h"}})
    waiting = wait_for_status(alice.trigger())
    body = telnyx_received("please no more")
    for _ in range(2):
        deliver_callback("telnyx", body)
    assert list_possible(alice) == ["please no more"]
    assert list_reasons() == [[], []]
    result = wait_until_finished(waiting["id"])
    assert result["follow_up_ended_because"]["rule"] == "replied"


@pytest.mark.parametrize("text", ["please no more", "Je ne veux plus de SMS", "don't text me again"])
def test_a_doubtful_mail_is_listed(alice: Alice, text: str) -> None:
    message = send_message(alice)
    deliver_callback("mailgun_inbound", mail(text, message))
    assert list_possible(alice) == [text]


def test_a_doubtful_subject_of_a_mail_is_not_listed(alice: Alice) -> None:
    message = send_message(alice)
    deliver_callback("mailgun_inbound", {**mail("Thanks!", message), "subject": "Re: no more waiting"})
    assert list_possible(alice) == []


@pytest.mark.parametrize("text", ["HELP", "no more than 5 please", "STOP", "Yes"])
def test_a_clear_text_is_not_listed(alice: Alice, message: dict[str, Any], text: str) -> None:
    receive(text)
    assert list_possible(alice) == []


def test_a_clear_request_resolves_what_was_doubtful_and_nothing_is_listed_after_it(
    alice: Alice, message: dict[str, Any]
) -> None:
    receive("please no more")
    receive("STOP")
    receive("lose my number")
    assert (list_possible(alice), list_possible(alice, is_resolved=True)) == ([], ["please no more"])


def test_suppressing_resolves_all_of_a_contact_and_start_lifts_it(alice: Alice, message: dict[str, Any]) -> None:
    for text in ("please no more", "leave me alone"):
        receive(text)
    first = possible_opt_out.fetch_page(alice.workspace_id, 1, None)[0]
    possible_opt_out.resolve(alice.workspace_id, first["id"], "suppress", SYSTEM)
    assert (list_possible(alice), list_reasons()) == ([], [["stopped"], ["stopped"]])
    with pytest.raises(Conflict):
        possible_opt_out.resolve(alice.workspace_id, first["id"], "dismiss", SYSTEM)
    receive("START")
    assert list_reasons() == [[], []]


def test_a_deleted_contact_s_text_is_removed_and_its_address_can_still_be_suppressed(
    alice: Alice, message: dict[str, Any]
) -> None:
    receive("please no more")
    contact.delete(alice.workspace_id, execution(message["execution_id"])["contact_id"], SYSTEM, lambda: 0)
    (row,) = possible_opt_out.fetch_page(alice.workspace_id, 1, None)
    assert row["text"] is None
    possible_opt_out.resolve(alice.workspace_id, row["id"], "suppress", SYSTEM)
    assert wait_until_finished(alice.trigger())["skipped_rule"] == "suppressed"
