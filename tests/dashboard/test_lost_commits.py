"""A 503 says that nothing was changed only where that is certain: the answer to a commit may be lost."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

import settings
from models import database
from models.database import acting_as
from models.queries import fetch_value
from tests.dashboard.producers import PASSWORD, Producer, definition
from tests.dashboard.test_access import add_person, read_token
from tests.support.fault_proxy import FaultProxy
from tests.support.poolers import parse_socket_path, with_socket

TRIGGER = {"type": "contact.created", "contact": {"externalId": "c-1"}, "idempotencyKey": "k-1"}
CONTACT = {"externalId": "c-1", "email": "bob@example.com"}
UNKNOWN = "It is unknown whether the change was saved."


@pytest.fixture
def proxy(database_urls: Any) -> Iterator[FaultProxy]:
    """A proxy between the dashboard and PostgreSQL."""
    with tempfile.TemporaryDirectory(prefix="beckon-line-") as directory:
        url = settings.load().database_app_url
        proxy = FaultProxy(Path(directory) / ".s.PGSQL.5432", parse_socket_path(url))
        yield proxy
        proxy.close()


@pytest.fixture
def config(proxy: FaultProxy) -> settings.Settings:
    config = settings.load()
    return config.replace(database_app_url=with_socket(config.database_app_url, proxy.path.parent, 5432))


def lose(proxy: FaultProxy, message: bytes, post: Any) -> TestResponse:
    """Send a request whose message to PostgreSQL, the next with this text, takes effect and is never answered."""
    proxy.unanswered = message
    response: TestResponse = post()
    assert proxy.unanswered is None, "the message was sent"
    assert (response.status_code, bool(response.headers["Retry-After"])) == (503, True)
    return response


def count(alice: Producer, table: str) -> int:
    with acting_as(alice.workspace_id):
        return int(fetch_value(f"select count(*) from {table}"))


def test_a_repeat_of_a_trigger_whose_commit_was_not_answered_takes_effect_once(
    alice: Producer, proxy: FaultProxy
) -> None:
    alice.create()
    assert alice.post("/api/triggers", {**TRIGGER, "idempotencyKey": "k-0"}).status_code == 202

    lost = lose(proxy, b"commit", lambda: alice.post("/api/triggers", TRIGGER))

    assert UNKNOWN in lost.json["detail"]
    assert "same Idempotency-Key" in lost.json["detail"]
    assert "Nothing was changed" not in lost.json["detail"]
    repeated = alice.post("/api/triggers", TRIGGER)
    assert (repeated.status_code, repeated.json["duplicate"]) == (200, True)
    assert count(alice, "triggers") == 2


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/api/triggers/batch", {"triggers": [TRIGGER]}, b"commit"),
        ("/api/contacts", CONTACT, b"commit"),
        ("{automations}", {"name": "Other", "definition": definition()}, b"commit"),
        ("/api/track-execution", {"executionId": "e-1", "status": "success"}, b"store_tracked_executions"),
    ],
)
def test_a_change_of_any_kind_whose_commit_was_not_answered_is_unknown(
    alice: Producer, proxy: FaultProxy, path: str, body: dict[str, Any], message: bytes
) -> None:
    workflow_id = alice.create()["id"]
    body = {**body, "workflowId": workflow_id} if "track" in path else body
    lost = lose(proxy, message, lambda: alice.post(path.format(automations=alice.automations), body))
    assert UNKNOWN in lost.json["detail"]


@pytest.mark.parametrize("message", [b"contacts", b"find_api_key"])
def test_a_connection_that_is_lost_before_the_commit_changes_nothing(
    alice: Producer, proxy: FaultProxy, message: bytes
) -> None:
    lost = lose(proxy, message, lambda: alice.post("/api/contacts", CONTACT))
    assert lost.json["detail"] == "The database is unavailable. Nothing was changed."
    assert count(alice, "contacts") == 0


def test_a_read_changes_nothing(alice: Producer, proxy: FaultProxy) -> None:
    alice.get("/api/contacts")
    lost = lose(proxy, b"contacts", lambda: alice.get("/api/contacts"))
    assert lost.json["detail"] == "The database is unavailable. Nothing was changed."


def test_a_form_whose_commit_was_not_answered_asks_to_check(
    alice: Producer, proxy: FaultProxy, config: settings.Settings
) -> None:
    add_person(alice.workspace_id, "owner")
    database.db.close_all()
    database.open_pool(config.database_app_url, "beckon_app", 8)
    browser = alice.client
    form = {"email": "bob@example.com", "password": PASSWORD, "csrf_token": read_token(browser.get("/sign-in").text)}
    lost = lose(proxy, b"commit", lambda: browser.post("/sign-in", data=form, headers={"Accept": "text/html"}))
    assert UNKNOWN in lost.text
    assert "Check whether it was saved before you try again." in lost.text
    assert "Nothing was changed" not in lost.text
