"""Counted links: replaced when a message is written, followed to what was stored, and counted once a person."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

import settings as settings_module
from models import message_link
from models.queries import execute, fetch_value
from rules.definition import Step
from sandbox.server import RunningSandbox
from settings import Settings
from tasks.runtime.engine import Engine
from tasks.steps.link_tracking import MAX_LINKS, LinkTracker, find_tracker
from tests.support.factories import Alice, messages, wait_until_finished
from tests.support.rows import fetch_rows
from tests.support.waiting import eventually
from tests.tasks.test_direct_messages import ada, direct, record_received_messages, reset_pacing
from tests.tasks.test_follow_ups import TWO_FOLLOW_UPS, let_a_day_pass, wait_for_follow_up

BASE = "http://127.0.0.1:8080"
_numbers = itertools.count(1)
COUNTED = re.compile(re.escape(BASE) + r"/l/([A-Za-z0-9]{12})")


@pytest.fixture
def alice(engine: Engine) -> Alice:
    reset_pacing()
    return Alice()


def email(body: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": "hello", "action": "send_email", "track_clicks": True,
        "with": {"subject": "Hello", "body": body, **fields},
    }  # fmt: skip


def send(alice: Alice, step: dict[str, Any], **trigger: Any) -> dict[str, Any]:
    """The only message of an execution with this step."""
    event = f"event.e{next(_numbers)}"
    alice.automation([step], trigger=event)
    (message,) = messages(wait_until_finished(alice.trigger(event, **trigger))["id"])
    return message


def list_targets(message: dict[str, Any]) -> dict[str, str]:
    rows = fetch_rows("select token, url from message_links where message_id = %s order by position", (message["id"],))
    return {row["token"]: row["url"] for row in rows}


def list_responses(message: dict[str, Any]) -> list[str]:
    rows = fetch_rows("select kind from message_responses where message_id = %s order by kind", (message["id"],))
    return [row["kind"] for row in rows]


def test_links_of_a_text_lead_through_beckon(alice: Alice, sandbox: RunningSandbox) -> None:
    body = f"See https://a.example/ü#x, https://b.example/?a=1&b=2. Again: https://a.example/ü#x {BASE}/u/abc"
    message = send(alice, email(body))
    targets = list_targets(message)
    assert list(targets.values()) == ["https://a.example/%C3%BC#x", "https://b.example/?a=1&b=2"]
    first, second = (f"{BASE}/l/{token}" for token in targets)
    assert message["body"] == f"See {first}, {second}. Again: {first} {BASE}/u/abc"
    (sent,) = sandbox.list_messages("mailgun")
    assert first in str(sent["body"])
    assert "a.example" not in str(sent["body"])


@pytest.mark.parametrize(
    ("format", "body"),
    [
        ("html", '<p><a class="b" href="https://a.example/?a=1&amp;b={{ contact.first_name }}">x</a></p>'),
        (
            "mjml",
            "<mjml><mj-body><mj-section><mj-column>"
            '<mj-button href="https://a.example/?a=1&amp;b={{ contact.first_name }}">x</mj-button>'
            "</mj-column></mj-section></mj-body></mjml>",
        ),
    ],
)
def test_links_of_html_and_mjml_lead_through_beckon(alice: Alice, format: str, body: str) -> None:
    message = send(alice, email(body, format=format))
    assert list(list_targets(message).values()) == ["https://a.example/?a=1&b=Bob"]
    assert "a.example" not in message["body"]
    assert COUNTED.search(message["body"])


def test_links_of_an_sms_and_of_buttons_lead_through_beckon(alice: Alice, sandbox: RunningSandbox) -> None:
    sms = {"id": "hello", "action": "send_sms", "with": {"body": "https://a.example/" + "x" * 60, "track_clicks": True}}
    assert len(send(alice, sms)["body"]) < 60
    record_received_messages(alice)
    buttons = [{"title": "Shop", "url": "https://shop.example/"}, {"title": "No", "payload": "NO"}]
    step = direct(body="Or https://a.example", buttons=buttons, track_clicks=True)
    alice.automation([step], trigger="message.wanted")
    (message,) = messages(wait_until_finished(alice.trigger("message.wanted", contact=ada()))["id"])
    assert list(list_targets(message).values()) == ["https://a.example", "https://shop.example/"]
    sent = sandbox.list_messages("instagram")[0]["body"]["message"]["attachment"]["payload"]
    assert COUNTED.search(sent["text"])
    assert COUNTED.fullmatch(sent["buttons"][0]["url"])
    assert sent["buttons"][1]["payload"] == "NO"


def test_without_the_field_links_stay(alice: Alice) -> None:
    message = send(alice, {**email("https://a.example"), "track_clicks": False})
    assert (message["body"], list_targets(message), message["detail"]) == ("https://a.example", {}, None)


def test_the_first_click_of_a_person_counts(alice: Alice) -> None:
    message = send(alice, email("https://a.example https://b.example"))
    assert list_responses(message) == ["linked"]
    first, second = list_targets(message)
    assert message_link.follow(first, is_counted=False) == "https://a.example"
    assert list_responses(message) == ["linked"]
    for _ in range(2):
        assert message_link.follow(first, is_counted=True) == "https://a.example"
    clicked_at = fetch_value("select clicked_at from message_links where token = %s", (first,))
    assert message_link.follow(second, is_counted=True) == "https://b.example"
    assert list_responses(message) == ["clicked", "linked"]
    assert fetch_value("select clicked_at from message_links where token = %s", (first,)) == clicked_at
    assert message_link.follow("a" * 12, is_counted=True) is None


def test_a_message_without_links_is_not_one_with_counted_links(alice: Alice) -> None:
    assert list_responses(send(alice, email("Hello"))) == []


def test_links_of_tests_and_of_deleted_contacts_work_and_count_nothing(alice: Alice) -> None:
    test, real = send(alice, email("https://a.example"), test=True), send(alice, email("https://b.example"))
    execute("update contacts set deleted_at = beckon_now() where id = %s", (real["contact_id"],))
    for message, url, responses in ((test, "https://a.example", []), (real, "https://b.example", ["linked"])):
        (token,) = list_targets(message)
        assert message_link.follow(token, is_counted=True) == url
        assert list_responses(message) == responses
    assert fetch_value("select count(clicked_at) from message_links") == 0


def test_a_follow_up_has_links_of_its_own(alice: Alice, settings: Settings) -> None:
    alice.automation([email("https://a.example")], rules=TWO_FOLLOW_UPS)
    let_a_day_pass(wait_for_follow_up(accepted := alice.trigger()), settings)
    first, second = eventually(
        lambda: len(rows := messages(accepted.executions[0]["executionId"])) == 2 and rows[1]["sent_at"] and rows
    )
    assert list(list_targets(first).values()) == list(list_targets(second).values()) == ["https://a.example"]
    assert first["body"] != second["body"]


def test_links_are_removed_with_their_message(alice: Alice) -> None:
    message = send(alice, email("https://a.example"))
    execute("delete from messages where id = %s", (message["id"],))
    assert fetch_value("select count(*) from message_links") == 0


def test_own_and_impossible_links_and_those_beyond_a_hundred_stay() -> None:
    tracker = LinkTracker("https://beckon.example")
    for url in ("https://beckon.example/l/abc", "https://beckon.example/u/abc", "https://ü..b/", "https://"):
        assert tracker.replace(url) == url
    replaced = [tracker.replace(f"https://a.example/{n}") for n in range(MAX_LINKS + 1)]
    assert replaced[-1] == f"https://a.example/{MAX_LINKS}"
    assert len(set(replaced)) == len(tracker.urls_by_token) + 1 == MAX_LINKS + 1
    assert tracker.replace("https://a.example/0") == replaced[0]


@pytest.mark.parametrize(
    ("url", "sandbox", "api", "is_replaced"),
    [
        ("https://beckon.example", False, "https://api.mailgun.net", True),
        ("http://beckon.example", False, "https://api.mailgun.net", False),
        ("http://127.0.0.1:8080", True, "https://api.mailgun.net", True),
        ("http://localhost:8080", False, "http://127.0.0.1:9000", True),
        ("http://127.0.0.1:8080", False, "https://api.mailgun.net", False),
    ],
)
def test_links_are_replaced_where_the_recipient_reaches_beckon(
    url: str, sandbox: bool, api: str, is_replaced: bool
) -> None:
    config: Settings = settings_module.load().replace(url=url, mailgun_base_url=api)
    step = Step("hello", "send_email", track_clicks=True)
    assert (find_tracker(config, step, "mailgun", sandbox=sandbox) is not None) == is_replaced
