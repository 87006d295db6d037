"""Classifies Meta's errors by code and subcode, and reads the usage of its limits from its headers.

Meta's HTTP status and `type` are not significant: a rate limit is a 400 or 403 of type OAuthException, and there is no
Retry-After. Codes 1 and 2 to a send are not rejections: Meta documents that the message may have been sent.
Pages: developers.facebook.com, Messenger Platform and Instagram Platform, error codes; Graph API, rate limiting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from providers import responses
from providers.base import QUOTE_LENGTH, Account, ErrorRule
from providers.untrusted import get_path, get_text
from rules.errors import (
    Blocked,
    ConfigurationError,
    ExecutionError,
    InvalidRequest,
    ProviderUnavailable,
    RateLimited,
    WindowClosed,
)
from rules.json_text import load_json

#: The wait after a rate limit without a known end. Meta counts in windows of an hour.
THROTTLE_WAIT_SECONDS = 60.0

_TOKEN = ErrorRule(ConfigurationError, "Check the access token: connect the account again for a new one.")
_UNINSTALLED = ErrorRule(
    ConfigurationError, "Check the app's permissions: the account has revoked them; connect it again."
)
_PASSWORD = ErrorRule(
    ConfigurationError, "Check the access token: the password was changed; connect the account again."
)
_EXPIRED = ErrorRule(ConfigurationError, "Check the access token: it has expired; connect the account again.")
_PERMISSION = ErrorRule(ConfigurationError, "Check the app's permissions and the status of the page or account.")
_ACCESS = ErrorRule(ConfigurationError, "Check Instagram's settings: the owner has turned off access to messages.")
_WINDOW = ErrorRule(WindowClosed, "The contact must send a message first: each message opens the window for 24 hours.")
_UNREACHABLE = ErrorRule(Blocked, "The contact cannot be reached or has blocked the account.", suppress_channel=True)
_UNKNOWN_CONTACT = ErrorRule(InvalidRequest, "Correct the contact's id: it does not belong to this page or account.")
_REQUEST = ErrorRule(InvalidRequest, "Correct the text, buttons or recipient of this step.")
_GONE = ErrorRule(InvalidRequest, "The comment or post no longer exists, or the app may not see it.")
_ARCHIVED = ErrorRule(InvalidRequest, "The conversation is archived: unarchive it to send again.")
_SLOW_DOWN = ErrorRule(RateLimited, "It will be sent when Meta's limit allows.", THROTTLE_WAIT_SECONDS)

#: By code and subcode; None matches any, and the more specific row wins.
ERROR_RULES: dict[tuple[int | None, int | None], ErrorRule] = {
    **dict.fromkeys([(code, None) for code in (4, 17, 32, 613, 80001, 80002, 80006)], _SLOW_DOWN),
    **dict.fromkeys([(613, 1996), (613, 2534040)], _SLOW_DOWN),
    (190, None): _TOKEN,
    (190, 458): _UNINSTALLED,
    (190, 460): _PASSWORD,
    (190, 463): _EXPIRED,
    **dict.fromkeys([(10, 2018278), (10, 2534022), (10, 2018065)], _WINDOW),
    **dict.fromkeys([(3, None), (10, None), (200, None), (10, 1893063), (100, 2534029)], _PERMISSION),
    (200, 2534041): _ACCESS,
    **dict.fromkeys([(551, None), (551, 1545041), (200, 1545041), (10, 2018108)], _UNREACHABLE),
    **dict.fromkeys([(100, 2534014), (100, 2018001)], _UNKNOWN_CONTACT),
    **dict.fromkeys([(100, None), (100, 2018047)], _REQUEST),
    (100, 33): _GONE,
    (None, 2534001): _ARCHIVED,
}
#: A second private reply to a comment: the first one was sent, even if we got no response.
ALREADY_REPLIED = (100, 2534025)
#: "Unknown" and "temporary": the message of such a send may have been sent.
_UNCERTAIN_CODES = frozenset({1, 2})


def read_error_codes(response: responses.Response) -> tuple[int | None, int | None]:
    """Return the code and subcode of an error."""
    error = get_path(response.json(), "error")
    return _as_integer(get_path(error, "code")), _as_integer(get_path(error, "error_subcode"))


def _as_integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def classify_error(account: Account, label: str, response: responses.Response, *, effect: bool) -> ExecutionError:
    """Return the error for any response except a receipt; `effect` means that the request was a send."""
    code, subcode = read_error_codes(response)
    error = get_path(response.json(), "error")
    row = ERROR_RULES.get((code, subcode)) or ERROR_RULES.get((None, subcode if subcode else -1))
    row = row or ERROR_RULES.get((code, None))
    if row is not None:
        wait = read_usage(response).regain_seconds if row is _SLOW_DOWN else None
        return row.build_error(label, account.redact(_format_message(error)), _format_code(code, subcode), wait)
    if code in _UNCERTAIN_CODES or get_path(error, "is_transient") is True:
        return _build_uncertain_error(label, _format_code(code, subcode), effect)
    if response.status == 401:
        return _TOKEN.build_error(label, account.redact(_format_message(error)), "401")
    if code is not None and 400 <= response.status < 500:
        return _REQUEST.build_error(label, account.redact(_format_message(error)), _format_code(code, subcode))
    return responses.build_unexpected_status_error(label, response, effect=effect)


def _format_code(code: int | None, subcode: int | None) -> str:
    return f"{code}/{subcode}" if subcode else str(code)


def _build_uncertain_error(label: str, code: str, effect: bool) -> ExecutionError:
    if effect:
        return responses.build_unknown_outcome(label, f"answered with error {code}", code)
    return ProviderUnavailable(
        f"{label} failed with error {code}. It will be retried automatically.", provider_code=code
    )


def _format_message(error: Any) -> str:
    """Format Meta's message with the id that its support needs; short enough that the id is never cut off."""
    message, trace = get_text(error, "message") or "", get_text(error, "fbtrace_id")
    return f"{message[: QUOTE_LENGTH - 80]}; fbtrace_id {trace}" if trace else message


@dataclass(frozen=True)
class Usage:
    """The usage of Meta's limits in percent, and the seconds until they reset, if known."""

    percent: float = 0.0
    regain_seconds: float | None = None


#: Types of limits that apply to messages; an advertiser's do not.
_MESSAGING_LIMIT_TYPES = frozenset({"messenger", "instagram", "pages"})
_PERCENT_FIELDS = ("call_count", "total_time", "total_cputime")


def read_usage(response: responses.Response) -> Usage:
    """Read `X-App-Usage` and `X-Business-Use-Case-Usage`; the limit with the highest usage counts."""
    app_usage = _parse_object(response.headers.get("X-App-Usage"))
    cases = [
        case
        for use_cases in _parse_object(response.headers.get("X-Business-Use-Case-Usage")).values()
        for case in (use_cases if isinstance(use_cases, list) else [])
        if get_path(case, "type") in _MESSAGING_LIMIT_TYPES
    ]
    percents = [_as_number(get_path(limits, name)) or 0.0 for limits in (app_usage, *cases) for name in _PERCENT_FIELDS]
    minutes = [_as_number(get_path(case, "estimated_time_to_regain_access")) for case in cases]
    waits = [wait * 60 for wait in minutes if wait is not None]
    return Usage(max(percents, default=0.0), min(max(waits), responses.MAX_WAIT_SECONDS) if waits else None)


def _parse_object(header: str | None) -> dict[str, Any]:
    try:
        parsed = load_json(header or "{}")
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _as_number(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return min(max(float(value), 0.0), 1e6) if is_number and value == value else None
