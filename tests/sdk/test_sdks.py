"""The providers' own SDKs against the sandbox: they succeed, and read its errors as their own exceptions.

Each SDK runs in an environment of its own, which `make sdk-tests` builds; without it its tests are skipped.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from providers.webhook import build_signature_headers
from sandbox.callbacks import build_event_callback
from sandbox.server import RunningSandbox
from tests.sdk import recording
from tests.sdk.calls import CALLS, RecordedCall
from tests.sdk.conftest import PUBLIC_KEY, SEED

pytestmark = pytest.mark.slow
Call = Callable[..., dict[str, Any]]

SMS = {"to": "+15550100", "from_": "+15550199", "text": "Hello Ada"}
EMAIL = {"from": "hello@example.com", "to": "ada@example.com", "subject": "Hello", "text": "Hello Ada"}
PROMPT = {"model": "gemini-2.5-flash", "contents": "Write to Ada about pricing."}
DIRECT = {"recipient": {"id": "157"}, "messaging_type": "RESPONSE", "message": {"text": "Hello Ada"}}


@pytest.mark.parametrize("case", CALLS, ids=lambda case: f"{case.sdk}-{case.name}")
def test_the_recorded_request_is_the_sdks(
    sandbox: RunningSandbox, call: Call, monkeypatch: pytest.MonkeyPatch, case: RecordedCall
) -> None:
    requests = recording.record_requests(sandbox, monkeypatch)
    call(case.sdk, case.call, **case.arguments)
    if os.environ.get("RECORD"):
        recording.save(case.sdk, case.name, recording.to_recording(requests[0]))

    theirs = recording.to_request(recording.load(case.sdk)[case.name])

    assert recording.find_differences(requests[0], theirs) == {}


def test_telnyx_sends_and_gets(sandbox: RunningSandbox, call: Call) -> None:
    sent = call("telnyx", "send", **SMS)["returned"]
    got = call("telnyx", "get", message_id=sent["id"])["returned"]

    assert (sent["to"][0]["status"], sent["parts"], sent["encoding"]) == ("queued", 1, "GSM-7")
    assert (got["id"], got["text"], got["from"]["phone_number"]) == (sent["id"], "Hello Ada", "+15550199")
    assert [message["id"] for message in sandbox.list_messages("telnyx")] == [sent["id"]]


@pytest.mark.parametrize(("event", "kind"), [("delivered", "message.finalized"), ("replied", "message.received")])
def test_telnyx_unwraps_the_sandboxs_webhook(sandbox: RunningSandbox, call: Call, event: str, kind: str) -> None:
    call("telnyx", "send", **SMS)
    (message,) = sandbox.sandbox.store.messages
    callback = build_event_callback(message, {"event": event, "text": "Hi"}, {"telnyx": SEED}, "")
    body = callback.body.decode()

    unwrapped = call("telnyx", "unwrap", body=body, headers=dict(callback.headers), public_key=PUBLIC_KEY)
    forged = call("telnyx", "unwrap", body=body + " ", headers=dict(callback.headers), public_key=PUBLIC_KEY)

    assert unwrapped["returned"]["data"]["event_type"] == kind
    assert "raised" in forged


@pytest.mark.parametrize(
    ("fault", "fields", "error", "codes"),
    [
        ("auth", SMS, "AuthenticationError", ["10009"]),
        ("http_429", SMS, "RateLimitError", ["10011"]),
        ("http_500", SMS, "InternalServerError", ["10007"]),
        (None, {**SMS, "to": "5550100"}, "BadRequestError", ["40310"]),
        (None, {**SMS, "text": "x" * 2_000}, "UnprocessableEntityError", ["40302"]),
    ],
)
def test_telnyx_reads_the_sandboxs_errors(
    sandbox: RunningSandbox, call: Call, fault: str | None, fields: dict[str, Any], error: str, codes: list[str]
) -> None:
    if fault:
        sandbox.add_fault("telnyx", fault, seconds=7 if fault == "http_429" else 0)

    raised = call("telnyx", "send", **fields)["raised"]

    assert raised["classes"][0] == error
    assert raised["fields"]["codes"] == codes
    assert raised["fields"]["wait"] == ("7" if fault == "http_429" else None)


def test_google_genai_generates_and_streams(call: Call) -> None:
    whole = call("google_genai", "generate", **PROMPT)["returned"]
    chunks = call("google_genai", "stream", **PROMPT)["returned"]

    assert whole["finish"] == "STOP"
    assert whole["model"] == "gemini-2.5-flash"
    assert "Ada" in whole["text"]
    assert len(chunks) > 1
    assert "".join(chunk["text"] for chunk in chunks) == whole["text"]


@pytest.mark.parametrize("name", ["generate", "stream"])
@pytest.mark.parametrize(
    ("fault", "fields", "error", "status"),
    [
        ("auth", PROMPT, "ClientError", (400, "INVALID_ARGUMENT")),
        ("http_429", PROMPT, "ClientError", (429, "RESOURCE_EXHAUSTED")),
        ("http_500", PROMPT, "ServerError", (500, "INTERNAL")),
        (None, {**PROMPT, "model": "gemini-nope"}, "ClientError", (404, "NOT_FOUND")),
        (
            None,
            {**PROMPT, "contents": [{"role": "assistant", "parts": [{"text": "Hi"}]}]},
            "ClientError",
            (400, "INVALID_ARGUMENT"),
        ),
    ],
)
def test_google_genai_reads_the_sandboxs_errors(
    sandbox: RunningSandbox,
    call: Call,
    name: str,
    fault: str | None,
    fields: dict[str, Any],
    error: str,
    status: tuple[int, str],
) -> None:
    if fault:
        sandbox.add_fault("gemini", fault, seconds=7)

    raised = call("google_genai", name, **fields)["raised"]

    assert raised["classes"][:2] == [error, "APIError"]
    assert (raised["fields"]["code"], raised["fields"]["status"]) == status
    assert ("'retryDelay': '7s'" in raised["text"]) is (fault == "http_429")


def test_mailgun_sends_to_several_recipients(sandbox: RunningSandbox, call: Call) -> None:
    to = ["ada@example.com", "Bob <bob@example.com>"]

    answer = call("mailgun", "send", domain="example.com", fields={**EMAIL, "to": to})["returned"]

    assert answer["status"] == 200
    assert answer["body"]["message"] == "Queued. Thank you."
    messages = sandbox.list_messages("mailgun")
    assert [(message["to"], message["id"]) for message in messages] == [
        ("ada@example.com", answer["body"]["id"]),
        ("bob@example.com", answer["body"]["id"]),
    ]


@pytest.mark.parametrize(
    ("fault", "fields", "answer"),
    [
        ("auth", EMAIL, {"status": 401, "body": "Forbidden"}),
        (
            "http_429",
            EMAIL,
            {
                "status": 429,
                "body": {"message": "Domain is not allowed to send: request limit exceeded, try again after 7 seconds"},
            },
        ),
        (
            None,
            {**EMAIL, "to": "ada"},
            {
                "status": 400,
                "body": {"message": "to parameter is not a valid address. please check documentation"},
            },
        ),
        (
            None,
            {**EMAIL, "to": [f"user{number}@example.com" for number in range(1_001)]},
            {"status": 400, "body": {"message": "Too many recipients, max is 1000"}},
        ),
    ],
)
def test_mailgun_returns_the_sandboxs_errors(
    sandbox: RunningSandbox, call: Call, fault: str | None, fields: dict[str, Any], answer: dict[str, Any]
) -> None:
    if fault:
        # The SDK repeats a call that was limited.
        sandbox.add_fault("mailgun", fault, times=0, seconds=7)

    assert call("mailgun", "send", domain="example.com", fields=fields)["returned"] == answer


@pytest.mark.parametrize(
    ("fault", "fields", "answer"),
    [
        (None, {"text": "Hello Ada"}, {"status": 200, "body": "ok"}),
        ("auth", {"text": "Hello Ada"}, {"status": 403, "body": "invalid_token"}),
        ("http_429", {"text": "Hello Ada"}, {"status": 429, "body": "rate_limited"}),
        ("http_500", {"text": "Hello Ada"}, {"status": 500, "body": "rollup_error"}),
        (None, {"username": "Beckon"}, {"status": 400, "body": "no_text"}),
        (None, {"text": "Hello Ada", "attachments": [{}] * 101}, {"status": 400, "body": "too_many_attachments"}),
    ],
)
def test_slack_sdk_reads_the_sandboxs_answers(
    sandbox: RunningSandbox, call: Call, fault: str | None, fields: dict[str, Any], answer: dict[str, Any]
) -> None:
    if fault:
        sandbox.add_fault("slack", fault, seconds=7)

    assert call("slack_sdk", "send_fields", fields=fields)["returned"] == answer


def test_slack_sdk_reads_how_long_to_wait(sandbox: RunningSandbox, call: Call) -> None:
    sandbox.add_fault("slack", "http_429", seconds=7)

    assert call("slack_sdk", "send", text="Hello Ada")["returned"]["wait"] == "7"


@pytest.mark.parametrize("sdk", ["discord_webhook", "discord_py"])
def test_discords_libraries_read_the_message_that_they_wait_for(sandbox: RunningSandbox, call: Call, sdk: str) -> None:
    returned = call(sdk, "send", content="Hello Ada")["returned"]

    (message,) = sandbox.list_messages("discord")
    assert returned["id"] == message["id"]


@pytest.mark.parametrize("sdk", ["discord_webhook", "discord_py"])
def test_discords_libraries_wait_out_a_rate_limit(sandbox: RunningSandbox, call: Call, sdk: str) -> None:
    sandbox.add_fault("discord", "http_429", seconds=0.2)
    more = {"rate_limit_retry": True} if sdk == "discord_webhook" else {}

    assert call(sdk, "send", content="Hello Ada", **more)["returned"]["id"]
    assert len(sandbox.list_messages("discord")) == 1


@pytest.mark.parametrize(
    ("fault", "content", "status", "code"),
    [("auth", "Hello Ada", 401, 50027), (None, "x" * 2_001, 400, 50035), (None, " ", 400, 50006)],
)
def test_discords_libraries_read_the_sandboxs_errors(
    sandbox: RunningSandbox, call: Call, fault: str | None, content: str, status: int, code: int
) -> None:
    for _ in range(2 if fault else 0):
        sandbox.add_fault("discord", str(fault))

    raised = call("discord_py", "send", content=content)["raised"]
    returned = call("discord_webhook", "send", content=content)["returned"]

    assert "HTTPException" in raised["classes"]
    assert (raised["fields"]["status"], raised["fields"]["code"]) == (status, code)
    assert (returned["status"], returned["body"]["code"]) == (status, code)


def test_discord_py_need_not_wait(sandbox: RunningSandbox, call: Call) -> None:
    assert call("discord_py", "send", content="Hello Ada", wait=False) == {"returned": None}
    assert len(sandbox.list_messages("discord")) == 1


def test_facebook_business_sends_with_the_token_as_a_parameter(sandbox: RunningSandbox, call: Call) -> None:
    sent = call("facebook_business", "send", page="100000000000001", params=DIRECT)["returned"]
    profile = call("facebook_business", "get_profile", person="157", fields="is_user_follow_business")["returned"]

    assert sent["message_id"] == sandbox.list_messages("facebook")[0]["id"]
    assert profile["is_user_follow_business"] is True


@pytest.mark.parametrize(
    ("fault", "params", "token", "codes"),
    [
        ({"fault": "auth"}, DIRECT, "KEY", (400, 190, 463)),
        ({"fault": "http_429", "seconds": 120}, DIRECT, "KEY", (400, 613, None)),
        ({"fault": "refused", "code": 10, "subcode": 2018278}, DIRECT, "KEY", (400, 10, 2018278)),
        (None, DIRECT, "not a token", (401, 190, None)),
        (None, {"message": {"text": "Hi"}}, "KEY", (400, 100, None)),
        (None, {**DIRECT, "message": {"text": "x" * 2_001}}, "KEY", (400, 100, None)),
    ],
)
def test_facebook_business_reads_the_sandboxs_errors(
    sandbox: RunningSandbox,
    call: Call,
    fault: dict[str, Any] | None,
    params: dict[str, Any],
    token: str,
    codes: tuple[int, int, int | None],
) -> None:
    if fault:
        sandbox.add_fault("facebook", **fault)

    raised = call("facebook_business", "send", page="100000000000001", params=params, token=token)["raised"]

    assert raised["classes"][0] == "FacebookRequestError"
    assert tuple(raised["fields"][name] for name in ("status", "code", "subcode")) == codes
    assert raised["fields"]["kind"] == "OAuthException"


def test_standardwebhooks_verifies_our_signature(call: Call) -> None:
    body, secrets = '{"amount": 12.5, "name": "Zoë"}', ("whsec_" + "c2VjcmV0" * 6, "whsec_" + "cm90YXRl" * 6)
    headers = build_signature_headers(" ".join(secrets), "exec-1:hello:0", datetime.now(UTC), body)

    for secret in secrets:
        verified = call("standardwebhooks", "verify", secret=secret, body=body, headers=headers)
        assert verified == {"returned": {"amount": 12.5, "name": "Zoë"}}
    other = call("standardwebhooks", "verify", secret="whsec_" + "b3RoZXIh" * 6, body=body, headers=headers)
    forged = call("standardwebhooks", "verify", secret=secrets[0], body=body.replace("12", "13"), headers=headers)

    assert other["raised"]["classes"] == forged["raised"]["classes"] == ["WebhookVerificationError"]
