"""The pages: permissions, links of counts, and texts."""

from __future__ import annotations

import html
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

import clock
import settings
from models import database, user
from models.database import acting_as
from models.queries import execute, fetch_value
from tests.dashboard import example_executions
from tests.dashboard.producers import PASSWORD, Producer, definition
from tests.dashboard.route_table import read_table
from tests.support import histories

Browser = FlaskClient


def join(workspace_id: str, role: Any, email: str) -> None:
    """Add a person with the service role, because the dashboard role cannot."""
    config = settings.load()
    database.db.close_all()
    database.open_pool(config.database_service_url, "beckon_service", 8)
    user.join(workspace_id, user.create(email, "Bob", PASSWORD), role)
    database.db.close_all()
    database.open_pool(config.database_app_url, "beckon_app", 8)


def read_token(page: str) -> str:
    match = re.search(r'name="csrf_token" value="([0-9a-f]+)"', page)
    assert match is not None
    return match[1]


def sign_in_as(browser: Browser, producer: Producer, role: str = "operator") -> Browser:
    join(producer.workspace_id, role, "bob@example.com")
    fields = {"email": "bob@example.com", "password": PASSWORD, "csrf_token": read_token(browser.get("/sign-in").text)}
    assert browser.post("/sign-in", data=fields).status_code == 303
    return browser


def post(browser: Browser, path: str, **fields: str | list[str]) -> Any:
    return browser.post(path, data={"csrf_token": read_token(browser.get("/automations").text), **fields})


def list_ids(browser: Browser, path: str) -> list[str]:
    return re.findall(r'<li id="e-([0-9a-f-]{36})"', browser.get(path).text)


def read_text(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


@pytest.fixture
def bob(alice: Producer, client: FlaskClient) -> Browser:
    """Bob's browser; he is an operator in Alice's workspace."""
    return sign_in_as(client, alice)


@pytest.fixture
def automation(alice: Producer) -> dict[str, Any]:
    return alice.create()


def test_every_count_of_the_summary_bar_links_to_its_list(
    bob: Browser, alice: Producer, automation: dict[str, Any]
) -> None:
    soon = clock.now() + timedelta(hours=1)
    example_executions.create_execution(alice, automation, status="pending", stage="queued")
    example_executions.create_execution(
        alice, automation, status="running", stage="checking", lease_owner="w", lease_until=soon, started_at=clock.now()
    )
    for _ in range(2):
        example_executions.create_execution(
            alice, automation, status="waiting", stage="sent", waiting_for="time", due_at=soon
        )
    example_executions.create_sent(alice, automation, clock.now())
    example_executions.create_sent(alice, automation, clock.now() - timedelta(days=2))
    for _ in range(3):
        example_executions.create_failed(alice, automation)
    example_executions.create_unknown(alice, automation)
    example_executions.create_execution(
        alice, automation, status="skipped", stage="skipped", skipped_rule="tags", created_at=clock.now()
    )
    example_executions.create_execution(alice, automation, status="pending", stage="queued", test=True)
    page = bob.get("/summary").text
    numbers = re.findall(r'<a href="([^"]+)"[^>]*><span>([^<]+)</span><strong>(\d+)</strong>', page)

    assert {name: int(count) for _, name, count in numbers} == {
        "Pending": 1, "Running": 1, "Waiting": 2, "Sent today": 1, "Failed": 3, "Skipped today": 1, "Unknown": 1,
    }  # fmt: skip
    for path, name, count in numbers:
        assert (name, len(list_ids(bob, html.unescape(path)))) == (name, int(count))


def test_the_counts_of_a_card_link_to_their_lists(bob: Browser, alice: Producer, automation: dict[str, Any]) -> None:
    example_executions.create_execution(alice, automation, status="pending", stage="queued")
    other = alice.create(name="Other")
    example_executions.create_execution(alice, other)
    page = bob.get("/automations").text
    link = next(href for href in re.findall(r'<a href="([^"]+)" data-count="active"><b>1</b> active', page))
    (only,) = list_ids(bob, html.unescape(link))
    assert alice.get(f"/api/executions/{only}").json["execution"]["automationId"] == automation["id"]


def test_a_card_says_what_its_success_rate_is_of(bob: Browser, alice: Producer, automation: dict[str, Any]) -> None:
    assert "No finished executions" in read_text(bob.get("/automations").text)
    with acting_as(alice.workspace_id):
        execute("update automations set executions = 1, skipped = 1 where id = %s", (automation["id"],))
    assert "None succeeded or failed" in read_text(bob.get("/automations").text)
    example_executions.create_unknown(alice, automation)
    with acting_as(alice.workspace_id):
        execute("update automations set executions = 2, failed = 1 where id = %s", (automation["id"],))
    assert "None succeeded or failed" in read_text(bob.get("/automations").text)
    with acting_as(alice.workspace_id):
        execute("update automations set executions = 4, failed = 2, succeeded = 1 where id = %s", (automation["id"],))
    assert "50% success rate, without unknown outcomes" in read_text(bob.get("/automations").text)


def test_automations_are_filtered_by_the_url(bob: Browser, alice: Producer) -> None:
    alice.create(name="Welcome")
    alice.create(name="Farewell", enabled=False)
    list_names = lambda query: re.findall(r'<article[^>]* aria-label="([^"]+)"', bob.get(f"/automations?{query}").text)  # noqa: E731
    assert list_names("q=fare&enabled=") == list_names("enabled=false") == ["Farewell"]
    assert list_names("type=workflow") == ["Farewell", "Welcome"]
    assert "No matching automations" in bob.get("/automations?q=nothing").text


def test_automations_are_filtered_by_channel(bob: Browser, alice: Producer) -> None:
    text = {"id": "text", "action": "send_sms", "with": {"body": "Hi"}}
    direct = {"id": "dm", "action": "send_message", "with": {"channel": "instagram", "body": "Hi"}}
    fork = {"id": "fork", "action": "branch", "if": "contact.email == 'a'", "then": [text], "else": [direct]}
    alice.create(name="E-mail")
    alice.create(name="Both", definition={"trigger": {"type": "a"}, "steps": [fork]})
    alice.create(name="Facebook", definition={"trigger": {"type": "a"}, "steps": [
        {"id": "note", "action": "notify", "with": {"channel": "slack", "text": "instagram"}},
        {**direct, "with": {"channel": "facebook", "body": "Hi"}},
    ]})  # fmt: skip
    names = {
        channel: [row["name"] for row in alice.get(f"{alice.automations}?channel={channel}").json["automations"]]
        for channel in ("email", "sms", "instagram", "facebook", "slack", "webhook")
    }
    assert names == {
        "email": ["E-mail"], "sms": ["Both"], "instagram": ["Both"], "facebook": ["Facebook"], "slack": ["Facebook"],
        "webhook": [],
    }  # fmt: skip
    page = bob.get("/automations?channel=sms&type=").text
    assert re.findall(r'<article[^>]* aria-label="([^"]+)"', page) == ["Both"]
    assert '<option value="sms" selected>' in page
    assert bob.get("/automations?channel=fax").status_code == 422
    assert alice.get(f"{alice.automations}?channel=").status_code in (200, 422)


def test_the_switch_says_what_it_will_do(bob: Browser, alice: Producer, automation: dict[str, Any]) -> None:
    example_executions.create_execution(alice, automation, status="pending", stage="queued")
    path = f"/automations/{automation['id']}"
    for page in ("/automations", path):
        assert (
            'title="Turn off: triggers no longer start this automation. 1 active execution. '
            'Those not past checking are skipped, the others finish."'
        ) in bob.get(page).text
    post(bob, f"{path}/toggle", enabled="false")
    for page in ("/automations", path):
        assert 'title="Turn on: triggers start this automation"' in bob.get(page).text
        assert "Off: triggers are ignored; active executions finish" in read_text(bob.get(page).text)


def test_a_duplicate_is_a_draft_that_is_off(bob: Browser, alice: Producer, charlie: Producer) -> None:
    source = "# Kept\ntrigger: {type: hook}\nsteps:\n  - {id: text, action: send_sms, with: {body: Hi}}\n"
    original = alice.post(alice.automations, {"name": "Welcome", "source": source}).json["automation"]
    path = f"{alice.automations}/{original['id']}"
    copy = alice.post(f"{path}/duplicate").json["automation"]
    assert (copy["name"], copy["enabled"], copy["version"], copy["hasDraft"], copy["executions"]) == (
        "Copy of Welcome", False, 0, True, 0,
    )  # fmt: skip
    assert alice.get(f"{alice.automations}/{copy['id']}/draft").json["draft"]["source"] == source
    assert alice.post(f"{path}/duplicate", {"name": "Mine"}).json["automation"]["name"] == "Mine"
    response = post(bob, f"/automations/{original['id']}/duplicate")
    assert response.status_code == 303
    assert response.headers["Location"].endswith("/edit")
    page = bob.get("/automations").text
    assert page.count("Publish a version first. Without one nothing can start") == 3
    assert alice.post(f"{alice.automations}/{copy['id']}/duplicate").json["automation"]["name"] == (
        "Copy of Copy of Welcome"
    )
    long = alice.create(name="x" * 200)
    assert len(alice.post(f"{alice.automations}/{long['id']}/duplicate").json["automation"]["name"]) == 200
    assert charlie.post(f"{charlie.automations}/{original['id']}/duplicate").status_code == 404
    alice.request("DELETE", f"{alice.automations}/{copy['id']}/draft?revision=1")
    assert alice.post(f"{alice.automations}/{copy['id']}/duplicate").status_code == 409


def test_an_empty_workspace_shows_what_to_do_next(bob: Browser) -> None:
    assert "beckon automation import" in bob.get("/automations").text
    assert "beckon trigger" in bob.get("/executions").text


def test_a_test_trigger_opens_the_monitor_with_its_executions(bob: Browser, automation: dict[str, Any]) -> None:
    for sample, people in (("1", 1), ("3", 4)):
        response = post(bob, f"/automations/{automation['id']}/test", sample=sample)
        assert (response.status_code, response.headers["Location"]) == (303, f"/automations/{automation['id']}/monitor")
        page = bob.get(response.headers["Location"]).text
        assert page.count('<span class="badge">test</span>') == people
        assert "<strong>Ada Byron" in page


def test_an_invalid_test_shows_each_problem_at_its_field(bob: Browser, alice: Producer) -> None:
    document = definition(type="instagram.comment", **{"with": {"keywords": ["spring"]}})
    path = f"/automations/{alice.create(definition=document)['id']}/test"
    assert "I would like to know more: spring" in bob.get(path).text
    for sample, event, problem in (
        ("nonsense", "{}", "must be a whole number from 1 to 100"),
        ("-2", "{}", "must be a whole number from 1 to 100"),
        ("101", "{}", "must be a whole number from 1 to 100"),
        ("1", "{", "is not valid JSON"),
        ("1", "[1]", "must be a JSON object"),
        ("1", "{}", "<code>comment</code> is required"),
        ("1", '{"comment": {"id": 7, "text": "x"}}', "<code>comment.id</code> must be a string, not a number"),
        ("1", '{"a": "\\u0000"}', "<code>a</code>"),
        ("1", "x" * 100_001, "must have at most 100,000 characters"),
    ):
        response = post(bob, path, sample=sample, event=event)
        assert (response.status_code, problem in response.text) == (422, True), problem
    # What was entered stays.
    assert "x &amp; y" in post(bob, path, sample="0", event='{"x & y": 1}').text


def test_an_edited_event_starts_the_test_with_its_payload(
    bob: Browser, alice: Producer, automation: dict[str, Any]
) -> None:
    path = f"/automations/{automation['id']}/test"
    assert post(bob, path, sample="1", event='{"plan": "pro"}').status_code == 303
    with acting_as(alice.workspace_id):
        assert fetch_value("select payload from triggers") == {"plan": "pro"}


def test_a_test_trigger_goes_to_selected_contacts_and_reports_missing_ones(
    bob: Browser, alice: Producer, charlie: Producer, automation: dict[str, Any]
) -> None:
    path = f"/automations/{automation['id']}/test"
    ada, jane = (
        histories.insert_contact(alice.workspace_id, "Ada Byron"),
        histories.insert_contact(alice.workspace_id, "Jane Smith"),
    )
    theirs = histories.insert_contact(charlie.workspace_id, "Carl Secret")
    page = bob.get(path).text
    assert ada in page
    assert theirs not in page
    search_response = post(bob, path, find="1", q="jane", contactId=[ada, theirs, "nonsense"])
    assert re.findall(r'value="([0-9a-f-]{36})"( checked)?', search_response.text) == [(ada, " checked"), (jane, "")]
    response = post(bob, path, chosen="1", contactId=[ada, jane, theirs])
    assert response.headers["Location"] == f"/automations/{automation['id']}/monitor"
    page = bob.get(response.headers["Location"]).text
    assert "1 of 3 did not start" in page
    assert page.count('<span class="badge">test</span>') == 2
    assert post(bob, path, chosen="1", contactId=[theirs]).headers["Location"] == path
    assert "choose at least one contact" in post(bob, path, chosen="1").text


def test_the_monitor_works_without_a_script_in_its_workspace_only(
    bob: Browser, charlie: Producer, automation: dict[str, Any]
) -> None:
    page = bob.get(f"/automations/{automation['id']}/monitor").text
    assert "No active contacts" in page
    assert "As of " in page
    for path in (charlie.create()["id"], "nonsense"):
        assert bob.get(f"/automations/{path}/monitor").status_code == 404
    assert bob.get(f"/automations/{automation['id']}/monitor?test=maybe").status_code == 422


def test_deleting_asks_first_with_the_number_of_active_executions(
    bob: Browser, alice: Producer, automation: dict[str, Any]
) -> None:
    for _ in range(2):
        example_executions.create_execution(alice, automation, status="pending", stage="queued")
    path = f"/automations/{automation['id']}/delete"
    assert "2 active executions" in read_text(bob.get(path).text)
    assert post(bob, path).headers["Location"] == "/automations"
    assert "2 active executions cancelled" in read_text(bob.get("/automations").text)
    assert "executions cancelled" not in bob.get("/automations").text
    assert bob.get(path).status_code == 404


def test_a_bulk_action_changes_what_its_preview_counted(
    bob: Browser, alice: Producer, automation: dict[str, Any]
) -> None:
    for _ in range(2):
        example_executions.create_failed(alice, automation)
    spared = example_executions.create_failed(alice, automation, error_class="timeout")
    question = bob.get("/executions/all/retry?errorClass=network&time=hour").text
    assert "Retry 2 executions?" in question
    fields = {name: html.unescape(text) for name, text in re.findall(r'name="(\w+)" value="([^"]*)"', question)}
    response = bob.post("/executions/all/retry", data=fields)
    assert response.headers["Location"] == "/executions?errorClass=network&time=hour"
    assert "2 executions retried" in bob.get("/executions").text
    assert list_ids(bob, "/executions?status=failed") == [spared]


def test_a_failed_execution_shows_its_timeline_and_is_retried(
    bob: Browser, alice: Producer, automation: dict[str, Any]
) -> None:
    execution_id = example_executions.create_failed(
        alice, automation, contact_id=example_executions.create_contact(alice, "Ada")
    )
    timeline = read_text(bob.get(f"/executions/{execution_id}").text)
    for text in (
        "Ada",
        "Queued",
        "Generating",
        "hello, attempt 1 · Network: No route to Mailgun.",
        "Workflow version 1",
    ):
        assert text in timeline
    assert post(bob, f"/executions/{execution_id}/retry").status_code == 303
    page = read_text(bob.get(f"/executions/{execution_id}").text)
    assert "Execution resumes at its failed step." in page
    assert "Due now" in page


def test_a_filter_by_time_is_shown_in_the_zone_of_the_page(bob: Browser) -> None:
    query = "sentFrom=2026-11-30T18:53:18.682000%2B00:00&stageTo=2026-11-30T19:06:42.203962%2B00:00"
    page = read_text(bob.get(f"/executions?{query}").text)
    assert "sent from 30 Nov 18:53" in page
    assert "at this stage since before 30 Nov 19:06" in page


def test_actions_that_the_status_forbids_are_not_offered_and_rejected(
    bob: Browser, alice: Producer, automation: dict[str, Any]
) -> None:
    execution_id = example_executions.create_execution(alice, automation)
    page = bob.get(f"/executions/{execution_id}").text
    assert "/retry" not in page
    assert "/cancel" not in page
    assert 'hx-trigger="every 2s"' not in page
    post(bob, f"/executions/{execution_id}/retry")
    assert "Only a failed execution can be retried" in bob.get(f"/executions/{execution_id}").text


def test_a_message_of_unknown_outcome_is_resolved_on_the_page(
    bob: Browser, alice: Producer, automation: dict[str, Any]
) -> None:
    execution_id = example_executions.create_unknown(alice, automation)
    page = bob.get(f"/executions/{execution_id}").text
    path = next(action for action in re.findall(r'action="([^"]+/messages/[^"]+/sent)"', page))
    assert post(bob, path).status_code == 303
    with acting_as(alice.workspace_id):
        assert fetch_value("select status from messages where execution_id = %s", (execution_id,)) == "sent"


def test_an_unknown_outcome_shows_the_next_look_up_or_that_it_needs_a_decision(
    bob: Browser, alice: Producer, automation: dict[str, Any]
) -> None:
    look_up_at = clock.now() + timedelta(seconds=250)
    checked = example_executions.create_unknown(alice, automation, look_up_at=look_up_at)
    text = "Checking with Mailgun, next look-up in 4 min"
    assert "Unknown 1 being checked" in read_text(bob.get("/summary").text)
    page = read_text(bob.get(f"/executions/{checked}").text)
    assert text in page
    assert "Failed Being checked" in page

    undecided = example_executions.create_unknown(alice, automation)
    assert "Unknown 2 1 needs a decision" in read_text(bob.get("/summary").text)
    page = read_text(bob.get(f"/executions/{undecided}").text)
    assert "Failed Needs a decision" in page
    assert "next look-up" not in page


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"stage": "failed", "waiting_for": "retry", "next_retry_at": 200, "attempt": 2}, "Retry 2 of 3 in 3 min"),
        ({"stage": "eligible", "waiting_for": "window", "due_at": 2530}, "Active hours begin in 42 min"),
        ({"stage": "ready_to_send", "waiting_for": "time", "due_at": 310}, "Sends in 5 min"),
        ({"stage": "sent", "waiting_for": "time", "due_at": 5410}, "Continues in 1 h 30 min"),
        ({"stage": "sent", "waiting_for": "pause"}, "Paused"),
        (
            {"stage": "sent", "waiting_for": "event", "wait_event": "contact.replied", "due_at": 5410},
            "Waiting for a reply, times out in 1 h 30 min",
        ),
        (
            {"stage": "sent", "waiting_for": "event", "wait_event": "invoice.paid", "due_at": 5410},
            "Waiting for invoice.paid, times out in 1 h 30 min",
        ),
    ],
)
def test_the_list_shows_what_happens_next(
    bob: Browser, alice: Producer, automation: dict[str, Any], fields: dict[str, Any], text: str
) -> None:
    times = {
        name: clock.now() + timedelta(seconds=fields[name]) for name in ("due_at", "next_retry_at") if name in fields
    }
    if "next_retry_at" in times:
        times["due_at"] = times["next_retry_at"]
    example_executions.create_execution(alice, automation, status="waiting", **{**fields, **times})
    assert text in read_text(bob.get("/executions").text)


def test_follow_ups_are_shown_and_stopped_on_the_page(bob: Browser, alice: Producer) -> None:
    steps = [{"id": "hello", "action": "send_email", "with": {"subject": "x", "body": "x"}}]
    definition = {"trigger": {"type": "x"}, "rules": {"follow_ups": {"max": 3, "every": "2d"}}, "steps": steps}
    automation = alice.create(definition=definition)
    execution_id = example_executions.create_execution(
        alice, automation, status="waiting", stage="sent", waiting_for="follow_up", wait_event="contact.replied",
        due_at=clock.now() + timedelta(hours=5, seconds=30), round=1, follow_up_count=1,
    )  # fmt: skip
    example_executions.create_message(alice, automation, execution_id, round=1, key=f"{execution_id}:hello:1")
    page = read_text(bob.get(f"/executions/{execution_id}").text)
    assert "Follow-up 2 of 3 in 5 h unless the contact replies" in page
    assert "1 of 3 sent" in page
    assert "Follow-up 1 E-mail to ada@example.com" in page

    assert post(bob, f"/executions/{execution_id}/stop-follow-ups").status_code == 303

    with acting_as(alice.workspace_id):
        assert (
            fetch_value("select follow_ups_stopped->>'rule' from executions where id = %s", (execution_id,))
            == "stopped"
        )
        assert fetch_value("select due_at <= beckon_now() from executions where id = %s", (execution_id,))


def test_a_message_is_edited_and_approved_on_the_page(
    bob: Browser, alice: Producer, automation: dict[str, Any]
) -> None:
    execution_id = example_executions.create_execution(
        alice, automation, status="waiting", stage="ready_to_send", waiting_for="review"
    )
    message = example_executions.create_message(
        alice, automation, execution_id, status="review", body="Hello <b>you</b>\nthere"
    )
    assert "Waiting 1 1 to review" in read_text(bob.get("/executions").text)
    assert list_ids(bob, "/executions?status=waiting&review=true&test=false") == [execution_id]
    page = bob.get(f"/executions/{execution_id}").text
    assert "<textarea" in page
    assert "Hello &lt;b&gt;you&lt;/b&gt;" in page

    refused = post(bob, f"/executions/{execution_id}/messages/{message}/approve", body="  ")
    assert "The text" in read_text(bob.get(refused.location).text)
    assert post(bob, f"/executions/{execution_id}/messages/{message}/approve", body="Hello\r\nAda").status_code == 303

    with acting_as(alice.workspace_id):
        assert (
            fetch_value("select status || ': ' || body from messages where id = %s", (message,))
            == "pending: Hello\nAda"
        )
        assert fetch_value("select due_at <= beckon_now() from executions where id = %s", (execution_id,))
    again = post(bob, f"/executions/{execution_id}/messages/{message}/reject")
    assert "Only a message in review" in read_text(bob.get(again.location).text)


def test_a_direct_message_shows_its_way_buttons_and_truncation(
    bob: Browser, alice: Producer, automation: dict[str, Any]
) -> None:
    execution_id = example_executions.create_execution(alice, automation)
    detail = {"way": "private_reply", "shortenedFrom": 1400, "buttons": [{"title": "Send <it>", "payload": "SEND"}]}
    example_executions.create_message(
        alice, automation, execution_id, channel="instagram", to_address="178", detail=json.dumps(detail)
    )

    page = bob.get(f"/executions/{execution_id}").text

    assert "Instagram, private reply to 178" in read_text(page)
    assert "[Send &lt;it&gt;]" in page
    assert "Shortened from 1400 characters" in page


def test_a_generated_text_shows_its_cost_and_a_fallback_its_reason(
    bob: Browser, alice: Producer, automation: dict[str, Any]
) -> None:
    execution_id, other = (
        example_executions.create_execution(alice, automation),
        example_executions.create_execution(alice, automation),
    )
    example_executions.add_generated_text(
        alice,
        execution_id,
        {"text": "Hi", "model": "gemini-2.5-flash", "inputTokens": 9, "outputTokens": 84, "finishReason": "STOP"},
    )
    why = "Gemini's safety filter refused its own response (SAFETY)."
    example_executions.add_generated_text(alice, other, {"text": "Hi", "fallback": True, "fallbackBecause": why})
    page = read_text(bob.get(f"/executions/{execution_id}").text)
    assert "write · gemini-2.5-flash · 84 tokens · finish STOP" in page
    assert "1.2 s" in page
    assert f"write · fallback text, because {why}" in read_text(bob.get(f"/executions/{other}").text)


def test_a_past_error_is_only_in_the_timeline(bob: Browser, alice: Producer, automation: dict[str, Any]) -> None:
    later = clock.now() + timedelta(seconds=7210)
    example_executions.create_execution(
        alice, automation, status="waiting", stage="sent", waiting_for="time", due_at=later, attempt=2,
        error_class="provider_5xx", error_message="Gemini failed.", next_retry_at=clock.now(),
    )  # fmt: skip
    execution_id = example_executions.create_execution(
        alice, automation, error_class="network", error_message="No route.", execution_time_ms=2500
    )
    page = read_text(bob.get("/executions").text)
    assert "Continues in 2 h" in page
    assert "Done in 2.5 s" in page
    assert "Error details" not in bob.get(f"/executions/{execution_id}").text


def test_a_viewer_reads_pages_and_changes_nothing(
    alice: Producer, client: FlaskClient, automation: dict[str, Any]
) -> None:
    viewer = sign_in_as(client, alice, "viewer")
    execution_id = example_executions.create_failed(alice, automation)
    for path in ("/automations", "/executions", f"/executions/{execution_id}", "/summary"):
        page = viewer.get(path)
        assert page.status_code == 200
        assert not re.search(r'action="/(automations|executions)/[^"]*/(test|retry|cancel|discard|delete)"', page.text)
    for path in (
        f"/automations/{automation['id']}/toggle", f"/automations/{automation['id']}/test",
        f"/automations/{automation['id']}/delete", f"/executions/{execution_id}/retry", "/executions/all/discard",
    ):  # fmt: skip
        assert (path, post(viewer, path).status_code) == (path, 403)
    assert viewer.get("/executions/all/retry").status_code == 403


def test_objects_of_another_workspace_are_404(bob: Browser, charlie: Producer, automation: dict[str, Any]) -> None:
    theirs = charlie.create(name="Secret plan")
    execution_id = example_executions.create_failed(charlie, theirs)
    assert "Secret plan" not in bob.get("/automations").text
    assert list_ids(bob, "/executions") == []
    for path in (f"/executions/{execution_id}", f"/automations/{theirs['id']}/delete"):
        assert (path, bob.get(path).status_code) == (path, 404)
    for path in (
        f"/executions/{execution_id}/retry",
        f"/automations/{theirs['id']}/test",
        f"/automations/{theirs['id']}/toggle",
    ):
        assert (path, post(bob, path).status_code) == (path, 404)


def test_stored_texts_are_escaped(bob: Browser, alice: Producer) -> None:
    mean = "<script>alert(1)</script>"
    automation = alice.create(name=mean)
    execution_id = example_executions.create_unknown(alice, automation)
    contact = example_executions.create_contact(alice, "Ada", last_name=mean)
    with acting_as(alice.workspace_id):
        execute(
            "update executions set contact_id = %s, error_message = %s where id = %s", (contact, mean, execution_id)
        )
        execute("update messages set body = %s, subject = %s where execution_id = %s", (mean, mean, execution_id))
    for path in (
        "/automations",
        "/executions",
        f"/executions/{execution_id}",
        f"/automations/{automation['id']}/delete",
    ):
        page = bob.get(path).text
        assert mean not in page
        assert "&lt;script&gt;" in page


def test_without_a_session_pages_and_fragments_redirect_to_the_form(client: FlaskClient, app: Any) -> None:
    assert client.get("/executions?status=failed").headers["Location"] == "/sign-in?next=/executions%3Fstatus%3Dfailed"
    refresh = client.get("/summary", headers={"HX-Request": "true"})
    assert (refresh.status_code, refresh.headers["HX-Redirect"]) == (401, "/sign-in")


def test_a_refresh_returns_the_live_fragment(bob: Browser, alice: Producer, automation: dict[str, Any]) -> None:
    execution_id = example_executions.create_execution(alice, automation, status="pending", stage="queued")
    for path, part in (
        ("/executions?test=false", "list"),
        (f"/executions/{execution_id}", "execution"),
        ("/summary", "summary"),
    ):
        page = bob.get(path, headers={"HX-Request": "true"})
        assert (page.status_code, "<html" in page.text, f'id="{part}"' in page.text) == (200, False, True)
        assert execution_id in page.text or part == "summary"


@pytest.mark.parametrize("role", ["viewer", "owner"])
@pytest.mark.parametrize("value", ["true", "TRUE", "false", "", "1"])
def test_every_page_works_with_the_htmx_header(
    app: Any, alice: Producer, automation: dict[str, Any], role: str, value: str
) -> None:
    browser = sign_in_as(app.test_client(), alice, role)
    execution_id = example_executions.create_execution(alice, automation, status="pending", stage="queued")
    ids = {
        "automation_id": automation["id"], "execution_id": execution_id, "action": "cancel",
        "contact_id": example_executions.create_contact(alice, "Ada"),
        "member_id": user.list_members(alice.workspace_id)[0]["id"],
    }  # fmt: skip
    pages = [route for route in read_table() if route.method == "GET" and route.is_guarded and not route.is_api]
    assert len(pages) > 15
    for address in (
        address for route in pages for address in route.build_addresses(dict.fromkeys(route.parameters, "x") | ids)
    ):
        assert browser.get(address, headers={"HX-Request": value}).status_code in (200, 302, 403, 404), address
    for path in ("/automations", "/settings", "/account", "/contacts/new" if role == "owner" else "/automations"):
        page = browser.get(path, headers={"HX-Request": value})
        assert (page.status_code, 'id="summary"' in page.text) == (200, True)


def test_the_theme_is_stored_in_a_cookie(bob: Browser) -> None:
    response = post(bob, "/theme", theme="dark", next="/executions")
    assert response.headers["Location"] == "/executions"
    assert '<html lang="en" data-theme="dark">' in bob.get("/executions").text
    post(bob, "/theme", theme="", next="//evil.example")
    assert "data-theme" not in bob.get("/executions").text
    assert bob.post("/theme", data={"theme": "dark"}).status_code == 403


def test_too_many_attempts_are_rejected_with_a_message(client: FlaskClient, app: Any) -> None:
    for _ in range(6):
        fields = {"email": "x@example.com", "password": "no", "csrf_token": read_token(client.get("/sign-in").text)}
        response = client.post("/sign-in", data=fields)
    assert response.status_code == 429
    assert "Too many attempts. Try again in" in response.text
    assert int(response.headers["Retry-After"]) > 0


def test_an_invalid_filter_is_rejected_and_an_empty_one_ignored(bob: Browser) -> None:
    assert bob.get("/executions?status=broken").status_code == 422
    assert bob.get("/executions?status=&q=&time=").status_code == 200
    assert list_ids(bob, "/executions?errorClass=nonsense") == []


def test_older_executions_follow_without_gaps(bob: Browser, alice: Producer, automation: dict[str, Any]) -> None:
    expected = sorted((example_executions.create_execution(alice, automation) for _ in range(55)), reverse=True)
    first = bob.get("/executions?test=false").text
    older = html.unescape(re.findall(r'href="([^"]+)">Older', first)[0])
    assert list_ids(bob, "/executions?test=false") + list_ids(bob, older) == expected


def test_an_error_page_shows_the_error_and_what_to_do(
    alice: Producer, client: FlaskClient, automation: dict[str, Any]
) -> None:
    viewer = sign_in_as(client, alice, "viewer")
    for path, status, text in (
        ("/nothing", 404, "Page not found"),
        (f"/executions/{automation['id']}", 404, "It may have been deleted, or belong to another workspace."),
        (f"/automations/{automation['id']}/edit", 403, "Ask an owner of the workspace to change your role."),
        ("/executions?status=x", 422, "Fix or remove the fields named above. Clear filters"),
    ):
        response = viewer.get(path, headers={"Accept": "text/html"})
        assert response.status_code == status
        assert text in read_text(response.text)
    assert 'href="/executions"' in response.text
    old = viewer.post(f"/automations/{automation['id']}/toggle", headers={"Accept": "text/html"})
    assert "Reload the page" in read_text(old.text)
