"""APIs compatible with OpenAI: a 200 does not guarantee a text, and only OpenAI itself requires a key."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from providers import openai_compatible, responses, text_generation
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

ACCOUNT = Account("openai", "https://api.openai.com/v1", {"OPENAI_API_KEY": "hushhush-0123456789"})
PROMPT = Prompt("gpt-4.1-mini", "Write to Ada about pricing.", "You write one short message.", 256, 0.7)


def generate(sandbox: RunningSandbox, prompt: Prompt = PROMPT) -> GeneratedText:
    return openai_compatible.generate(build_sandbox_account("openai", sandbox.url), prompt)


def build_completion(**choice: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": " Hi Ada ", "refusal": None}
    choice_fields = {"index": 0, "finish_reason": "stop", "message": message, **choice}
    return {
        "model": "gpt-4.1-mini-2025",
        "choices": [choice_fields],
        "usage": {"prompt_tokens": 18, "completion_tokens": 12},
    }


def test_a_prompt_becomes_a_text_with_token_counts(sandbox: RunningSandbox) -> None:
    generated = generate(sandbox)

    assert generated.text.startswith("Hi Ada, ")
    assert (generated.model, generated.finish_reason) == ("gpt-4.1-mini", "stop")
    assert generated.input_tokens > 0
    assert generated.output_tokens > 0
    kept = sandbox.list_messages("openai", "gpt-4.1-mini")[0]
    assert kept["path"] == "/v1/chat/completions"
    assert kept["headers"]["authorization"] == "***"
    assert kept["body"] == {
        "model": "gpt-4.1-mini",
        "messages": [
            {"role": "system", "content": "You write one short message."},
            {"role": "user", "content": "Write to Ada about pricing."},
        ],
        "max_tokens": 256,
        "temperature": 0.7,
    }


def test_openai_gets_the_budget_by_its_newer_name() -> None:
    request = openai_compatible._build_payload(Prompt("gpt-5", "Hi"), "https://api.openai.com/v1")
    assert request == {"model": "gpt-5", "messages": [{"role": "user", "content": "Hi"}], "max_completion_tokens": 1024}


#: Each row of the table: the status, the error's code, and what it means.
ROWS: list[tuple[int, str, type[ExecutionError]]] = [
    (400, "content_filter", Blocked),
    (400, "content_policy_violation", Blocked),
    (400, "model_not_found", ConfigurationError),
    (400, "", InvalidRequest),
    (401, "", ConfigurationError),
    (402, "", ConfigurationError),
    (403, "", ConfigurationError),
    (404, "", ConfigurationError),
    (413, "", InvalidRequest),
    (422, "", InvalidRequest),
    (429, "insufficient_quota", ConfigurationError),
    (429, "billing_hard_limit_reached", ConfigurationError),
    (429, "", RateLimited),
]


def classify(status: int, body: Any, headers: dict[str, str] | None = None) -> ExecutionError:
    return openai_compatible.classify_error(
        ACCOUNT, responses.Response(status, headers or {}, json.dumps(body).encode())
    )


@pytest.mark.parametrize(("status", "code", "expected"), ROWS)
@pytest.mark.parametrize("field", ["code", "type"])
def test_every_error_has_its_class(status: int, code: str, expected: type[ExecutionError], field: str) -> None:
    assert type(classify(status, {"error": {"message": "no", field: code or None}})) is expected


def test_no_row_of_the_table_is_untested() -> None:
    assert {(status, code) for status, code, _ in ROWS} == {(row[0], row[1]) for row in openai_compatible.ERROR_RULES}


@pytest.mark.parametrize("body", [[], {}, {"error": "no such route"}, {"error": {"code": 5}}])
def test_a_malformed_error_is_classified(body: Any) -> None:
    assert isinstance(classify(500, body), ProviderUnavailable)
    assert isinstance(classify(400, body), InvalidRequest)


def test_a_rate_limit_has_its_wait() -> None:
    assert classify(429, {"error": {"code": "rate_limit_exceeded"}}, {"Retry-After": "20"}).retry_after == 20


def test_an_error_does_not_contain_the_key() -> None:
    assert "hushhush" not in classify(401, {"error": {"message": "bad key hushhush-0123456789"}}).message


def test_a_response_is_parsed_with_token_counts() -> None:
    generated = openai_compatible.parse_response(build_completion(), "asked-model")
    assert generated == GeneratedText("Hi Ada", "gpt-4.1-mini-2025", 18, 12, "stop")


@pytest.mark.parametrize("reason", ["eos_token", "end_turn", "STOP", "stop_sequence", "", None])
def test_a_whole_answer_under_an_unknown_finish_reason_is_an_answer(reason: str | None) -> None:
    generated = openai_compatible.parse_response(build_completion(finish_reason=reason), "m")
    assert (generated.text, generated.outcome) == ("Hi Ada", text_generation.COMPLETE)


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [("MAX_TOKENS", text_generation.TRUNCATED), ("model_length", text_generation.TRUNCATED),
     ("error", text_generation.INTERRUPTED), ("tool_use", text_generation.INTERRUPTED)],
)  # fmt: skip
def test_an_unfinished_answer_is_no_answer(reason: str, outcome: str) -> None:
    assert openai_compatible.parse_response(build_completion(finish_reason=reason), "m").outcome == outcome


def test_the_parts_of_a_content_are_joined_without_reasoning() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "She likes tea."}]},
        {"type": "reasoning", "text": "Greet her."},
        {"type": "text", "text": "Hi "},
        {"type": "output_text", "text": "Ada"},
        7,
    ]
    completion = build_completion(message={"content": parts, "reasoning_content": "x", "reasoning": "y"})
    assert openai_compatible.parse_response(completion, "m").text == "Hi Ada"


def test_a_response_of_reasoning_alone_has_no_text(scripted_server: Callable[..., Any]) -> None:
    message = {"content": None, "reasoning_content": "She likes tea."}
    server = scripted_server(respond_with(build_completion(message=message)))
    with pytest.raises(InvalidRequest, match="without a text"):
        openai_compatible.generate(build_account(server), PROMPT)


def test_a_filtered_response_and_a_refusal_are_blocked() -> None:
    with pytest.raises(Blocked, match="content_filter"):
        openai_compatible.parse_response(build_completion(finish_reason="content_filter"), "m")
    with pytest.raises(Blocked, match="SAFETY"):
        openai_compatible.parse_response(build_completion(finish_reason="SAFETY"), "m")
    with pytest.raises(Blocked, match="I cannot"):
        openai_compatible.parse_response(build_completion(message={"content": None, "refusal": "I cannot"}), "m")


@pytest.mark.parametrize(
    "body", [{}, {"choices": []}, {"choices": 5}, {"choices": [[]]}, {"choices": [{"finish_reason": "stop"}]}]
)
def test_a_malformed_response_is_retryable(body: dict[str, Any]) -> None:
    with pytest.raises(ProviderUnavailable):
        openai_compatible.parse_response(body, "m")


def test_a_truncated_response_is_retried_once_with_a_larger_budget(scripted_server: Callable[..., Any]) -> None:
    server = scripted_server(respond_with(build_completion(finish_reason="length")), respond_with(build_completion()))

    generated = openai_compatible.generate(build_account(server), PROMPT)

    assert generated.finish_reason == "stop"
    budgets = [json.loads(request.partition(b"\r\n\r\n")[2])["max_tokens"] for request in server.requests]
    assert budgets == [256, 1024]


def test_a_response_truncated_twice_asks_the_operator_for_more_tokens(scripted_server: Callable[..., Any]) -> None:
    server = scripted_server(*[respond_with(build_completion(finish_reason="length"))] * 2)
    with pytest.raises(InvalidRequest, match="Raise max_tokens"):
        openai_compatible.generate(build_account(server), PROMPT)


@pytest.mark.parametrize("content", [None, "", "  \n", 5, [], "\u200b\u3164", "<think>She likes tea.", [{"type": "x"}]])
def test_an_empty_text_is_invalid(scripted_server: Callable[..., Any], content: Any) -> None:
    server = scripted_server(respond_with(build_completion(message={"role": "assistant", "content": content})))
    with pytest.raises(InvalidRequest, match="without a text"):
        openai_compatible.generate(build_account(server), PROMPT)


def test_an_interrupted_response_is_retried_once(scripted_server: Callable[..., Any]) -> None:
    server = scripted_server(
        respond_with(build_completion(finish_reason="tool_calls")), respond_with(build_completion())
    )
    assert openai_compatible.generate(build_account(server), PROMPT).text == "Hi Ada"


def test_a_self_hosted_server_needs_no_key(scripted_server: Callable[..., Any]) -> None:
    server = scripted_server(respond_with(build_completion()))

    assert openai_compatible.generate(build_account(server), PROMPT).text == "Hi Ada"

    assert b"authorization" not in server.requests[0].lower()


def test_openai_requires_a_key() -> None:
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        openai_compatible.generate(Account("openai", "https://api.openai.com/v1", {}), PROMPT)


def build_account(server: Any) -> Account:
    return Account("openai", f"{server.url}/v1", {})


def respond_with(body: Any) -> Callable[[Any, Any], None]:
    raw = json.dumps(body).encode()

    def script(server: Any, sock: Any) -> None:
        server.read(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(raw) + raw)

    return script
