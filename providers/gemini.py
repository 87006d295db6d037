"""Generates text with Google's Gemini: one prompt in, one message or an error out.

A 200 does not guarantee a text: it may report a blocked prompt or response, and a thinking model may use up its whole
budget before it writes a word. Generation has no side effect, so temporary errors are retried. The key is sent in a
header, never in the URL. Page: ai.google.dev, generateContent.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from providers import http_client, responses, text_generation
from providers.base import Account, ErrorRule
from providers.text_generation import GeneratedText, Prompt
from providers.untrusted import get_path, get_text
from rules.errors import ConfigurationError, ExecutionError, InvalidRequest, ProviderUnavailable, RateLimited
from rules.json_text import dump_json

LABEL = "Gemini"
#: The zone of Google's days: a daily quota resets at midnight there.
QUOTA_ZONE = ZoneInfo("America/Los_Angeles")

_KEY = ErrorRule(ConfigurationError, "Check the API key of Gemini.")
_ACCOUNT = ErrorRule(ConfigurationError, "Check the region, the billing and the permissions of the Google project.")
_MODEL = ErrorRule(ConfigurationError, "Check the model's name in this step or in Settings.")
_REQUEST = ErrorRule(InvalidRequest, "Correct the prompt or the settings of this step.")
_SLOW_DOWN = ErrorRule(RateLimited, "It will be retried when the quota allows.")

#: By HTTP status and Google's own status text; "" matches any.
ERROR_RULES: tuple[tuple[int, str, ErrorRule], ...] = (
    (400, "API_KEY_INVALID", _KEY),
    (400, "FAILED_PRECONDITION", _ACCOUNT),
    (400, "", _REQUEST),
    (401, "", _KEY),
    (403, "", _ACCOUNT),
    (404, "", _MODEL),
    (413, "", _REQUEST),
    (429, "", _SLOW_DOWN),
    (499, "", ErrorRule(ProviderUnavailable, "It will be retried automatically.")),
)
#: Finish reasons that a retry would not change.
_BLOCKED_REASONS = frozenset(
    {"SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY"}
)
_UNSPECIFIED_REASON = "FINISH_REASON_UNSPECIFIED"


def generate(account: Account, prompt: Prompt) -> GeneratedText:
    """Generate a message. Raises an `ExecutionError`; `Blocked` if a safety filter refused."""
    return text_generation.generate_text(LABEL, lambda current_prompt: _request_text(account, current_prompt), prompt)


def _request_text(account: Account, prompt: Prompt) -> GeneratedText:
    call = http_client.Call(
        label=LABEL,
        method="POST",
        url=f"{account.base_url.rstrip('/')}/models/{quote(prompt.model, safe='')}:generateContent",
        headers={"x-goog-api-key": account.require_secret("GEMINI_API_KEY"), "Content-Type": "application/json"},
        body=dump_json(_build_payload(prompt)).encode(),
        read_seconds=prompt.read_seconds or text_generation.READ_SECONDS,
    )
    response = http_client.send_request(call)
    if response.status != 200:
        raise classify_error(account, response)
    return parse_response(response.json(), prompt.model)


def _build_payload(prompt: Prompt) -> dict[str, Any]:
    settings: dict[str, Any] = {"maxOutputTokens": prompt.max_tokens}
    if prompt.temperature is not None:
        settings["temperature"] = prompt.temperature
    payload: dict[str, Any] = {
        "contents": [{"role": "user", "parts": [{"text": prompt.text}]}],
        "generationConfig": settings,
    }
    if prompt.system:
        payload["systemInstruction"] = {"parts": [{"text": prompt.system}]}
    return payload


def parse_response(body: Mapping[str, Any], model: str) -> GeneratedText:
    """Return the text of a 200. Raises `Blocked`, or `ProviderUnavailable` if a retry may help."""
    block_reason = get_text(body, "promptFeedback", "blockReason")
    if block_reason:
        raise text_generation.build_blocked_error(LABEL, "the prompt", block_reason)
    candidate = get_path(body, "candidates", 0)
    reason, text = get_text(candidate, "finishReason") or "", _read_text(candidate)
    if reason.upper() in _BLOCKED_REASONS:
        raise text_generation.build_blocked_error(LABEL, "its own response", reason)
    if not text and (not reason or reason == _UNSPECIFIED_REASON):
        raise ProviderUnavailable(
            f"{LABEL}'s response was not in the documented form. It will be retried automatically.",
            provider_code=reason or None,
        )
    return GeneratedText(
        text=text,
        model=get_text(body, "modelVersion") or model,
        input_tokens=_read_token_count(body, "promptTokenCount"),
        output_tokens=_read_token_count(body, "candidatesTokenCount") + _read_token_count(body, "thoughtsTokenCount"),
        finish_reason=reason,
        outcome=text_generation.classify_finish(reason, text),
    )


def _read_text(candidate: Any) -> str:
    return text_generation.read_content(get_path(candidate, "content", "parts"))


def _read_token_count(body: Mapping[str, Any], name: str) -> int:
    count = get_path(body, "usageMetadata", name)
    return count if isinstance(count, int) else 0


def classify_error(account: Account, response: responses.Response) -> ExecutionError:
    """Return the error for any status except 200, from `ERROR_RULES`."""
    error = get_path(response.json(), "error")
    message = account.redact(get_text(error, "message") or "")
    names = {get_text(error, "status") or "", *(get_text(detail, "reason") or "" for detail in _list_details(error))}
    for status, name, row in ERROR_RULES:
        if response.status == status and (not name or name in names):
            wait = _read_quota_delay(response, error) if row is _SLOW_DOWN else None
            return row.build_error(LABEL, message, get_text(error, "status") or str(status), wait)
    return responses.build_unexpected_status_error(LABEL, response, effect=False)


def _list_details(error: Any) -> list[Any]:
    details = get_path(error, "details")
    return details if isinstance(details, list) else []


def _read_quota_delay(response: responses.Response, error: Any) -> float | None:
    """Return the seconds until the quota resets; a daily quota waits for the end of the day, whatever else is sent."""
    if any(_is_daily_quota(detail) for detail in _list_details(error)):
        return _seconds_until_midnight(datetime.now(QUOTA_ZONE))
    for detail in _list_details(error):
        if delay := get_text(detail, "retryDelay"):
            return responses.parse_delay_seconds(delay.removesuffix("s"))
    return responses.parse_retry_after(response)


def _is_daily_quota(detail: Any) -> bool:
    violations = get_path(detail, "violations")
    return any(
        "PerDay" in str(get_path(violation, "quotaId"))
        for violation in (violations if isinstance(violations, list) else [])
    )


def _seconds_until_midnight(now: datetime) -> float:
    tomorrow = datetime.combine(now.date() + timedelta(days=1), time(), now.tzinfo)
    return (tomorrow.astimezone(UTC) - now.astimezone(UTC)).total_seconds()
