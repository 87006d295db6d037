"""What a provider answered, and what an answer means that its own table does not explain."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Any

from rules.errors import ExecutionError, InvalidRequest, ProviderUnavailable, RateLimited, UnknownOutcome

#: The longest wait that a provider is believed.
LONGEST_WAIT_SECONDS = 86_400.0


@dataclass(frozen=True)
class Answer:
    """What came back: a status, headers (any case), and the body, at most so much of it as `providers.wire` reads."""

    status: int
    headers: Mapping[str, str] | Message = field(repr=False)
    body: bytes = field(repr=False)
    cut_short: bool = False

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; `{}` where it is anything else."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) and not self.cut_short else {}


def lost_answer(label: str, happened: str, code: str | None = None) -> UnknownOutcome:
    """The error for a send that may have been accepted."""
    return UnknownOutcome(
        f"{label} {happened}, after the message was handed over: it may have been sent. "
        "Look there, then mark it as sent, send it again, or discard it.",
        provider_code=code,
    )


def unexpected(label: str, answer: Answer, *, effect: bool) -> ExecutionError:
    """The error for a status that no row of a provider's table explains.

    A 5xx to a send came after the whole request was handed over, and no provider promises that it then kept nothing.
    """
    code = str(answer.status)
    if answer.status >= 500 and effect:
        return lost_answer(label, f"failed with status {code}", code)
    if answer.status >= 500 or answer.status == 408:
        return ProviderUnavailable(
            f"{label} failed with status {code}. It is tried again by itself.", provider_code=code
        )
    if answer.status < 300 and effect:
        return lost_answer(label, f"answered {code} with something that is not its receipt", code)
    if answer.status == 429:
        return RateLimited(f"{label} asked us to slow down.", provider_code=code, retry_after=retry_after(answer))
    return InvalidRequest(
        f"{label} answered with status {code}, which it does not document for this call. "
        "Check that the base URL is the provider's own.",
        provider_code=code,
    )


def retry_after(answer: Answer, header: str = "Retry-After") -> float | None:
    """Seconds that a header asks us to wait, from a number or an HTTP date; None where it says nothing usable."""
    return seconds_until(answer.headers.get(header) or "")


def seconds_until(text: str) -> float | None:
    """Seconds in `text`: a number, or a date as in RFC 9110 (then from the real now; a past one is 0)."""
    try:
        return _bounded(float(text))
    except ValueError:
        pass
    try:
        return _bounded((parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def _bounded(seconds: float) -> float | None:
    return None if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_WAIT_SECONDS)
