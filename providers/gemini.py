"""Text from Google's Gemini: one prompt in, one message out, or a reason why not.

A 200 is not yet a text: prompts and answers are blocked inside one, and a thinking model may use up its whole budget
before it writes a word. Generation has no outside effect, so it is simply asked again after whatever passes by itself.
The key travels in a header, never in the URL. Page: ai.google.dev, generateContent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from providers import answers, wire, writing
from providers.base import Account, Refusal
from providers.shapes import at_path, text_at
from providers.writing import Prompt, Written
from rules.errors import ConfigurationError, ExecutionError, InvalidRequest, ProviderUnavailable, RateLimited

LABEL = "Gemini"
#: Where Google's days begin: a quota of a whole day is full again at midnight there.
QUOTA_ZONE = ZoneInfo("America/Los_Angeles")

_KEY = Refusal(ConfigurationError, "Check GEMINI_API_KEY.")
_ACCOUNT = Refusal(ConfigurationError, "Check the region, the billing and the rights of the Google project.")
_MODEL = Refusal(ConfigurationError, "Check the model's name in this step or GEMINI_MODEL.")
_REQUEST = Refusal(InvalidRequest, "Correct the prompt or the settings of this step.")
_SLOW_DOWN = Refusal(RateLimited, "It is asked again when the quota allows.")

#: By HTTP status and Google's own status text; "" fits any.
REFUSALS: tuple[tuple[int, str, Refusal], ...] = (
    (400, "API_KEY_INVALID", _KEY),
    (400, "FAILED_PRECONDITION", _ACCOUNT),
    (400, "", _REQUEST),
    (401, "", _KEY),
    (403, "", _ACCOUNT),
    (404, "", _MODEL),
    (413, "", _REQUEST),
    (429, "", _SLOW_DOWN),
    (499, "", Refusal(ProviderUnavailable, "It is asked again by itself.")),
)
#: Why an answer ended that no further asking would change.
_REFUSED = frozenset({"SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY"})


#: Ends that are worth one more try, and only one.
_BROKEN_OFF = frozenset({"OTHER", "MALFORMED_RESPONSE"})


def generate(account: Account, prompt: Prompt) -> Written:
    """Have a message written; raises an `ExecutionError`, `Blocked` where a safety filter said no."""
    return writing.write(LABEL, lambda asked: _attempt(account, asked), prompt)


def _attempt(account: Account, prompt: Prompt) -> Written:
    call = wire.Call(
        label=LABEL,
        method="POST",
        url=f"{account.base_url.rstrip('/')}/models/{quote(prompt.model, safe='')}:generateContent",
        headers={"x-goog-api-key": account.secret("GEMINI_API_KEY"), "Content-Type": "application/json"},
        body=json.dumps(_request(prompt)).encode(),
        read_seconds=writing.READ_SECONDS,
    )
    answer = wire.exchange(call)
    if answer.status != 200:
        raise refusal(account, answer)
    return read_answer(answer.json(), prompt.model)


def _request(prompt: Prompt) -> dict[str, Any]:
    settings: dict[str, Any] = {"maxOutputTokens": prompt.max_tokens}
    if prompt.temperature is not None:
        settings["temperature"] = prompt.temperature
    request: dict[str, Any] = {
        "contents": [{"role": "user", "parts": [{"text": prompt.text}]}],
        "generationConfig": settings,
    }
    if prompt.system:
        request["systemInstruction"] = {"parts": [{"text": prompt.system}]}
    return request


def read_answer(body: Mapping[str, Any], model: str) -> Written:
    """The text of a 200; `Blocked`, or `ProviderUnavailable` for what is worth asking again."""
    blocked = text_at(body, "promptFeedback", "blockReason")
    if blocked:
        raise writing.blocked(LABEL, "the prompt", blocked)
    candidate = at_path(body, "candidates", 0)
    reason = text_at(candidate, "finishReason")
    if reason in _REFUSED:
        raise writing.blocked(LABEL, "its own answer", reason)
    if reason is None or (reason not in ("STOP", "MAX_TOKENS") and reason not in _BROKEN_OFF):
        said = f"ended with {reason}" if reason else "was not in the documented form"
        raise ProviderUnavailable(f"Gemini's answer {said}. It is asked again by itself.", provider_code=reason)
    return Written(
        text=_text(candidate),
        model=text_at(body, "modelVersion") or model,
        input_tokens=_count(body, "promptTokenCount"),
        output_tokens=_count(body, "candidatesTokenCount") + _count(body, "thoughtsTokenCount"),
        finish_reason=reason,
        ended=writing.BROKEN_OFF if reason in _BROKEN_OFF else reason,
    )


def _text(candidate: Any) -> str:
    parts = at_path(candidate, "content", "parts")
    spoken = (part for part in (parts if isinstance(parts, list) else []) if not at_path(part, "thought"))
    return "".join(text_at(part, "text") or "" for part in spoken).strip()


def _count(body: Mapping[str, Any], name: str) -> int:
    found = at_path(body, "usageMetadata", name)
    return found if isinstance(found, int) else 0


def refusal(account: Account, answer: answers.Answer) -> ExecutionError:
    """The error for any answer but 200, from the table above."""
    error = at_path(answer.json(), "error")
    said = account.hide(text_at(error, "message") or "")
    names = {text_at(error, "status") or "", *(text_at(one, "reason") or "" for one in _details(error))}
    for status, name, row in REFUSALS:
        if answer.status == status and (not name or name in names):
            wait = _wait(answer, error) if row is _SLOW_DOWN else None
            return row.raised(LABEL, said, text_at(error, "status") or str(status), wait)
    return answers.unexpected(LABEL, answer, effect=False)


def _details(error: Any) -> list[Any]:
    found = at_path(error, "details")
    return found if isinstance(found, list) else []


def _wait(answer: answers.Answer, error: Any) -> float | None:
    """Seconds until a quota is open again: of a whole day's until that day is over, whatever else is said."""
    if any(_is_of_a_day(one) for one in _details(error)):
        return _until_midnight(datetime.now(QUOTA_ZONE))
    for one in _details(error):
        if delay := text_at(one, "retryDelay"):
            return answers.seconds_until(delay.removesuffix("s"))
    return answers.retry_after(answer)


def _is_of_a_day(detail: Any) -> bool:
    violations = at_path(detail, "violations")
    return any("PerDay" in str(at_path(one, "quotaId")) for one in (violations if isinstance(violations, list) else []))


def _until_midnight(now: datetime) -> float:
    tomorrow = datetime.combine(now.date() + timedelta(days=1), time(), now.tzinfo)
    return (tomorrow.astimezone(UTC) - now.astimezone(UTC)).total_seconds()
