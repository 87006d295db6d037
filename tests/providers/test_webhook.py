"""A customer's endpoint: the class of each status, and the signature that identifies us."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from providers import responses, webhook
from providers.base import OutgoingMessage
from providers.registry import build_sandbox_account
from rules.errors import AuthRefused, ExecutionError, InvalidRequest, ProviderUnavailable, RateLimited
from sandbox.server import RunningSandbox


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (301, InvalidRequest),
        (302, InvalidRequest),
        (400, InvalidRequest),
        (401, AuthRefused),
        (403, AuthRefused),
        (404, InvalidRequest),
        (407, AuthRefused),
        (408, ProviderUnavailable),
        (410, InvalidRequest),
        (425, ProviderUnavailable),
        (429, RateLimited),
        (500, ProviderUnavailable),
        (502, ProviderUnavailable),
        (503, ProviderUnavailable),
        (504, ProviderUnavailable),
    ],
)
def test_every_status_has_its_class(status: int, expected: type[ExecutionError]) -> None:
    error = webhook.classify_error(responses.Response(status, {}, b"secret words of the receiver"))

    assert type(error) is expected
    assert error.provider_code == str(status)


@pytest.mark.parametrize("status", [429, 503])
def test_a_receivers_retry_after_is_used(status: int) -> None:
    assert webhook.classify_error(responses.Response(status, {"Retry-After": "90"}, b"")).retry_after == 90


def test_the_signature_matches_the_standard(sample: Callable[[str], Any]) -> None:
    vector = sample("standard_webhooks/vector_v1.json")
    at = datetime.fromtimestamp(int(vector["webhook-timestamp"]), UTC)

    headers = webhook.build_signature_headers(vector["secret"], vector["webhook-id"], at, vector["body"])

    assert headers == {name: vector[name] for name in ("webhook-id", "webhook-timestamp", "webhook-signature")}


def test_every_attempt_has_the_same_id(sandbox: RunningSandbox) -> None:
    account = build_sandbox_account("webhook", sandbox.url)
    for _ in range(2):
        webhook.PROVIDER.send(account, OutgoingMessage(key="exec-1/call/0", to="https://example.com/in", body="{}"))

    assert {message["headers"]["webhook-id"] for message in sandbox.list_messages("webhook")} == {"exec-1/call/0"}


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        ('{"a": 1}', {}, "application/json"),
        ("hello", {}, "text/plain; charset=utf-8"),
        ("<a/>", {"content-type": "text/xml"}, "text/xml"),
    ],
)
def test_the_content_type_is_the_steps_or_matches_the_body(
    sandbox: RunningSandbox, body: str, headers: dict[str, str], expected: str
) -> None:
    call = OutgoingMessage(key="k", to="https://example.com/in", body=body, headers=headers)

    webhook.PROVIDER.send(build_sandbox_account("webhook", sandbox.url), call)

    assert sandbox.list_messages("webhook")[0]["headers"]["content-type"] == expected
