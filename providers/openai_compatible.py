"""Generates text with an API that is compatible with OpenAI's chat completions: OpenAI or a self-hosted model.

A 200 does not guarantee a text: the response may be filtered, refused, or truncated by its budget. Only OpenAI itself
requires the key; a self-hosted server may not. Page: platform.openai.com, API reference, chat completions and error
codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from providers import guarded_http, http_client, responses, text_generation
from providers.base import Account, ErrorRule
from providers.text_generation import GeneratedText, Prompt
from providers.untrusted import get_path, get_text
from rules.errors import Blocked, ConfigurationError, ExecutionError, InvalidRequest, ProviderUnavailable, RateLimited
from rules.json_text import dump_json

LABEL = "The OpenAI-compatible API"
KEY = "OPENAI_API_KEY"
#: The host that requires a key.
OPENAI_HOST = "api.openai.com"

_KEY = ErrorRule(ConfigurationError, "Check the API key of the model's provider.")
_ACCOUNT = ErrorRule(ConfigurationError, "Check the permissions and the region of the account.")
_QUOTA = ErrorRule(ConfigurationError, "Check the plan and the billing of the account: its quota is used up.")
_MODEL = ErrorRule(
    ConfigurationError, "Check the model's name in this step or in Settings, and the provider's base URL."
)
_REQUEST = ErrorRule(InvalidRequest, "Correct the prompt or the settings of this step.")
_FILTERED = ErrorRule(Blocked, "Change the prompt, or give this step a fallback.")
_SLOW_DOWN = ErrorRule(RateLimited, "It will be retried when the limit allows.")

#: By HTTP status and the error's code or type; "" matches any.
ERROR_RULES: tuple[tuple[int, str, ErrorRule], ...] = (
    (400, "content_filter", _FILTERED),
    (400, "content_policy_violation", _FILTERED),
    (400, "model_not_found", _MODEL),
    (400, "", _REQUEST),
    (401, "", _KEY),
    (402, "", _QUOTA),
    (403, "", _ACCOUNT),
    (404, "", _MODEL),
    (413, "", _REQUEST),
    (422, "", _REQUEST),
    (429, "insufficient_quota", _QUOTA),
    (429, "billing_hard_limit_reached", _QUOTA),
    (429, "", _SLOW_DOWN),
)
#: Finish reasons of a filter, in lower case: OpenAI's own, and Gemini's behind a gateway.
_BLOCKED_REASONS = frozenset({"content_filter", "safety", "recitation", "blocklist", "prohibited_content", "spii"})


def generate(account: Account, prompt: Prompt) -> GeneratedText:
    """Generate a message. Raises an `ExecutionError`; `Blocked` if a filter refused."""
    return text_generation.generate_text(LABEL, lambda current_prompt: _request_text(account, current_prompt), prompt)


def needs_key(base_url: str) -> bool:
    """Whether the API at this URL requires a key."""
    return urlsplit(base_url).hostname == OPENAI_HOST


def _request_text(account: Account, prompt: Prompt) -> GeneratedText:
    call = http_client.Call(
        label=LABEL,
        method="POST",
        url=f"{account.base_url.rstrip('/')}/chat/completions",
        headers={"Content-Type": "application/json", **_build_auth_headers(account)},
        body=dump_json(_build_payload(prompt, account.base_url)).encode(),
        read_seconds=prompt.read_seconds or text_generation.READ_SECONDS,
    )
    is_guarded = account.guarded and not account.sandbox
    response = (
        guarded_http.send_request(call, account.allowed_networks) if is_guarded else http_client.send_request(call)
    )
    if response.status != 200:
        raise classify_error(account, response)
    return parse_response(response.json(), prompt.model)


def _build_auth_headers(account: Account) -> dict[str, str]:
    key = account.require_secret(KEY) if needs_key(account.base_url) else account.secrets.get(KEY)
    return {"Authorization": f"Bearer {key}"} if key else {}


def _build_payload(prompt: Prompt, base_url: str) -> dict[str, Any]:
    turns = [{"role": "system", "content": prompt.system}] if prompt.system else []
    # OpenAI's newer models reject the older name, which is the only one that self-hosted servers know.
    budget = "max_completion_tokens" if needs_key(base_url) else "max_tokens"
    payload: dict[str, Any] = {
        "model": prompt.model,
        "messages": [*turns, {"role": "user", "content": prompt.text}],
        budget: prompt.max_tokens,
    }
    return payload if prompt.temperature is None else {**payload, "temperature": prompt.temperature}


def parse_response(body: Mapping[str, Any], model: str) -> GeneratedText:
    """Return the text of a 200. Raises `Blocked`, or `ProviderUnavailable` if a retry may help."""
    choice = get_path(body, "choices", 0)
    message, reason = get_path(choice, "message"), get_text(choice, "finish_reason")
    if reason is not None and reason.lower() in _BLOCKED_REASONS:
        raise text_generation.build_blocked_error(LABEL, "its own response", reason)
    if refusal_text := get_text(message, "refusal"):
        raise Blocked(
            f"The model refused to write this ({refusal_text[:200]}). {_FILTERED.remedy}", provider_code="refusal"
        )
    text = text_generation.read_content(get_path(message, "content"))
    if not isinstance(message, dict) or not (reason or text):
        raise ProviderUnavailable(f"{LABEL} responded in an undocumented form. It will be retried automatically.")
    return GeneratedText(
        text=text,
        model=get_text(body, "model") or model,
        input_tokens=_read_token_count(body, "prompt_tokens"),
        output_tokens=_read_token_count(body, "completion_tokens"),
        finish_reason=reason or "",
        outcome=text_generation.classify_finish(reason or "", text),
    )


def _read_token_count(body: Mapping[str, Any], name: str) -> int:
    count = get_path(body, "usage", name)
    return count if isinstance(count, int) else 0


def classify_error(account: Account, response: responses.Response) -> ExecutionError:
    """Return the error for any status except 200, from `ERROR_RULES`."""
    error = get_path(response.json(), "error")
    message = account.redact(get_text(error, "message") or (error if isinstance(error, str) else ""))
    names = {get_text(error, "code") or "", get_text(error, "type") or ""}
    for status, name, row in ERROR_RULES:
        if response.status == status and (not name or name in names):
            wait = responses.parse_retry_after(response) if row is _SLOW_DOWN else None
            return row.build_error(LABEL, message, get_text(error, "code") or str(status), wait)
    return responses.build_unexpected_status_error(LABEL, response, effect=False)
