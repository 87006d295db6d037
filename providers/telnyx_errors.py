"""Classifies Telnyx's errors by `code`: the HTTP status of one code varies.

Pages: developers.telnyx.com, Messaging, and its list of API errors.
"""

from __future__ import annotations

from typing import Any

from providers import responses
from providers.base import Account, ErrorRule
from providers.untrusted import get_path, get_text
from rules.errors import (
    Blocked,
    ConfigurationError,
    ExecutionError,
    Expired,
    InvalidRequest,
    ProviderUnavailable,
    RateLimited,
)

_ACCOUNT = ErrorRule(ConfigurationError, "Check the API key, the status and the balance of the Telnyx account.")
_SENDER = ErrorRule(ConfigurationError, "Check the sending number and the messaging profile in Telnyx.")
_REQUEST = ErrorRule(InvalidRequest, "Correct the phone number (E.164, as in +15550100) or the text of this step.")
_CARRIER = ErrorRule(ProviderUnavailable, "The carrier refused it temporarily; it will be retried later.", 300.0)
_CONTENT = ErrorRule(Blocked, "The carrier treats the text as spam: change it before you send more.")
_EXPIRED = ErrorRule(Expired, "It is too old to be sent; send it again manually if it still matters.")
_STOPPED = ErrorRule(Blocked, "The contact opted out with STOP: no more SMS until they text START.", None, True)
_BLOCKED = ErrorRule(Blocked, "A block rule applies to the two numbers; see the messaging profile in Telnyx.")
_SLOW_DOWN = ErrorRule(RateLimited, "It will be sent when the limit allows.")

#: By code.
ERROR_RULES: dict[str, ErrorRule] = {
    **dict.fromkeys(("10009", "10010", "20002", "20006", "20012", "20013", "20014", "20100"), _ACCOUNT),
    **dict.fromkeys(("10011", "40011"), _SLOW_DOWN),
    **dict.fromkeys(("10001", "10002", "10003", "10004", "10014", "10015", "10016"), _REQUEST),
    **dict.fromkeys(("40001", "40008", "40009", "40012"), _REQUEST),
    **dict.fromkeys(("40302", "40304", "40309", "40310", "40316", "40317", "40328"), _REQUEST),
    "40300": _BLOCKED,
    **dict.fromkeys(("40002", "40004", "40006", "40320"), _CARRIER),
    **dict.fromkeys(("40003", "40015", "40017", "40322"), _CONTENT),
    **dict.fromkeys(("40005", "40014"), _EXPIRED),
    **dict.fromkeys(("10006", "40010", "40013", "40100", "40150", "40305", "40306", "40308"), _SENDER),
    **dict.fromkeys(("40311", "40312", "40313", "40314", "40315", "40321", "40329"), _SENDER),
    "40016": ErrorRule(RateLimited, "The carrier's daily limit is used up; it will be sent on a later day.", 3600.0),
    "40018": ErrorRule(RateLimited, "The carrier's limit per minute is used up.", 60.0),
    "40318": ErrorRule(RateLimited, "More than four hours of messages are queued at Telnyx.", 1800.0),
}
#: Errors of an unusable address.
BAD_ADDRESS = frozenset({"10001", "10002", "10016", "40001", "40008", "40012", "40310"})


def classify_error(account: Account, response: responses.Response, *, effect: bool = True) -> ExecutionError:
    """Return the error for any response except a receipt, by its first known code."""
    errors = response.json().get("errors")
    for error in errors if isinstance(errors, list) else []:
        code, message = str(get_path(error, "code")), format_message(error)
        row = _STOPPED if is_stop(code, message) else ERROR_RULES.get(code)
        if row is not None:
            wait = responses.parse_retry_after(response, "x-ratelimit-reset") or responses.parse_retry_after(response)
            return row.build_error("Telnyx", account.redact(message), code, wait if row is _SLOW_DOWN else None)
    if response.status in (401, 403):
        return _ACCOUNT.build_error("Telnyx", "", str(response.status))
    if response.status in (400, 422):
        message = format_message(errors[0]) if isinstance(errors, list) and errors else ""
        return _REQUEST.build_error("Telnyx", account.redact(message), str(response.status))
    return responses.build_unexpected_status_error("Telnyx", response, effect=effect)


def is_stop(code: str, message: str) -> bool:
    """Whether the contact opted out with STOP; the code has other meanings too, which only the text distinguishes."""
    return code == "40300" and "STOP" in message


def format_message(error: Any) -> str:
    return ": ".join(part for part in (get_text(error, "title"), get_text(error, "detail")) if part)
