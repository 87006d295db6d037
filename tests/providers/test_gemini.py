"""Gemini: a 200 does not guarantee a text, and a retry is safe."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from providers import gemini, responses, text_generation
from providers.base import Account
from providers.registry import build_sandbox_account
from providers.text_generation import GeneratedText, Prompt
from rules.errors import (
    Blocked,
    ConfigurationError,
    ExecutionError,
    InvalidRequest,
    ProviderUnavailable,
    RateLimited,
)
from sandbox.server import RunningSandbox

ACCOUNT = Account("gemini", "https://example.com/v1beta", {"GEMINI_API_KEY": "hushhush-0123456789"})
PROMPT = Prompt("gemini-2.5-flash", "Write to Ada about pricing.", "You write one short message.", 256, 0.7)


def generate(sandbox: RunningSandbox, prompt: Prompt = PROMPT) -> GeneratedText:
    return gemini.generate(build_sandbox_account("gemini", sandbox.url), prompt)


def test_a_prompt_becomes_a_text_with_token_counts(sandbox: RunningSandbox) -> None:
    generated = generate(sandbox)

    assert generated.text.startswith("Hi Ada, ")
    assert "about pricing" in generated.text
    assert (generated.model, generated.finish_reason) == ("gemini-2.5-flash", "STOP")
    assert generated.input_tokens > 0
    assert generated.output_tokens > 0
    kept = sandbox.list_messages("gemini", "gemini-2.5-flash")[0]
    assert kept["headers"]["x-goog-api-key"] == "***"
    assert "key=" not in kept["path"]


def test_the_sandbox_generates_the_same_text_for_the_same_prompt(sandbox: RunningSandbox) -> None:
    assert generate(sandbox).text == generate(sandbox).text


def classify(status: int, body: Any) -> ExecutionError:
    return gemini.classify_error(ACCOUNT, responses.Response(status, {}, json.dumps(body).encode()))


@pytest.mark.parametrize(
    ("status", "name", "expected"),
    [
        (400, "INVALID_ARGUMENT", InvalidRequest),
        (400, "FAILED_PRECONDITION", ConfigurationError),
        (401, "UNAUTHENTICATED", ConfigurationError),
        (403, "PERMISSION_DENIED", ConfigurationError),
        (404, "NOT_FOUND", ConfigurationError),
        (413, "", InvalidRequest),
        (429, "RESOURCE_EXHAUSTED", RateLimited),
        (499, "CANCELLED", ProviderUnavailable),
        (500, "INTERNAL", ProviderUnavailable),
        (503, "UNAVAILABLE", ProviderUnavailable),
        (504, "DEADLINE_EXCEEDED", ProviderUnavailable),
    ],
)
@pytest.mark.parametrize("wrap", [True, False])
def test_every_error_has_its_class(status: int, name: str, expected: type[ExecutionError], wrap: bool) -> None:
    if not wrap and name == "FAILED_PRECONDITION":
        expected = InvalidRequest
    body = {"error": {"code": status, "message": "no", "status": name}} if wrap else ["unexpected"]

    assert type(classify(status, body)) is expected


def test_the_samples_of_errors_are_classified(sample: Callable[[str], Any]) -> None:
    assert isinstance(classify(400, sample("gemini/error_400_api_key.json")), ConfigurationError)
    assert isinstance(classify(503, sample("gemini/error_503.json")), ProviderUnavailable)
    assert classify(429, sample("gemini/error_429.json")).retry_after == 53


@pytest.mark.parametrize("more", [[], [{"retryDelay": "53s"}]])
def test_a_daily_quota_waits_for_the_end_of_the_day(more: list[dict[str, str]]) -> None:
    violations = [{"quotaId": "GenerateContentInputTokens"}, {"quotaId": "GenerateRequestsPerDayPerProject-FreeTier"}]
    error = classify(429, {"error": {"status": "RESOURCE_EXHAUSTED", "details": [*more, {"violations": violations}]}})

    over = datetime.now(ZoneInfo("America/Los_Angeles")) + timedelta(seconds=error.retry_after or 0)
    assert over.replace(microsecond=0).strftime("%H:%M") in ("00:00", "23:59")


@pytest.mark.parametrize(
    ("now", "hours"), [("2026-05-04T20:00", 4), ("2026-03-08T00:30", 22.5), ("2026-11-01T00:30", 24.5)]
)
def test_a_daily_quota_ends_at_midnight_also_across_a_clock_change(now: str, hours: float) -> None:
    assert gemini._seconds_until_midnight(datetime.fromisoformat(now).replace(tzinfo=gemini.QUOTA_ZONE)) == hours * 3600


def test_an_error_does_not_contain_the_key() -> None:
    error = classify(400, {"error": {"message": "bad key hushhush-0123456789", "status": "INVALID_ARGUMENT"}})
    assert "hushhush" not in error.message


def test_a_text_is_parsed_without_thoughts(sample: Callable[[str], Any]) -> None:
    body = sample("gemini/response_200_stop.json")
    body["candidates"][0]["content"]["parts"].insert(0, {"text": "let me think", "thought": True})

    generated = gemini.parse_response(body, "asked-model")

    assert generated.text == "Hi John, following up on your question about pricing."
    assert (generated.input_tokens, generated.output_tokens, generated.model) == (18, 12, "gemini-2.5-flash")


@pytest.mark.parametrize("name", ["prompt_blocked", "candidate_safety"])
def test_a_blocked_prompt_or_response_is_blocked(sample: Callable[[str], Any], name: str) -> None:
    with pytest.raises(Blocked, match="SAFETY"):
        gemini.parse_response(sample(f"gemini/response_200_{name}.json"), "m")


@pytest.mark.parametrize(
    "reason", ["SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY"]
)
def test_a_reason_that_a_retry_would_not_change_is_blocked(reason: str) -> None:
    with pytest.raises(Blocked):
        gemini.parse_response({"candidates": [{"finishReason": reason}]}, "m")


@pytest.mark.parametrize("reason", ["stop", "END_TURN", "FINISH_REASON_UNSPECIFIED", None])
def test_a_whole_answer_under_an_unknown_reason_is_an_answer(reason: str | None) -> None:
    parts = [{"text": "hm", "thought": True}, {"text": "<think>x</think>Hi"}]
    body = {"candidates": [{"finishReason": reason, "content": {"parts": parts}}]}
    generated = gemini.parse_response(body, "m")
    assert (generated.text, generated.outcome) == ("<think>x</think>Hi", text_generation.COMPLETE)


def test_an_unspecified_reason_without_a_text_is_retryable() -> None:
    with pytest.raises(ProviderUnavailable):
        gemini.parse_response({"candidates": [{"finishReason": "FINISH_REASON_UNSPECIFIED"}]}, "m")


@pytest.mark.parametrize("reason", ["OTHER", "MALFORMED_RESPONSE"])
def test_an_interrupted_response_is_retried_once(
    scripted_server: Callable[..., Any], sample: Callable[[str], Any], reason: str
) -> None:
    broken = {"candidates": [{"finishReason": reason}]}
    server = scripted_server(respond_with(broken), respond_with(sample("gemini/response_200_stop.json")))

    assert gemini.generate(build_account(server), PROMPT).finish_reason == "STOP"


def test_a_response_interrupted_twice_is_not_retried(scripted_server: Callable[..., Any]) -> None:
    server = scripted_server(*[respond_with({"candidates": [{"finishReason": "OTHER"}]})] * 3)

    with pytest.raises(InvalidRequest, match=r"was cut off twice \(OTHER\)"):
        gemini.generate(build_account(server), PROMPT)

    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "body", [{}, {"candidates": []}, {"candidates": 5}, {"candidates": [[]]}, {"candidates": [{"finishReason": 5}]}]
)
def test_a_malformed_response_is_retryable(body: dict[str, Any]) -> None:
    with pytest.raises(ProviderUnavailable, match="documented form"):
        gemini.parse_response(body, "m")


def test_a_truncated_response_is_retried_once_with_a_larger_budget(
    scripted_server: Callable[..., Any], sample: Callable[[str], Any]
) -> None:
    cut, whole = (sample(f"gemini/response_200_{name}.json") for name in ("max_tokens_empty", "stop"))
    server = scripted_server(respond_with(cut), respond_with(whole))

    generated = gemini.generate(build_account(server), PROMPT)

    assert generated.finish_reason == "STOP"
    budgets = [json.loads(request.partition(b"\r\n\r\n")[2])["generationConfig"] for request in server.requests]
    assert [budget["maxOutputTokens"] for budget in budgets] == [256, 1024]


def test_a_response_truncated_twice_asks_the_operator_for_more_tokens(
    scripted_server: Callable[..., Any], sample: Callable[[str], Any]
) -> None:
    cut = sample("gemini/response_200_max_tokens_empty.json")
    server = scripted_server(respond_with(cut), respond_with(cut))
    with pytest.raises(InvalidRequest, match="Raise max_tokens"):
        gemini.generate(build_account(server), PROMPT)


@pytest.mark.parametrize(
    "parts", [[], [{"text": "  \n"}], [{"text": 5}], [7], None, [{"text": "<think>x"}], [{"text": "\u200b"}]]
)
def test_an_empty_text_is_invalid(scripted_server: Callable[..., Any], parts: Any) -> None:
    server = scripted_server(respond_with({"candidates": [{"finishReason": "STOP", "content": {"parts": parts}}]}))
    with pytest.raises(InvalidRequest, match="without a text"):
        gemini.generate(build_account(server), PROMPT)


def build_account(server: Any) -> Account:
    return Account("gemini", f"{server.url}/v1beta", {"GEMINI_API_KEY": "hushhush-0123456789"})


def respond_with(body: Any) -> Callable[[Any, Any], None]:
    raw = json.dumps(body).encode()

    def script(server: Any, sock: Any) -> None:
        server.read(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(raw) + raw)

    return script
