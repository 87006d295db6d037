"""Represents a provider's response, and classifies statuses that the provider's own table does not cover."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Any

from rules.errors import ExecutionError, InvalidRequest, ProviderUnavailable, RateLimited, UnknownOutcome
from rules.json_text import load_json

#: Maximum wait that is accepted from a provider, in seconds.
MAX_WAIT_SECONDS = 86_400.0


@dataclass(frozen=True)
class Response:
    """A status, headers (case-insensitive), and the body up to the maximum of `providers.http_client`."""

    status: int
    headers: Mapping[str, str] | Message = field(repr=False)
    body: bytes = field(repr=False)
    truncated: bool = False

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> dict[str, Any]:
        """Parse the body as a JSON object; `{}` if it is anything else."""
        try:
            parsed = load_json(self.body)
        except ValueError:
            return {}
        return parsed if isinstance(parsed, dict) and not self.truncated else {}


def build_unknown_outcome(
    label: str, description: str, code: str | None = None, *, timed_out: bool = False
) -> UnknownOutcome:
    """Build the error for a send that may have been accepted."""
    return UnknownOutcome(
        f"{label} {description} after the request was written: the message may have been sent. "
        "Check its log, then mark the message as sent, send it again, or discard it.",
        provider_code=code,
        timed_out=timed_out,
    )


def build_unexpected_status_error(label: str, response: Response, *, effect: bool) -> ExecutionError:
    """Build the error for a status that no row of a provider's table covers.

    A 5xx to a send follows the whole request, and no provider guarantees that it then stored nothing.
    """
    code = str(response.status)
    if response.status >= 500 and effect:
        return build_unknown_outcome(label, f"failed with status {code}", code)
    if response.status >= 500 or response.status == 408:
        return ProviderUnavailable(
            f"{label} failed with status {code}. It will be retried automatically.", provider_code=code
        )
    if response.status < 300 and effect:
        return build_unknown_outcome(label, f"answered {code} without a valid receipt", code)
    if response.status == 429:
        return RateLimited(
            f"{label} asked us to slow down.", provider_code=code, retry_after=parse_retry_after(response)
        )
    return InvalidRequest(
        f"{label} answered with status {code}, which it does not document for this call. "
        "Check that the base URL is the provider's.",
        provider_code=code,
    )


def parse_retry_after(response: Response, header: str = "Retry-After") -> float | None:
    """Return the wait in seconds from a header, a number or an HTTP date; None if it is missing or invalid."""
    return parse_delay_seconds(response.headers.get(header) or "")


def parse_delay_seconds(text: str) -> float | None:
    """Parse seconds from a number, or from a date as in RFC 9110 (relative to the real time; a past date is 0)."""
    try:
        return _clamp_wait(float(text))
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(text)
        # A date of C's asctime() has no zone; RFC 9110 reads it as UTC.
        aware = at if at.tzinfo else at.replace(tzinfo=UTC)
        return _clamp_wait((aware - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def _clamp_wait(seconds: float) -> float | None:
    return None if math.isnan(seconds) else min(max(seconds, 0.0), MAX_WAIT_SECONDS)
