"""How each provider words its failures: an internal error, a rate limit, a refused key."""

from __future__ import annotations

import json
import math
from typing import Any

from sandbox.exchange import Answer
from sandbox.graph import meta_error
from sandbox.voices import gemini_error, openai_error, telnyx_error

#: What `bad_json` answers: the beginning of a page that some proxy put in between.
GARBAGE = "<html><body>It works!</bo"


def internal_error(provider: str) -> Answer:
    """A failure on the provider's side."""
    bodies = {
        "telnyx": telnyx_error("10007", "Unexpected error"),
        "gemini": gemini_error(500, "INTERNAL", "An internal error has occurred."),
        "openai": openai_error("server_error", "The server had an error while processing your request."),
        "facebook": meta_error(2, "Service temporarily unavailable"),
        "instagram": meta_error(2, "Service temporarily unavailable"),
        "slack": "rollup_error",
    }
    return Answer(500, bodies.get(provider, {"message": "Internal Server Error"}))


def rate_limited(provider: str, seconds: float) -> Answer:
    """A request to slow down for so many seconds, said where the provider says it."""
    whole = max(1, round(seconds)) if seconds else 0
    text = "You exceeded your current quota."
    match provider:
        case "mailgun":
            said = f"Domain is not allowed to send: request limit exceeded, try again after {whole} seconds"
            return Answer(429, {"message": said})
        case "telnyx":
            return Answer(429, telnyx_error("10011", "Too many requests"), {"x-ratelimit-reset": str(whole)})
        case "gemini":
            delay = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{seconds:g}s"}
            return Answer(429, gemini_error(429, "RESOURCE_EXHAUSTED", text, [delay]))
        case "openai":
            return Answer(429, openai_error("rate_limit_exceeded", text), {"Retry-After": f"{seconds:g}"})
        case "discord":
            body = {"message": "You are being rate limited.", "retry_after": seconds, "global": False}
            return Answer(429, body, {"Retry-After": str(whole)})
        case "facebook" | "instagram":
            return Answer(400, meta_error(613, "Calls to this api have exceeded the rate limit."), _usage(seconds))
    return Answer(429, "rate_limited", {"Retry-After": str(whole)})


def _usage(seconds: float) -> dict[str, str]:
    """Meta's header of a limit that is used up; it names the time in minutes."""
    case = {"type": "instagram", "call_count": 100, "total_cputime": 25, "total_time": 25}
    used = {**case, "estimated_time_to_regain_access": math.ceil(seconds / 60)}
    return {"X-Business-Use-Case-Usage": json.dumps({"17841400000000001": [used]})}


def key_refused(provider: str) -> Answer:
    """A refused credential."""
    match provider:
        case "telnyx":
            return Answer(401, telnyx_error("10009", "Authentication failed"))
        case "gemini":
            reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
            return Answer(400, gemini_error(400, "INVALID_ARGUMENT", "API key not valid.", [reason]))
        case "openai":
            return Answer(401, openai_error("invalid_api_key", "Incorrect API key provided."))
        case "facebook" | "instagram":
            return Answer(400, meta_error(190, "Error validating access token: the session has expired."))
        case "slack":
            return Answer(403, "invalid_token")
        case "discord":
            return Answer(401, {"message": "Invalid Webhook Token", "code": 50027})
    return Answer(401, "Forbidden")


def unwritten(provider: str, fault: str) -> Answer:
    """A 200 without a message: `blocked` by a safety filter, `empty`, or `cut_short` by its budget of tokens."""
    text = "Hi, I wanted to" if fault == "cut_short" else ""
    if provider == "gemini":
        reason = {"blocked": "SAFETY", "cut_short": "MAX_TOKENS"}.get(fault, "STOP")
        content = {"parts": [{"text": text}], "role": "model"}
        body: dict[str, Any] = {"candidates": [{"content": content, "finishReason": reason, "index": 0}]}
        return Answer(200, body)
    reason = {"blocked": "content_filter", "cut_short": "length"}.get(fault, "stop")
    message = {"role": "assistant", "content": text, "refusal": None}
    return Answer(200, {"choices": [{"index": 0, "message": message, "finish_reason": reason}]})


def refused(code: int, subcode: int | None) -> Answer:
    """A refusal of Meta's by its code."""
    return Answer(400, meta_error(code, f"(#{code}) Refused, as the sandbox was asked to.", subcode))
