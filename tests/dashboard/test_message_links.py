"""The address of a counted link: where it leads, what it counts, and what it tells."""

from __future__ import annotations

from typing import Any

import psycopg2
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from dashboard import message_links
from ephemeral.rate_limits import RateLimit
from models import message_link
from models.database import acting_as
from models.queries import count
from models.tables import MessageLink, MessageResponse
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer, definition
from tests.support.servers import run_sql
from tests.support.waiting import eventually

TARGET = "https://shop.example/?a=1&b=2#part"
BROWSER = "Mozilla/5.0 (Linux; Android 9; CUBOT X19) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537.36"


@pytest.fixture
def token(alice: Producer, database_urls: Any) -> str:
    """The token of a link in a message of Alice's."""
    automation = alice.create()
    contact_id = example_executions.create_contact(alice)
    execution_id = example_executions.create_execution(alice, automation, contact_id=contact_id)
    message_id = example_executions.create_message(alice, automation, execution_id, contact_id=contact_id)
    token = message_link.new_token()
    columns = "(token, workspace_id, message_id, position, url)"
    values = f"('{token}', '{alice.workspace_id}', '{message_id}', 1, '{TARGET}')"
    run_sql(database_urls.owner, "set role beckon_service", f"insert into message_links {columns} values {values}")
    return token


def click(client: FlaskClient, token: str, method: str = "GET", **headers: str) -> TestResponse:
    return client.open(f"/l/{token}", method=method, headers={"User-Agent": BROWSER, **headers})


def count_clicks(alice: Producer) -> tuple[int, int]:
    """The clicked links, and the messages with a click."""
    with acting_as(alice.workspace_id):
        return (
            count(MessageLink.select().where(MessageLink.clicked_at.is_null(False))),
            count(MessageResponse.select().where(MessageResponse.kind == "clicked")),
        )


def test_a_click_leads_to_the_stored_address_without_cookie_and_referrer(client: FlaskClient, token: str) -> None:
    response = click(client, token)
    assert (response.status_code, response.headers["Location"], response.data) == (302, TARGET, b"")
    assert (response.headers["Referrer-Policy"], response.headers["Cache-Control"]) == ("no-referrer", "no-store")
    assert "Set-Cookie" not in response.headers


def test_a_person_is_counted_once_and_the_timeline_shows_it(alice: Producer, client: FlaskClient, token: str) -> None:
    for _ in range(3):
        assert click(client, token).status_code == 302
    assert count_clicks(alice) == (1, 1)
    execution = alice.get("/api/executions").json["executions"][0]
    (message,) = alice.get(f"/api/executions/{execution['id']}").json["execution"]["messages"]
    (link,) = message["links"]
    assert link["url"] == TARGET
    assert link["clickedAt"].endswith("Z")


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("HEAD", {}),
        ("GET", {"Sec-Purpose": "prefetch;prerender"}),
        ("GET", {"Purpose": "prefetch"}),
        ("GET", {"X-Purpose": "preview"}),
        ("GET", {"X-Moz": "prefetch"}),
        ("GET", {"User-Agent": "facebookexternalhit/1.1"}),
        ("GET", {"User-Agent": "WhatsApp/2.23.20.0 A"}),
        ("GET", {"User-Agent": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"}),
        ("GET", {"User-Agent": "Mozilla/5.0 (compatible; bingbot/2.0)"}),
        ("GET", {"User-Agent": "TelegramBot (like TwitterBot)"}),
    ],
)
def test_requests_without_a_person_are_led_there_and_not_counted(
    alice: Producer, client: FlaskClient, token: str, method: str, headers: dict[str, str]
) -> None:
    response = click(client, token, method, **headers)
    assert (response.status_code, response.headers["Location"]) == (302, TARGET)
    assert count_clicks(alice) == (0, 0)


def test_an_unknown_token_leads_nowhere(client: FlaskClient, token: str) -> None:
    for unknown in (message_link.new_token(), "x", "a" * 500, token.swapcase(), "%00"):
        response = click(client, unknown)
        assert (response.status_code, response.mimetype) == (404, "text/plain"), unknown
        assert "Location" not in response.headers


def test_the_address_cannot_be_changed_by_the_request(client: FlaskClient, token: str) -> None:
    assert click(client, "https:%2F%2Fevil.example").status_code == 404
    response = client.get(f"/l/{token}?url=https://evil.example&next=//evil.example")
    assert response.headers["Location"] == TARGET


def test_requests_of_one_address_are_limited(client: FlaskClient, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_links, "LINK_LIMIT", RateLimit("message-links", 0.01, 2))
    responses = [click(client, token) for _ in range(3)]
    assert [response.status_code for response in responses] == [302, 302, 429]
    assert int(responses[-1].headers["Retry-After"]) > 0


def test_without_postgresql_a_link_says_so(client: FlaskClient, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise psycopg2.OperationalError("could not connect")

    monkeypatch.setattr(message_link, "follow", refuse)
    response = click(client, token)
    assert (response.status_code, response.headers["Retry-After"], response.mimetype) == (503, "5", "text/plain")


def test_tokens_are_short_and_different() -> None:
    tokens = {message_link.new_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(len(token) == 12 and message_link.is_token(token) for token in tokens)


def test_health_names_the_missing_address_once_a_step_counts_clicks(alice: Producer) -> None:
    def list_variables() -> list[str]:
        return [row["variable"] for row in alice.get("/api/health").json["configuration"]]

    counted = definition()
    counted["steps"][0] |= {"action": "send_sms", "with": {"body": "Hello"}}
    alice.create(definition=counted)
    assert "BECKON_URL" not in list_variables()
    counted["steps"][0]["track_clicks"] = True
    alice.create(definition={"trigger": {"type": "a"}, "steps": [branch(counted["steps"])]})
    eventually(lambda: "BECKON_URL" in list_variables())


def branch(steps: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": "fork", "action": "branch", "if": "contact.tags contains 'lead'", "then": steps}
