"""Text from an API that speaks OpenAI's chat completions: OpenAI itself, or a model of one's own behind such an API.

A 200 is not yet a text: an answer may be filtered, refused, or cut short by its budget. The key is needed by OpenAI
alone; a server of one's own may do without. Page: platform.openai.com, API reference, chat completions and error codes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from providers import answers, guarded, wire, writing
from providers.base import Account, Refusal
from providers.shapes import at_path, text_at
from providers.writing import Prompt, Written
from rules.errors import Blocked, ConfigurationError, ExecutionError, InvalidRequest, ProviderUnavailable, RateLimited

LABEL = "The OpenAI-compatible API"
KEY = "OPENAI_API_KEY"
#: The host that knows nobody without a key.
OPENAI_HOST = "api.openai.com"

_KEY = Refusal(ConfigurationError, "Check OPENAI_API_KEY.")
_ACCOUNT = Refusal(ConfigurationError, "Check the rights and the region of the account.")
_QUOTA = Refusal(ConfigurationError, "Check the plan and the billing of the account: its quota is used up.")
_MODEL = Refusal(ConfigurationError, "Check the model's name in this step or OPENAI_MODEL, and OPENAI_BASE_URL.")
_REQUEST = Refusal(InvalidRequest, "Correct the prompt or the settings of this step.")
_FILTERED = Refusal(Blocked, "Change the prompt, or give this step a fallback.")
_SLOW_DOWN = Refusal(RateLimited, "It is asked again when the limit allows.")

#: By HTTP status and the error's code or type; "" fits any.
REFUSALS: tuple[tuple[int, str, Refusal], ...] = (
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
_ENDS = {"stop": writing.WHOLE, "length": writing.CUT_SHORT}


def generate(account: Account, prompt: Prompt) -> Written:
    """Have a message written; raises an `ExecutionError`, `Blocked` where a filter said no."""
    return writing.write(LABEL, lambda asked: _attempt(account, asked), prompt)


def needs_key(base_url: str) -> bool:
    """Whether the API at this address wants a key."""
    return urlsplit(base_url).hostname == OPENAI_HOST


def _attempt(account: Account, prompt: Prompt) -> Written:
    call = wire.Call(
        label=LABEL,
        method="POST",
        url=f"{account.base_url.rstrip('/')}/chat/completions",
        headers={"Content-Type": "application/json", **_authorization(account)},
        body=json.dumps(_request(prompt, account.base_url)).encode(),
        read_seconds=writing.READ_SECONDS,
    )
    is_guarded = account.guarded and not account.sandbox
    answer = guarded.exchange(call, account.allowed_networks) if is_guarded else wire.exchange(call)
    if answer.status != 200:
        raise refusal(account, answer)
    return read_answer(answer.json(), prompt.model)


def _authorization(account: Account) -> dict[str, str]:
    key = account.secret(KEY) if needs_key(account.base_url) else account.secrets.get(KEY)
    return {"Authorization": f"Bearer {key}"} if key else {}


def _request(prompt: Prompt, base_url: str) -> dict[str, Any]:
    turns = [{"role": "system", "content": prompt.system}] if prompt.system else []
    # OpenAI's newer models refuse the older name, which is the one that servers of one's own know.
    budget = "max_completion_tokens" if needs_key(base_url) else "max_tokens"
    request: dict[str, Any] = {
        "model": prompt.model,
        "messages": [*turns, {"role": "user", "content": prompt.text}],
        budget: prompt.max_tokens,
    }
    return request if prompt.temperature is None else {**request, "temperature": prompt.temperature}


def read_answer(body: Mapping[str, Any], model: str) -> Written:
    """The text of a 200; `Blocked`, or `ProviderUnavailable` for what is worth asking again."""
    choice = at_path(body, "choices", 0)
    message, reason = at_path(choice, "message"), text_at(choice, "finish_reason")
    if reason == "content_filter":
        raise writing.blocked(LABEL, "its own answer", reason)
    if refused := text_at(message, "refusal"):
        raise Blocked(f"The model refused to write this ({refused[:200]}). {_FILTERED.remedy}", provider_code="refusal")
    if not isinstance(message, dict) or reason is None:
        raise ProviderUnavailable(f"{LABEL} answered in another form than documented. It is asked again by itself.")
    return Written(
        text=(text_at(message, "content") or "").strip(),
        model=text_at(body, "model") or model,
        input_tokens=_count(body, "prompt_tokens"),
        output_tokens=_count(body, "completion_tokens"),
        finish_reason=reason,
        ended=_ENDS.get(reason, writing.BROKEN_OFF),
    )


def _count(body: Mapping[str, Any], name: str) -> int:
    found = at_path(body, "usage", name)
    return found if isinstance(found, int) else 0


def refusal(account: Account, answer: answers.Answer) -> ExecutionError:
    """The error for any answer but 200, from the table above."""
    error = at_path(answer.json(), "error")
    said = account.hide(text_at(error, "message") or (error if isinstance(error, str) else ""))
    names = {text_at(error, "code") or "", text_at(error, "type") or ""}
    for status, name, row in REFUSALS:
        if answer.status == status and (not name or name in names):
            wait = answers.retry_after(answer) if row is _SLOW_DOWN else None
            return row.raised(LABEL, said, text_at(error, "code") or str(status), wait)
    return answers.unexpected(LABEL, answer, effect=False)
