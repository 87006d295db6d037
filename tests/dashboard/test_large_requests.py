"""Large requests are parsed in another process: two at once for a key, and within a time that each may take."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import flask
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

import metrics
from dashboard import parsing, report_bodies
from dashboard.held_bytes import HeldBytes
from dashboard.parsing import key_turns
from dashboard.parsing.pool import ParserPool, ParsersBusy
from dashboard.parsing.process import ParserEnded
from models import api_key
from models.ids import is_id
from rules.parser_messages import Request
from rules.tracking import TrackedExecution
from tasks.intake import tracked_executions
from tests.dashboard.producers import Producer, definition
from tests.dashboard.test_access import add_person, read_token, sign_in

#: A payload of more than 64 KiB.
LARGE = {"type": "a", "payload": {"text": "x" * 70_000}}
ROWS = "email,phone\n" + "".join(f"a{number}@example.com,+1202555{number:04d}\n" for number in range(300))
MANY_ROWS = "email,phone\n" + "".join(f"a{number}@example.com,+1202556{number:04d}\n" for number in range(5_000))


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the parsers that another process ran."""
    names: list[str] = []

    def parse(parser: str, raw: bytes, **options: Any) -> Any:
        names.append(parser)
        return parsing.parse_apart(parser, raw, **options)

    modules = "bodies", "report_bodies", "definitions", "form_parser", "api.triggers", "api.contact_import"
    for module in (*modules, "inbound.mailgun"):
        monkeypatch.setattr(sys.modules[f"dashboard.{module}"], "parse_apart", parse)
    return names


def post_rows(producer: Producer, rows: str = ROWS) -> TestResponse:
    return producer.post("/api/contacts/import", {"csv": rows})


def test_only_a_large_body_is_parsed_in_another_process(alice: Producer, parsed: list[str]) -> None:
    assert alice.post("/api/triggers", {"type": "a", "payload": {"text": "x" * 60_000}}).status_code == 202
    assert parsed == []
    assert alice.post("/api/triggers", LARGE).status_code == 202
    assert parsed == ["json"]


def test_a_large_body_is_refused_as_a_small_one_is(alice: Producer, parsed: list[str]) -> None:
    response = alice.post("/api/triggers", {"type": "a", "payload": {"text": "x" * 70_000 + "\0"}})
    assert (response.status_code, [problem["path"] for problem in response.json["errors"]]) == (422, ["payload.text"])
    raw = b'{"type": "a", "payload": {"text": "' + b"x" * 70_000 + b'"}'
    response = alice.request("POST", "/api/triggers", data=raw, content_type="application/json")
    assert (response.status_code, "not valid JSON" in response.json["detail"]) == (400, True)
    assert parsed == ["json", "json"]


def test_a_large_batch_has_the_answers_of_a_small_one(alice: Producer, parsed: list[str]) -> None:
    def post(text: str) -> Any:
        entry = {"type": "a", "contact": {"email": "Ada@Example.com"}, "payload": {"n": 2**70, "text": text}}
        wrong = {"type": "a", "contact": {"email": "nonsense"}}
        return alice.post("/api/triggers/batch", {"triggers": [{**entry, "idempotencyKey": text[:9]}, wrong, {}]}).json

    small, large, repeated = post("small"), post("l" * 600_000), post("l" * 600_000)
    assert parsed == ["triggers", "triggers"]
    assert small["rejected"] == large["rejected"]
    assert [(reply["accepted"], reply["duplicates"]) for reply in (small, large, repeated)] == [(1, 0), (1, 0), (0, 1)]
    assert small["results"][0]["contactId"] == large["results"][0]["contactId"]


def test_a_batch_that_is_no_batch_is_422_whatever_its_size(alice: Producer, parsed: list[str]) -> None:
    bodies: list[dict[str, Any]] = [{"triggers": []}, {"triggers": [{"type": "a" * 600_000}] * 2, "more": 1}]
    paths = [alice.post("/api/triggers/batch", body).json["errors"][0]["path"] for body in bodies]
    assert (paths, parsed) == (["triggers", "more"], ["triggers"])


def test_a_large_batch_of_tracked_executions_is_validated_in_another_process(
    alice: Producer, parsed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    automation_id = alice.create(type="playbook", definition=PLAYBOOK)["id"]
    action = {"name": "show", "selector": "#offer", "config": {"text": "\x00" + "x" * 3_000, "n": 2**70}, "error": "no"}
    entries: list[Any] = [
        {"workflowId": automation_id.upper(), "userId": "", "deviceType": "tablet", "actions": [action] * 90},
        {"workflowId": automation_id, "status": "lost", "actions": [{"name": ""}]}, [],
    ]  # fmt: skip

    def post(*more: Any) -> Any:
        reply = alice.post("/api/track-executions", {"executions": [*entries, *more]}).json
        return reply["accepted"], reply["rejected"], stored.pop()[0]

    stored = record_stored(monkeypatch)
    parsed.clear()
    small = post()
    monkeypatch.setattr(report_bodies, "parse_entry", None)
    large = post(*entries[:1])
    assert parsed == ["executions"]
    assert (small[0], large[0]) == (1, 2)
    assert large[1] == small[1]
    assert replace(large[2], execution_id="") == replace(small[2], execution_id="")
    assert is_id(large[2].execution_id)


def record_stored(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[TrackedExecution]]:
    """The executions of each batch that is accepted."""
    stored: list[Sequence[TrackedExecution]] = []

    def accept(workspace_id: str, site_key_id: str | None, executions: Sequence[TrackedExecution]) -> Any:
        stored.append(executions)
        return tracked_executions.accept(workspace_id, site_key_id, executions)

    monkeypatch.setattr(sys.modules["dashboard.api.tracking"], "accept", accept)
    return stored


PLAYBOOK = {
    "trigger": {"type": "page", "with": {"url": "/*"}},
    "steps": [{"id": "show", "action": "show", "with": {"selector": "#offer"}}],
}


def test_definitions_and_files_are_parsed_in_another_process(alice: Producer, parsed: list[str]) -> None:
    assert alice.post(f"{alice.automations}/validate", {"definition": definition()}).json["valid"] is True
    automation = alice.create()
    changed = {"definition": definition(where="payload.plan == 'pro'")}
    assert alice.put(f"{alice.automations}/{automation['id']}", changed).json["automation"]["version"] == 2
    assert post_rows(alice).json["valid"] == 300
    assert parsed == ["definition", "definition", "definition", "contacts"]


def test_the_text_of_an_automation_is_checked_in_another_process(
    alice: Producer, client: FlaskClient, parsed: list[str]
) -> None:
    assert "line 1, column 6" in check_text(alice, client, "a: [1")
    assert parsed == ["definition_text"]


def check_text(alice: Producer, client: FlaskClient, text: str) -> str:
    """The page's answer to a person who edits a definition."""
    add_person(alice.workspace_id, "operator")
    sign_in(client)
    token = read_token(client.get("/contacts/import").text)
    form = {"csrf_token": token, "name": "Welcome", "type": "workflow", "text": text}
    return client.post("/automations/check", data=form).text


def test_the_large_form_of_a_person_is_parsed_as_a_small_one_is(
    alice: Producer, client: FlaskClient, parsed: list[str]
) -> None:
    add_person(alice.workspace_id, "operator")
    sign_in(client)
    token = read_token(client.get("/contacts/import").text)

    def post(more: str) -> None:
        csv = "email%2CfirstName%0Aada%40example.com,A%C3%A9%ff+B"
        body = f"csrf_token={token}&confirm=1&previewed=email%20firstName&csv={csv}&empty=&more={more}"
        response = client.post("/contacts/import", data=body, content_type="application/x-www-form-urlencoded")
        assert response.status_code == 200
        assert alice.get("/api/contacts?q=ada").json["contacts"][0]["firstName"] == "Aé%FF B"

    post("%41")
    post("%41" * 30_000)
    assert parsed == ["contacts", "form", "contacts"]


def test_a_large_event_without_a_signature_is_refused_as_a_small_one_is(client: FlaskClient, parsed: list[str]) -> None:
    signature = {"timestamp": "1", "token": "a", "signature": "b"}
    for text in ("x", "x" * 70_000):
        answer = client.post("/api/webhooks/mailgun", json={"signature": signature, "event-data": {"text": text}})
        assert answer.status_code == 403
    repeated = b'{"token": 1, "token": 2, "text": "' + b"x" * 70_000 + b'"}'
    assert client.post("/api/webhooks/mailgun", data=repeated).status_code == 400
    assert parsed == ["signed_json", "signed_json"]


def test_a_verified_form_is_never_refused_for_its_rate(app: flask.Flask, parsed: list[str]) -> None:
    with (
        two_in_progress(app, "127.0.0.1"),
        app.test_request_context("/api/webhooks/mailgun/inbound", method="POST", data={"text": "x" * 70_000}),
    ):
        flask.request.max_content_length = 100_000
        assert len(flask.request.form["text"]) == 70_000
    assert parsed == ["form"]


def test_a_large_event_waits_for_those_of_its_address_and_is_not_429(
    app: flask.Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def post() -> TestResponse:
        return client.post("/api/webhooks/mailgun", json={"signature": {}, "event-data": {"text": "x" * 70_000}})

    with two_in_progress(app, "127.0.0.1"):
        assert post().status_code == 403
    turns = HeldBytes(1, 0.01)
    monkeypatch.setattr(parsing, "_unverified", turns)
    assert turns.take("127.0.0.1", 1)
    assert (post().status_code, post().headers["Retry-After"]) == (503, "1")
    turns.give_back("127.0.0.1", 1)
    assert post().status_code == 403


@contextmanager
def two_in_progress(app: flask.Flask, key: str) -> Iterator[Callable[[], None]]:
    """Two large requests of a key are in progress elsewhere; the value ends one of them."""
    app.extensions["settings"].run.mkdir(mode=0o700, exist_ok=True)
    turns = [key_turns.take(app.extensions["settings"].run / "parsing.lock", key) for _ in range(2)]

    def end_one() -> None:
        turn = turns.pop()
        assert turn is not None
        key_turns.give_back(turn)

    yield end_one
    while turns:
        end_one()


def test_the_third_large_request_of_a_key_is_429_and_others_go_on(
    alice: Producer, charlie: Producer, app: flask.Flask
) -> None:
    small = {"type": "a", "payload": {}}
    with two_in_progress(app, api_key.digest(alice.secret).hex()) as end_one:
        refused = alice.post("/api/triggers", LARGE)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
        assert "2 large requests" in refused.json["detail"]
        assert post_rows(alice).status_code == 429
        assert alice.post(f"{alice.automations}/validate", {"definition": definition()}).status_code == 429
        assert alice.post("/api/triggers", small).status_code == 202
        assert charlie.post("/api/triggers", LARGE).status_code == 202
        end_one()
        assert [alice.post("/api/triggers", LARGE).status_code for _ in range(3)] == [202] * 3


def test_another_key_of_the_same_workspace_has_its_own_two(alice: Producer, app: flask.Flask) -> None:
    other = Producer(alice.client, alice.workspace_id, api_key.issue(alice.workspace_id, "another").secret)
    with two_in_progress(app, api_key.digest(alice.secret).hex()):
        assert (alice.post("/api/triggers", LARGE).status_code, other.post("/api/triggers", LARGE).status_code) == (
            429,
            202,
        )


def test_a_hook_counts_as_a_key(alice: Producer, client: FlaskClient, app: flask.Flask) -> None:
    hook = alice.create(definition=definition(type="hook"))
    path = "/api/hooks/" + hook["hookUrl"].rpartition("/")[2]
    with two_in_progress(app, hook["id"].encode().hex()):
        assert client.post(path, json={"text": "x" * 70_000}).status_code == 429
        assert client.post(path, json={"text": "x"}).status_code == 202
    assert client.post(path, json={"text": "x" * 70_000}).status_code == 202


@pytest.mark.parametrize("fields", [{"type": "playbook", "definition": PLAYBOOK}, {}], ids=["playbook", "workflow"])
def test_showing_a_draft_is_not_bounded_by_other_tabs(
    alice: Producer, client: FlaskClient, app: flask.Flask, fields: dict[str, Any]
) -> None:
    automation_id = alice.create(**fields)["id"]
    add_person(alice.workspace_id, "operator")
    sign_in(client)
    cookie = client.get_cookie("beckon_session")
    assert cookie is not None
    with two_in_progress(app, api_key.digest(cookie.value).hex()):
        assert client.get(f"/automations/{automation_id}/edit").status_code == 200
        assert client.get(f"/automations/{automation_id}").status_code == 200


def test_what_takes_too_long_is_422_and_ends_only_itself(alice: Producer, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_count("contacts", "too_costly")
    monkeypatch.setattr(parsing, "CONTACTS_CPU_SECONDS", 0.001)
    # The kernel counts in ticks of some milliseconds, and these rows take many.
    response = post_rows(alice, MANY_ROWS)
    assert response.status_code == 422
    assert "0.001 seconds of processor time" in response.json["detail"]
    assert read_count("contacts", "too_costly") == before + 1
    monkeypatch.undo()
    assert post_rows(alice).json["valid"] == 300


def read_count(parser: str, result: str) -> float:
    return metrics.parses_total.labels(parser=parser, result=result)._value.get()


def test_a_text_that_takes_too_long_has_a_problem_that_says_so(
    alice: Producer, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parsing, "CPU_SECONDS", 0.001)
    text = "trigger: {type: a}\nsteps:\n" + "- [a, b]\n" * 9_000
    assert "0.001 seconds of processor time" in check_text(alice, client, text)


@pytest.mark.parametrize(("error", "words"), [(ParserEnded(), "was stopped"), (ParsersBusy(), "Too many")])
def test_a_request_that_no_process_parses_is_503(
    alice: Producer, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def fail(_pool: ParserPool, _request: Request) -> bytes:
        raise error

    monkeypatch.setattr(ParserPool, "ask", fail)
    response = alice.post("/api/triggers", LARGE)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert words in response.json["detail"]
    monkeypatch.undo()
    assert alice.post("/api/triggers", LARGE).status_code == 202


def test_a_lock_that_cannot_be_had_refuses_nobody(alice: Producer, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(key_turns, "take", fail)
    assert alice.post("/api/triggers", LARGE).status_code == 202
