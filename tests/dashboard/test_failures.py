"""Failures: tabs that add up, links that lead to exactly their list, dry runs that equal results, and the CSV."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

import clock
from models.database import acting_as
from models.queries import execute, fetch_value
from models.reports import failures
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import list_ids, post, read_text, sign_in_as

Browser = FlaskClient


@pytest.fixture
def bob(alice: Producer) -> Browser:
    """An operator of Alice's workspace in a browser."""
    return sign_in_as(alice.client.application.test_client(), alice)


@pytest.fixture
def automation(alice: Producer) -> dict[str, Any]:
    return alice.create()


def fail(alice: Producer, automation: dict[str, Any], number: int, **fields: Any) -> list[str]:
    return [
        example_executions.create_failed(
            alice, automation, contact_id=example_executions.create_contact(alice, f"P{n}-{fields}"[:40]), **fields
        )
        for n in range(number)
    ]


def wait_for(alice: Producer, automation: dict[str, Any], number: int, **fields: Any) -> list[str]:
    soon = clock.now() + timedelta(minutes=3)
    state = {"status": "waiting", "due_at": soon, "next_retry_at": soon, **fields}
    return [example_executions.create_execution(alice, automation, **state) for _ in range(number)]


@pytest.fixture
def seeded(alice: Producer, automation: dict[str, Any]) -> dict[str, list[str]]:
    """Failures of every kind, each in another number, beside what is no failure; their ids by name."""
    later = {"next_retry_at": None}
    ids = {
        "invalid": fail(alice, automation, 2, error_class="invalid", provider="mailgun", error_code="400"),
        "no provider": fail(alice, automation, 1, error_class="bug", error_message="Beckon failed."),
        "exhausted": fail(alice, automation, 1, error_class="timeout", provider="telnyx", attempt=4),
        "retry": wait_for(alice, automation, 4, stage="failed", waiting_for="retry", error_class="timeout",
                          provider="telnyx", attempt=2),
        "limited": wait_for(alice, automation, 3, stage="ready_to_send", waiting_for="rate_limit",
                            error_class="rate_limit", provider="facebook", error_code="613", **later),
        "refused": wait_for(alice, automation, 1, stage="ready_to_send", waiting_for="configuration",
                            error_class="configuration", provider="mailgun", error_code="401", **later),
        "held": wait_for(alice, automation, 5, stage="ready_to_send", waiting_for="configuration", provider="mailgun",
                         **later),
        "unknown": [example_executions.create_unknown(alice, automation, look_up_at=clock.now() + timedelta(minutes=4))
                    for _ in range(6)],
        "undecided": [example_executions.create_unknown(alice, automation, provider="telnyx")],
    }  # fmt: skip
    fail(alice, automation, 1, error_class="invalid", test=True)
    wait_for(alice, automation, 2, stage="sent", waiting_for="time", next_retry_at=None)
    example_executions.create_execution(alice, automation)
    return ids


TABS = {"any": 24, "decision": 10, "automatic": 7, "unknown": 7}


def read_tabs(page: str) -> dict[str, int]:
    tabs = re.findall(r'<a href="/failures(?:\?failure=(\w+))?"[^>]*>[\w ]+ <b>([\d,]+)</b>', page)
    return {kind or "any": int(number) for kind, number in tabs}


def test_the_tabs_add_up_and_each_lists_what_it_counts(bob: Browser, seeded: dict[str, list[str]]) -> None:
    assert read_tabs(bob.get("/failures").text) == TABS
    assert TABS["any"] == sum(TABS[kind] for kind in TABS if kind != "any")
    for kind, number in TABS.items():
        assert len(list_ids(bob, f"/executions?failure={kind}&test=false")) == number, kind


def read_groups(page: str) -> dict[str, tuple[int, str]]:
    """The count of each group and the list behind it, by key."""
    parts = re.split(r'<li id="g-([\w.]+)"', page)[1:]
    rows = zip(parts[::2], parts[1::2], strict=True)
    return {
        key: (int(match[2]), html.unescape(match[1]))
        for key, body in rows
        if (match := re.search(r'<a class="number" href="([^"]+)"[^>]*>(\d+)</a>', body))
    }


def test_every_group_leads_to_exactly_its_list(bob: Browser, seeded: dict[str, list[str]]) -> None:
    groups = read_groups(bob.get("/failures").text)
    assert {key: number for key, (number, _) in groups.items()} == {
        "invalid.mailgun.400": 2, "bug.none.none": 1, "timeout.telnyx.none": 5, "rate_limit.facebook.613": 3,
        "configuration.mailgun.none": 6,
    }  # fmt: skip
    for key, (number, path) in groups.items():
        assert len(list_ids(bob, path)) == number, key
    assert set(list_ids(bob, groups["configuration.mailgun.none"][1])) == {*seeded["refused"], *seeded["held"]}


def test_the_groups_of_every_tab_and_filter_add_up(bob: Browser, seeded: dict[str, list[str]]) -> None:
    for query in ("", "failure=decision", "failure=automatic", "provider=mailgun", "errorClass=timeout", "q=telnyx"):
        page = bob.get(f"/failures?{query}").text
        counted = sum(number for number, _ in read_groups(page).values())
        unknown = sum(int(n) for n in re.findall(r'<a class="badge" href="[^"]+"[^>]*>(\d+)</a>', page))
        total = len(list_ids(bob, f"/executions?{query if 'failure=' in query else 'failure=any&' + query}&test=false"))
        assert counted + unknown == total, query


def test_a_group_says_what_happened_what_to_do_and_when_it_is_retried(
    bob: Browser, seeded: dict[str, list[str]]
) -> None:
    text = read_text(bob.get("/failures").text)
    for words in (
        "Telnyx is not answering timeout · Telnyx", "retry 1 of 3 in", "1 need a decision", "Facebook limits the rate",
        "continues in", "Mailgun needs working credentials", "when the credentials change",
        "The request is not valid invalid · Mailgun 400", "needs a correction", "10 need a decision",
    ):  # fmt: skip
        assert words in text.replace("retry 2 of 3", "retry 1 of 3"), words


def test_a_search_finds_errors_contacts_and_executions(
    bob: Browser, alice: Producer, automation: dict[str, Any], seeded: dict[str, list[str]]
) -> None:
    ada = example_executions.create_contact(alice, "Zuleika")
    own = example_executions.create_failed(alice, automation, contact_id=ada)
    for query, number in (("zulei", 1), (own, 1), ("timeout", 5), ("613", 3), ("nobody at all", 0)):
        assert read_tabs_of(bob, query) == number, query


def read_tabs_of(bob: Browser, q: str) -> int:
    counts = re.findall(r"All <b>(\d+)</b>", bob.get("/failures", query_string={"q": q}).text)
    return int(counts[0])


def read_form(page: str) -> dict[str, str]:
    form = page.split('class="members"')[1]
    fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form.split("</form>")[0])
    return {name: html.unescape(text) for name, text in fields}


def test_a_retry_of_a_group_does_what_its_dry_run_says(bob: Browser, seeded: dict[str, list[str]]) -> None:
    page = bob.get("/failures?open=timeout.telnyx.none").text
    assert "5 match, 5 can be retried, 0 conflicts" in read_text(page)
    assert "Retry 5 matching executions" in read_text(page)

    response = bob.post("/failures/retry", data=read_form(page))

    progress = read_text(bob.get(response.headers["Location"]).text)
    assert "5 executions retried." in progress
    assert "Finished" in progress
    assert "Retry queued" not in read_text(bob.get("/failures").text)
    assert read_tabs(bob.get("/failures").text)["any"] == TABS["any"]


def test_a_selection_is_counted_and_changed_alone(bob: Browser, alice: Producer, seeded: dict[str, list[str]]) -> None:
    fields = read_form(bob.get("/failures?open=invalid.mailgun.400").text)
    first, second = seeded["invalid"]
    fragment = bob.post("/failures/dry-run", data={**fields, "ids": [first]}, headers={"HX-Request": "true"})
    assert "1 selected" in read_text(fragment.text)
    assert "Retry 1 selected execution" in read_text(fragment.text)

    bob.post("/failures/discard", data={**fields, "ids": [first]})

    with acting_as(alice.workspace_id):
        statuses = [fetch_value("select status from executions where id = %s", (i,)) for i in (first, second)]
    assert statuses == ["cancelled", "failed"]


def test_what_fails_after_the_dry_run_is_not_included(
    bob: Browser, alice: Producer, automation: dict[str, Any], seeded: dict[str, list[str]]
) -> None:
    fields = read_form(bob.get("/failures?open=invalid.mailgun.400").text)
    (late,) = fail(
        alice, automation, 1, error_class="invalid", provider="mailgun", error_code="400",
        stage_since=clock.now() + timedelta(seconds=1),
    )  # fmt: skip
    response = bob.post("/failures/discard", data=fields)
    assert "2 executions discarded" in read_text(bob.get(response.headers["Location"]).text)
    with acting_as(alice.workspace_id):
        assert fetch_value("select status from executions where id = %s", (late,)) == "failed"


def test_unknown_outcomes_show_their_look_ups_and_what_follows(
    bob: Browser, alice: Producer, seeded: dict[str, list[str]]
) -> None:
    sent = clock.now() - timedelta(seconds=70)
    answers = {6: False, 21: None, 62: False}
    log = [{"at": str(sent + timedelta(seconds=after)), "asked": "ada@example.com", "found": answer}
           for after, answer in answers.items()]  # fmt: skip
    with acting_as(alice.workspace_id):
        execute(
            "update messages set look_ups = 3, sending_at = %s, look_up_log = %s where provider = 'mailgun'",
            (sent, json.dumps(log)),
        )
    text = read_text(bob.get("/failures?failure=unknown").text)
    for words in ("Checking with Mailgun, next look-up in", "Look-up after 5 s no record",
                  "Look-up after 20 s no answer", "Look-up after 5 min in", "Look-up after 35 min upcoming",
                  "1 needs a decision", "Its records can prove", "last answer: no record"):  # fmt: skip
        assert words in text, words


def test_unknown_messages_are_marked_as_sent_and_sent_again_after_a_question(
    bob: Browser, seeded: dict[str, list[str]]
) -> None:
    fields = {"failure": "unknown", "provider": "mailgun", "errorClass": "unknown_outcome", "test": "false",
              "selection": "true"}  # fmt: skip
    first, second = seeded["unknown"][:2]
    refused = post(bob, "/failures/sent", **fields)
    assert "Select at least one message" in read_text(bob.get(refused.headers["Location"]).text)

    sent = post(bob, "/failures/sent", **fields, ids=[first])
    assert "1 message marked as sent." in read_text(bob.get(sent.headers["Location"]).text)
    question = post(bob, "/failures/resend", **fields, ids=[second])
    assert "Send 1 message again?" in read_text(bob.get(question.headers["Location"]).text)
    assert read_tabs(bob.get("/failures").text)["unknown"] == TABS["unknown"] - 1


def test_a_message_that_nobody_can_be_asked_about_says_when_it_is_sent_again(
    bob: Browser, alice: Producer, automation: dict[str, Any]
) -> None:
    at = clock.now() + timedelta(minutes=30)
    example_executions.create_unknown(alice, automation, provider="slack", look_up_at=at)
    text = read_text(bob.get("/failures?failure=unknown").text)
    assert "Slack cannot be asked: sent again in" in text
    assert "Look up now" not in text


def test_a_row_of_unknown_outcome_has_its_own_buttons(bob: Browser, seeded: dict[str, list[str]]) -> None:
    first, second = seeded["unknown"][:2]
    page = bob.get("/failures?failure=unknown").text
    assert page.count(f'name="only" value="{first}"') == 4
    fields = {"failure": "unknown", "provider": "mailgun", "errorClass": "unknown_outcome", "test": "false",
              "selection": "true"}  # fmt: skip

    sent = post(bob, "/failures/sent", **fields, ids=[second], only=first)

    assert "1 message marked as sent." in read_text(bob.get(sent.headers["Location"]).text)
    assert read_tabs(bob.get("/failures").text)["unknown"] == TABS["unknown"] - 1


def test_a_bulk_retry_offers_what_fits_unknown_outcomes(
    bob: Browser, alice: Producer, seeded: dict[str, list[str]]
) -> None:
    page = read_text(bob.get("/executions/all/retry?provider=mailgun&errorClass=unknown_outcome").text)
    for words in ("None of these can be retried", "Mark 6 messages as sent", "Look up 6 messages now",
                  "Send 6 messages again", "Discard 6 executions"):  # fmt: skip
        assert words in page, words
    assert "Mark" not in read_text(bob.get("/executions/all/retry?errorClass=invalid").text)

    dry = alice.post("/api/executions/retry", {"errorClass": "unknown_outcome", "dryRun": True}).json
    assert (dry["matched"], dry["unknown"]) == (0, 7)


def test_the_api_resolves_and_looks_up_what_its_dry_run_counts(alice: Producer, seeded: dict[str, list[str]]) -> None:
    filters = {"provider": "mailgun"}
    dry = alice.post("/api/messages/lookup", {**filters, "dryRun": True})
    assert (dry.status_code, dry.json["matched"]) == (200, 6)
    assert alice.post("/api/messages/lookup", filters).json["requested"] == 6
    response = alice.post("/api/messages/resolve", {**filters, "as": "sent"})
    assert (response.status_code, response.json["matched"], response.json["resolved"]) == (202, 6, 6)
    response = alice.post("/api/messages/resolve", {"as": "discard"})
    assert (response.json["matched"], response.json["discarded"]) == (1, 1)


def test_the_api_filters_by_provider_code_wait_and_ids(alice: Producer, seeded: dict[str, list[str]]) -> None:
    cases = {
        "provider=telnyx": seeded["exhausted"] + seeded["retry"] + seeded["undecided"],
        "code=613": seeded["limited"],
        "waitingFor=configuration": seeded["refused"] + seeded["held"],
        "waitingFor=provider": seeded["limited"],
        f"ids={','.join(seeded['invalid'])}": seeded["invalid"],
        "ids=nonsense": [],
    }
    for query, expected in cases.items():
        rows = alice.get(f"/api/executions?{query}").json["executions"]
        assert {row["id"] for row in rows} == set(expected), query
    assert alice.get("/api/executions?waitingFor=nothing").status_code == 422


def test_the_csv_has_every_failure_and_no_formula(
    bob: Browser, alice: Producer, automation: dict[str, Any], seeded: dict[str, list[str]]
) -> None:
    fail(alice, automation, 1, error_class="invalid", error_message='=HYPERLINK("https://x.test")')
    response = bob.get("/failures/export.csv")
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert response.mimetype == "text/csv"
    assert len(rows) == TABS["any"] + 1
    assert rows[0]["message"] == '\'=HYPERLINK("https://x.test")'
    assert len(list(csv.DictReader(io.StringIO(bob.get("/failures/export.csv?provider=telnyx").text)))) == 6


def test_what_only_waits_for_credentials_shows_the_refusal_that_paused_its_provider(
    alice: Producer, bob: Browser, automation: dict[str, Any]
) -> None:
    wait_for(alice, automation, 2, stage="ready_to_send", waiting_for="configuration", provider="telnyx")
    with acting_as(alice.workspace_id):
        execute(
            "insert into pauses (id, workspace_id, kind, name, reason, message) "
            "values (gen_random_uuid(), %s, 'provider', 'telnyx', 'configuration', 'The key was refused')",
            (alice.workspace_id,),
        )
    page = bob.get("/failures?open=configuration.telnyx.none").text
    assert "The key was refused" in page.split('class="group-body"')[1]


def test_another_workspaces_failures_are_not_seen(bob: Browser, charlie: Producer) -> None:
    fail(charlie, charlie.create(), 2, error_class="invalid")
    assert "No failures" in read_text(bob.get("/failures").text)
    assert bob.get("/failures/export.csv").text.count("\n") == 1


def test_the_badge_counts_what_needs_a_decision(alice: Producer, seeded: dict[str, list[str]]) -> None:
    failures.count_decisions.forget(alice.workspace_id)
    assert failures.count_decisions(alice.workspace_id) == TABS["decision"]


def test_retry_statistics_count_by_day_and_class(alice: Producer, bob: Browser, automation: dict[str, Any]) -> None:
    (recovered,) = fail(alice, automation, 1, attempt=2)
    (exhausted,) = fail(alice, automation, 1, attempt=4)
    waiting = wait_for(alice, automation, 3, stage="failed", waiting_for="retry", error_class="network")
    at = clock.now().isoformat()
    with acting_as(alice.workspace_id):
        execute("update executions set status = 'succeeded', stage = 'completed' where id = %s", (recovered,))
        failure = {"at": at, "class": "network"}
        execute("update steps set status = 'succeeded', failures = %s where execution_id = %s",
                (json.dumps([failure] * 2), recovered))  # fmt: skip
        execute("update steps set failures = %s where execution_id = %s", (json.dumps([failure] * 4), exhausted))

    (looked_up,) = fail(alice, automation, 1, attempt=1)
    with acting_as(alice.workspace_id):
        execute("update steps set status = 'succeeded', failures = %s where execution_id = %s",
                (json.dumps([{"at": at, "class": "unknown_outcome"}]), looked_up))  # fmt: skip

    retries = alice.get("/api/retries/stats").json["retries"]
    assert (retries["attempted"], retries["succeeded"], retries["exhausted"], retries["pending"]) == (2, 1, 1, 3)
    assert retries["byErrorClass"]["network"] == {"tries": 6, "recovered": 1}
    (day,) = retries["byDay"]
    assert day == {"day": str(clock.now().date()), "errorClass": "network", "tried": 5, "succeeded": 1, "exhausted": 1,
                   "successRate": 0.2}  # fmt: skip

    page = bob.get("/failures/retries").text
    (path,) = set(re.findall(r'<dd><a href="(/executions\?[^"]+)">3</a>', page))
    assert set(list_ids(bob, html.unescape(path))) == set(waiting)
    assert page.count("retry 1 of 3, network") == 3


def test_automatic_retries_are_switched_by_automation(
    alice: Producer, bob: Browser, automation: dict[str, Any]
) -> None:
    path = f"{alice.automations}/{automation['id']}"
    assert alice.get(path).json["automation"]["automaticRetries"] is True
    post(bob, f"/automations/{automation['id']}/automatic-retries/off")
    assert alice.get(path).json["automation"]["automaticRetries"] is False
    response = alice.request("PATCH", path, json={"automaticRetries": True})
    assert response.json["automation"]["automaticRetries"] is True
    with acting_as(alice.workspace_id):
        count = fetch_value("select count(*) from audit where action like 'automation.retries_%%'")
    assert count == 2


def test_the_look_ups_of_a_message_are_in_the_timeline_and_the_api(
    alice: Producer, bob: Browser, automation: dict[str, Any]
) -> None:
    log = [
        {"at": "2026-11-20T09:00:00+00:00", "asked": "ada@example.com", "found": False, "requested": False},
        {"at": "2026-11-20T09:01:00+00:00", "asked": "ada@example.com", "found": None, "requested": True},
        {
            "at": "2026-11-20T09:02:00+00:00",
            "asked": "ada@example.com",
            "found": None,
            "requested": False,
            "reported": True,
        },
    ]
    at = clock.now() + timedelta(minutes=4)
    execution_id = example_executions.create_unknown(alice, automation, look_up_log=json.dumps(log), look_up_at=at)

    execution = alice.get(f"/api/executions/{execution_id}").json["execution"]
    (message,) = execution["messages"]
    expected = [{"reported": False, "error": None, **entry, "at": entry["at"].replace("+00:00", "Z")} for entry in log]
    assert message["lookups"] == expected
    assert execution["nextLookupAt"] == message["nextLookupAt"] is not None
    text = read_text(bob.get(f"/executions/{execution_id}").text)
    assert "Asked Mailgun for the message to ada@example.com: no record" in text
    assert "ada@example.com, by an operator: no answer" in text
    assert "Mailgun reported on a message to ada@example.com with this text" in text

    response = post(bob, f"/executions/{execution_id}/messages/{message['id']}/look-up")
    assert "Look-up requested" in read_text(bob.get(response.headers["Location"]).text)


def test_a_failed_execution_is_retried_on_the_current_version_from_its_page(
    alice: Producer, bob: Browser, automation: dict[str, Any]
) -> None:
    (execution_id,) = fail(alice, automation, 1)
    assert "Retry on version" not in bob.get(f"/executions/{execution_id}").text
    later = {"id": "tag", "action": "update_contact", "with": {"add_tags": ["later"]}}
    definition = {**automation["definition"], "steps": [*automation["definition"]["steps"], later]}
    alice.request("PATCH", f"{alice.automations}/{automation['id']}", json={"definition": definition})
    assert "Retry on version 2" in read_text(bob.get(f"/executions/{execution_id}").text)

    post(bob, f"/executions/{execution_id}/retry", version="current")

    execution = alice.get(f"/api/executions/{execution_id}").json["execution"]
    assert (execution["version"], execution["waitingFor"]) == (2, "retry")


def test_a_queued_retry_is_said_and_not_offered_again(
    alice: Producer, bob: Browser, automation: dict[str, Any]
) -> None:
    (execution_id,) = fail(alice, automation, 1)
    path = f"/executions/{execution_id}"
    assert f'action="{path}/retry"' in bob.get(path).text
    post(bob, f"{path}/retry")
    page = bob.get(path).text
    assert "Retry queued" in read_text(page)
    assert f'action="{path}/retry"' not in page
