"""Routes a request to the API of its provider, and imitates OpenAI's API and the receivers of our webhooks.

Each request becomes a `ParsedRequest`: a message to accept with its response, or a rejection. Faults and connections
are handled by `sandbox.server`. The formats are the providers' own, implemented independently of `providers/` so that
each checks the other: `mailgun_api`, `telnyx_api`, `meta_graph`, `gemini_api` and `chat_webhooks` have one each.
"""

from __future__ import annotations

import uuid
from typing import Any

from sandbox import chat_webhooks, gemini_api, generated_texts, mailgun_api, meta_graph, telnyx_api
from sandbox.http import HttpResponse, Request
from sandbox.parsed_request import ParsedRequest, build_message
from sandbox.store import Store

_GENERATE, _STREAM = ":generateContent", ":streamGenerateContent"


def parse_request(request: Request, store: Store) -> ParsedRequest | None:
    """Parse the request with the provider of its path; None if the path is no provider's."""
    path = request.segments
    match (request.method, *path):
        case ("POST", "v3", domain, "messages"):
            return mailgun_api.parse_send(request, domain)
        case ("GET", "v3", domain, "events", *page):
            return mailgun_api.parse_events(request, domain, store, page[0] if page else None)
        case ("POST", "v2", "messages"):
            return telnyx_api.parse_send(request)
        case ("GET", "v2", "messages", message_id):
            return telnyx_api.parse_retrieval(request, message_id, store)
        case ("GET", "v2", "detail_records"):
            return telnyx_api.parse_records(request, store)
        case ("POST", "v1beta", "models", action) if action.endswith(_GENERATE):
            return gemini_api.parse_request(request, action.removesuffix(_GENERATE), is_stream=False)
        case ("POST", "v1beta", "models", action) if action.endswith(_STREAM):
            return gemini_api.parse_request(request, action.removesuffix(_STREAM), is_stream=True)
        case ("POST", "v1", "chat", "completions"):
            return _parse_openai_request(request)
        case ("POST", "services", _, _, _):
            return chat_webhooks.parse_slack_post(request)
        case ("POST", "api", "v10", "webhooks", channel, _) | ("POST", "api", "webhooks", channel, _):
            return chat_webhooks.parse_discord_post(request, channel)
        case (_, "_webhook", url):
            return _parse_webhook_post(request, url)
    return meta_graph.parse_request(request, store)


def _parse_openai_request(request: Request) -> ParsedRequest:
    body = request.json()
    model, turns = str(body.get("model") or ""), body.get("messages")
    if not request.headers.get("authorization", "").startswith("Bearer "):
        return ParsedRequest(
            "openai", model, HttpResponse(401, build_openai_error("invalid_api_key", "You didn't provide an API key."))
        )
    prompt = generated_texts.extract_last_turn(turns)
    if not model or not prompt:
        return ParsedRequest(
            "openai", model, HttpResponse(400, build_openai_error("invalid_request_error", "messages are required"))
        )
    message = build_message(request, "openai", f"chatcmpl-{uuid.uuid4().hex}", model, body)
    return ParsedRequest(
        "openai", model, HttpResponse(200, generated_texts.build_openai_response(prompt, model, message.id)), message
    )


def build_openai_error(code: str, text: str) -> dict[str, Any]:
    """Build an error in OpenAI's format."""
    return {"error": {"message": text, "type": code, "param": None, "code": code}}


def _parse_webhook_post(request: Request, url: str) -> ParsedRequest:
    body = request.json() or request.body.decode("utf-8", "replace")
    message_id = request.headers.get("webhook-id") or uuid.uuid4().hex
    return ParsedRequest(
        "webhook", url, HttpResponse(200, {"ok": True}), build_message(request, "webhook", message_id, url, body)
    )
