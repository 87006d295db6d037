"""Slack and Discord: the class of each error, and the secrecy of their URLs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from providers import discord, responses, slack
from providers.base import Account, OutgoingMessage
from providers.registry import build_sandbox_account
from rules.errors import (
    ConfigurationError,
    ExecutionError,
    InvalidRequest,
    RateLimited,
    UnknownOutcome,
)
from sandbox.server import RunningSandbox

HUSH = "https://discord.example.com/api/v10/webhooks/1/hushhush"


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        (400, "invalid_payload", InvalidRequest),
        (400, "no_text", InvalidRequest),
        (400, "too_many_attachments", InvalidRequest),
        (400, "something_new", InvalidRequest),
        (403, "action_prohibited", ConfigurationError),
        (403, "posting_to_general_channel_denied", ConfigurationError),
        (403, "invalid_token", ConfigurationError),
        (403, "something_new", ConfigurationError),
        (404, "channel_not_found", ConfigurationError),
        (404, "no_service", ConfigurationError),
        (404, "no_active_hooks", ConfigurationError),
        (404, "no_team", ConfigurationError),
        (404, "team_disabled", ConfigurationError),
        (410, "channel_is_archived", ConfigurationError),
        (429, "rate_limited", RateLimited),
        (500, "rollup_error", UnknownOutcome),
        (200, "not ok", UnknownOutcome),
        (302, "", InvalidRequest),
    ],
)
def test_every_error_of_slack_has_its_class(status: int, text: str, expected: type[ExecutionError]) -> None:
    assert type(slack.classify_error(responses.Response(status, {}, text.encode()))) is expected


def test_slack_sends_its_wait_in_a_header() -> None:
    assert slack.classify_error(responses.Response(429, {"Retry-After": "30"}, b"")).retry_after == 30


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"message": "Invalid Form Body", "code": 50035}, InvalidRequest),
        (401, {"message": "Invalid Webhook Token", "code": 50027}, ConfigurationError),
        (403, {"message": "Missing Access", "code": 50001}, ConfigurationError),
        (404, {"message": "Unknown Webhook", "code": 10015}, ConfigurationError),
        (413, {}, InvalidRequest),
        (429, {"retry_after": 1.5}, RateLimited),
        (500, {}, UnknownOutcome),
        (200, {}, UnknownOutcome),
        (200, {"id": 5}, UnknownOutcome),
    ],
)
def test_every_error_of_discord_has_its_class(status: int, body: Any, expected: type[ExecutionError]) -> None:
    assert type(discord.classify_error(responses.Response(status, {}, json.dumps(body).encode()))) is expected


def test_discord_sends_its_wait_in_seconds(sample: Callable[[str], Any]) -> None:
    body = json.dumps(sample("discord/error_429.json")).encode()

    assert discord.classify_error(responses.Response(429, {"Retry-After": "65"}, body)).retry_after == 64.57
    assert discord.classify_error(responses.Response(429, {"Retry-After": "65"}, b"")).retry_after == 65
    assert (
        discord.classify_error(responses.Response(429, {"Retry-After": "65"}, b'{"retry_after": []}')).retry_after
        is None
    )


def test_a_discord_notice_mentions_nobody(sandbox: RunningSandbox) -> None:
    notice = OutgoingMessage(key="k", to="", body="@everyone run failed")

    receipt = discord.PROVIDER.send(build_sandbox_account("discord", sandbox.url), notice)

    kept = sandbox.list_messages("discord")[0]
    assert kept["body"] == {"content": "@everyone run failed", "allowed_mentions": {"parse": []}}
    assert receipt.provider_message_id == kept["id"]


@pytest.mark.parametrize("body", ["", "  ", "x" * 2001])
def test_a_discord_notice_of_an_invalid_length_is_not_sent(sandbox: RunningSandbox, body: str) -> None:
    with pytest.raises(InvalidRequest):
        discord.PROVIDER.send(build_sandbox_account("discord", sandbox.url), OutgoingMessage(key="k", to="", body=body))
    assert sandbox.list_messages() == []


def test_a_url_with_a_thread_keeps_it(scripted_server: Callable[..., Any]) -> None:
    server = scripted_server(
        lambda server, sock: (server.read(sock), sock.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")),
    )
    url = f"{server.url}/api/v10/webhooks/1/hushhush?thread_id=7"
    account = Account("discord", "", {"DISCORD_WEBHOOK_URL": url}, allowed_networks=("127.0.0.0/8",))

    assert discord.PROVIDER.send(account, OutgoingMessage(key="k", to="", body="hello")).provider_message_id is None

    assert server.requests[0].startswith(b"POST /api/v10/webhooks/1/hushhush?thread_id=7&wait=true HTTP/1.1\r\n")


@pytest.mark.parametrize("script", ["silence", "garbage"])
def test_no_error_contains_the_url_of_a_notice(scripted_server: Callable[..., Any], script: str) -> None:
    reply = b"" if script == "silence" else b"HTTP/1.1 500 \r\nbroken\r\n\r\n"
    server = scripted_server(lambda server, sock: (server.read(sock), sock.sendall(reply)))
    url = f"{server.url}/services/hushhush"
    account = Account("slack", url, {"SLACK_WEBHOOK_URL": url}, allowed_networks=("127.0.0.0/8",))

    with pytest.raises(UnknownOutcome) as error:
        slack.PROVIDER.send(account, OutgoingMessage(key="k", to="", body="hello"))

    assert "hushhush" not in f"{error.value!r} {vars(error.value)} {account!r}"
