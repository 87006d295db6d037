"""Builds each provider's error responses: an internal error, a rate limit, a rejected key."""

from __future__ import annotations

import math
from typing import Any

from rules.json_text import dump_json
from sandbox.gemini_api import build_gemini_error, encode_stream
from sandbox.http import HttpResponse
from sandbox.meta_graph import build_meta_error, build_meta_error_response
from sandbox.parsed_request import ParsedRequest
from sandbox.provider_apis import build_openai_error
from sandbox.store import Fault
from sandbox.telnyx_api import build_telnyx_error

#: The body of `bad_json`: the beginning of an HTML page, as from a proxy.
GARBAGE = "<html><body>It works!</bo"


def build_server_error_response(provider: str) -> HttpResponse:
    """Build the response of an internal error."""
    bodies = {
        "telnyx": build_telnyx_error("10007", "Unexpected error"),
        "gemini": build_gemini_error(500, "INTERNAL", "An internal error has occurred."),
        "openai": build_openai_error("server_error", "The server had an error while processing your request."),
        "facebook": build_meta_error(2, "Service temporarily unavailable"),
        "instagram": build_meta_error(2, "Service temporarily unavailable"),
        "slack": "rollup_error",
    }
    return HttpResponse(500, bodies.get(provider, {"message": "Internal Server Error"}))


def build_rate_limit_response(provider: str, seconds: float) -> HttpResponse:
    """Build the response of a rate limit, with the wait where the provider puts it."""
    whole_seconds = max(1, round(seconds)) if seconds else 0
    text = "You exceeded your current quota."
    match provider:
        case "mailgun":
            message = f"Domain is not allowed to send: request limit exceeded, try again after {whole_seconds} seconds"
            return HttpResponse(429, {"message": message})
        case "telnyx":
            limits = {"x-ratelimit-limit": "50", "x-ratelimit-remaining": "0", "x-ratelimit-reset": str(whole_seconds)}
            error = build_telnyx_error("10011", "Too many requests")
            return HttpResponse(429, error, {**limits, "Retry-After": str(whole_seconds)})
        case "gemini":
            delay = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{seconds:g}s"}
            return HttpResponse(429, build_gemini_error(429, "RESOURCE_EXHAUSTED", text, [delay]))
        case "openai":
            return HttpResponse(429, build_openai_error("rate_limit_exceeded", text), {"Retry-After": f"{seconds:g}"})
        case "discord":
            body = {"message": "You are being rate limited.", "retry_after": seconds, "global": False}
            limits = {
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset-After": f"{seconds:g}",
                "X-RateLimit-Scope": "user",
            }
            # Discord's clients take a 429 without `Via` for one of Cloudflare's, which has no `retry_after`.
            return HttpResponse(429, body, {**limits, "Retry-After": str(whole_seconds), "Via": "1.1 google"})
        case "facebook" | "instagram":
            return HttpResponse(
                400,
                build_meta_error(613, "Calls to this api have exceeded the rate limit."),
                _build_usage_headers(seconds),
            )
    return HttpResponse(429, "rate_limited", {"Retry-After": str(whole_seconds)})


def _build_usage_headers(seconds: float) -> dict[str, str]:
    """Build Meta's header of an exhausted limit; its time is in minutes."""
    case = {"type": "instagram", "call_count": 100, "total_cputime": 25, "total_time": 25}
    usage = {**case, "estimated_time_to_regain_access": math.ceil(seconds / 60)}
    return {"X-Business-Use-Case-Usage": dump_json({"17841400000000001": [usage]})}


def build_auth_error_response(provider: str) -> HttpResponse:
    """Build the response to rejected credentials."""
    match provider:
        case "telnyx":
            return HttpResponse(401, build_telnyx_error("10009", "Authentication failed"))
        case "gemini":
            reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
            return HttpResponse(400, build_gemini_error(400, "INVALID_ARGUMENT", "API key not valid.", [reason]))
        case "openai":
            return HttpResponse(401, build_openai_error("invalid_api_key", "Incorrect API key provided."))
        case "facebook" | "instagram":
            return build_meta_error_response(190, 463)
        case "slack":
            return HttpResponse(403, "invalid_token")
        case "discord":
            return HttpResponse(401, {"message": "Invalid Webhook Token", "code": 50027})
    return HttpResponse(401, "Forbidden")


def build_generation_fault_response(parsed: ParsedRequest, fault: str) -> HttpResponse:
    """Build a 200 without a usable text: `blocked` by a safety filter, `empty`, or `cut_short` by its token budget."""
    text = "Hi, I wanted to" if fault == "cut_short" else ""
    if parsed.provider == "gemini":
        reason = {"blocked": "SAFETY", "cut_short": "MAX_TOKENS"}.get(fault, "STOP")
        content = {"parts": [{"text": text}], "role": "model"}
        body: dict[str, Any] = {"candidates": [{"content": content, "finishReason": reason, "index": 0}]}
        return encode_stream([body], parsed.stream) if parsed.stream else HttpResponse(200, body)
    reason = {"blocked": "content_filter", "cut_short": "length"}.get(fault, "stop")
    message = {"role": "assistant", "content": text, "refusal": None}
    return HttpResponse(200, {"choices": [{"index": 0, "message": message, "finish_reason": reason}]})


def build_look_up_fault_response(parsed: ParsedRequest, fault: Fault) -> HttpResponse | None:
    """Build the response to a look-up under a fault of look-ups alone; None for any other fault or request."""
    listing = parsed.listing
    if listing is None:
        return None
    match fault.fault:
        case "lookup_auth":
            return build_auth_error_response(parsed.provider)
        case "lookup_never":
            return listing.build([])
        case "lookup_late":
            return listing.list_older(fault.seconds)
        case "lookup_second_page":
            return listing.build_filler() if listing.build_filler else listing.list_all()
    return None
