"""What Meta's refusals mean, by code and subcode, and how much of its limits its usage headers say is used up.

Meta's HTTP status and `type` tell nothing: a rate limit is a 400 or 403 of type OAuthException, and there is no
Retry-After. Codes 1 and 2 to a send are no refusals: Meta documents that with them the message may have been sent.
Pages: developers.facebook.com, Messenger Platform and Instagram Platform, error codes; Graph API, rate limiting.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from providers import answers
from providers.base import QUOTE_LENGTH, Account, Refusal
from providers.shapes import at_path, text_at
from rules.errors import (
    Blocked,
    ConfigurationError,
    ExecutionError,
    InvalidRequest,
    ProviderUnavailable,
    RateLimited,
    WindowClosed,
)

#: The wait after a throttle that says nothing of its end. Meta counts in windows of an hour.
THROTTLE_WAIT_SECONDS = 60.0

_TOKEN = Refusal(ConfigurationError, "Check META_PAGE_ACCESS_TOKEN: connect the account again for a new token.")
_UNINSTALLED = Refusal(ConfigurationError, "Check the app's permissions: the account has taken them back; connect it.")
_PASSWORD = Refusal(ConfigurationError, "Check META_PAGE_ACCESS_TOKEN: the password was changed; connect it again.")
_EXPIRED = Refusal(ConfigurationError, "Check META_PAGE_ACCESS_TOKEN: it has expired; connect the account again.")
_PERMISSION = Refusal(ConfigurationError, "Check the app's permissions and the standing of the page or account.")
_ACCESS = Refusal(ConfigurationError, "Check Instagram's settings: the owner has turned off access to messages.")
_WINDOW = Refusal(WindowClosed, "The contact must write first: each message opens the window for 24 hours.")
_PERSON = Refusal(Blocked, "The contact cannot be reached or has blocked the account.", suppress_channel=True)
_NOBODY = Refusal(InvalidRequest, "Correct the contact's id: it is not one of this page or account.")
_REQUEST = Refusal(InvalidRequest, "Correct the text, buttons or recipient of this step.")
_GONE = Refusal(InvalidRequest, "What it answers is gone: the comment or post was deleted, or the app may not see it.")
_ARCHIVED = Refusal(InvalidRequest, "The conversation is archived: take it out of the archive to write again.")
_SLOW_DOWN = Refusal(RateLimited, "It is sent when Meta's limit allows.", THROTTLE_WAIT_SECONDS)

#: By code and subcode; a None fits any, and the narrower row wins.
REFUSALS: dict[tuple[int | None, int | None], Refusal] = {
    **dict.fromkeys([(code, None) for code in (4, 17, 32, 613, 80001, 80002, 80006)], _SLOW_DOWN),
    **dict.fromkeys([(613, 1996), (613, 2534040)], _SLOW_DOWN),
    (190, None): _TOKEN,
    (190, 458): _UNINSTALLED,
    (190, 460): _PASSWORD,
    (190, 463): _EXPIRED,
    **dict.fromkeys([(10, 2018278), (10, 2534022), (10, 2018065)], _WINDOW),
    **dict.fromkeys([(3, None), (10, None), (200, None), (10, 1893063), (100, 2534029)], _PERMISSION),
    (200, 2534041): _ACCESS,
    **dict.fromkeys([(551, None), (551, 1545041), (200, 1545041), (10, 2018108)], _PERSON),
    **dict.fromkeys([(100, 2534014), (100, 2018001)], _NOBODY),
    **dict.fromkeys([(100, None), (100, 2018047)], _REQUEST),
    (100, 33): _GONE,
    (None, 2534001): _ARCHIVED,
}
#: A second private reply to one comment: the first one was sent, whether or not we ever heard so.
ALREADY_REPLIED = (100, 2534025)
#: "Unknown" and "temporary": a send that is answered so may have been made.
_UNCERTAIN = frozenset({1, 2})


def code_of(answer: answers.Answer) -> tuple[int | None, int | None]:
    """The code and subcode of a refusal."""
    error = at_path(answer.json(), "error")
    return _whole(at_path(error, "code")), _whole(at_path(error, "error_subcode"))


def _whole(found: Any) -> int | None:
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def refusal(account: Account, label: str, answer: answers.Answer, *, effect: bool) -> ExecutionError:
    """The error for any answer but a receipt; `effect` says that the request was a send."""
    code, subcode = code_of(answer)
    error = at_path(answer.json(), "error")
    row = REFUSALS.get((code, subcode)) or REFUSALS.get((None, subcode if subcode else -1))
    row = row or REFUSALS.get((code, None))
    if row is not None:
        wait = usage(answer).regain_seconds if row is _SLOW_DOWN else None
        return row.raised(label, account.hide(_said(error)), _named(code, subcode), wait)
    if code in _UNCERTAIN or at_path(error, "is_transient") is True:
        return _uncertain(label, _named(code, subcode), effect)
    if answer.status == 401:
        return _TOKEN.raised(label, account.hide(_said(error)), "401")
    if code is not None and 400 <= answer.status < 500:
        return _REQUEST.raised(label, account.hide(_said(error)), _named(code, subcode))
    return answers.unexpected(label, answer, effect=effect)


def _named(code: int | None, subcode: int | None) -> str:
    return f"{code}/{subcode}" if subcode else str(code)


def _uncertain(label: str, code: str, effect: bool) -> ExecutionError:
    if effect:
        return answers.lost_answer(label, f"answered with error {code}", code)
    return ProviderUnavailable(f"{label} failed with error {code}. It is tried again by itself.", provider_code=code)


def _said(error: Any) -> str:
    """Meta's words, and the id by which its support finds the call; short enough that the id is never cut off."""
    said, trace = text_at(error, "message") or "", text_at(error, "fbtrace_id")
    return f"{said[: QUOTE_LENGTH - 80]}; fbtrace_id {trace}" if trace else said


@dataclass(frozen=True)
class Usage:
    """How much of Meta's limits is used up, in percent, and in how many seconds they are open again, where it said."""

    percent: float = 0.0
    regain_seconds: float | None = None


#: Kinds of limits that are ours; an advertiser's say nothing of messages.
_OURS = frozenset({"messenger", "instagram", "pages"})
_PERCENTS = ("call_count", "total_time", "total_cputime")


def usage(answer: answers.Answer) -> Usage:
    """What `X-App-Usage` and `X-Business-Use-Case-Usage` say; the fullest of all limits counts."""
    whole = _object(answer.headers.get("X-App-Usage"))
    cases = [
        case
        for listed in _object(answer.headers.get("X-Business-Use-Case-Usage")).values()
        for case in (listed if isinstance(listed, list) else [])
        if at_path(case, "type") in _OURS
    ]
    percents = [_number(at_path(one, name)) or 0.0 for one in (whole, *cases) for name in _PERCENTS]
    minutes = [_number(at_path(case, "estimated_time_to_regain_access")) for case in cases]
    told = [one * 60 for one in minutes if one is not None]
    return Usage(max(percents, default=0.0), min(max(told), answers.LONGEST_WAIT_SECONDS) if told else None)


def _object(header: str | None) -> dict[str, Any]:
    try:
        found = json.loads(header or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _number(found: Any) -> float | None:
    is_number = isinstance(found, (int, float)) and not isinstance(found, bool)
    return min(max(float(found), 0.0), 1e6) if is_number and found == found else None
