"""Limits the rate of direct messages: per second from one page or account, per minute to one person.

A message over the limit books a slot. Its execution waits as a row with a time: no attempt is used up and no worker
sleeps. Meta reports its own usage limits: a page slows down from 80 percent and stops at 100. Test executions only go
to the sandbox and are not limited.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ephemeral import slots
from ephemeral.rate_limits import RateLimit
from rules.definition import Step
from rules.errors import RateLimited
from settings import Settings
from tasks.runtime import message_rows, moves
from tasks.runtime.claimed_execution import ClaimedExecution
from tasks.runtime.engine import Engine

_PAGE = "meta_page"
#: Meta's usage in percent from which a page slows down, and at which it stops; the longest delay between, in seconds.
SLOW_FROM_PERCENT, STOP_AT_PERCENT, MAX_SLOWDOWN_SECONDS = 80.0, 100.0, 2.0
#: How long a page at its limit stops where Meta names no time.
STOP_SECONDS = 300.0


def read_usage(settings: Settings, page: str) -> tuple[int, int, float]:
    """Return the messages of the sending account `page` that count now, the limit a second, and the seconds for which
    Meta has stopped it. Raises `ephemeral.connection.ERRORS` without Redis."""
    limit = RateLimit(_PAGE, settings.meta_page_rate, settings.meta_page_rate)
    return slots.count_reserved(limit, page), limit.burst, slots.read_suspension_seconds(_PAGE, page)


def wait_for_slot(engine: Engine, claimed: ClaimedExecution, step: Step, page: str) -> bool:
    """Wait for the message's slot, unless it is now; return whether it waits. `page` is the sending account."""
    if claimed.test:
        return False
    message = claimed.messages[step.id]
    stopped_seconds = slots.read_suspension_seconds(_PAGE, page)
    if stopped_seconds:
        return _wait(claimed, step, stopped_seconds, booked=False)
    if (message["detail"] or {}).get("booked"):
        _mark_booked(claimed, step, booked=False)
        return False
    seconds = _book_slot(engine, message, page)
    return seconds > 0 and _wait(claimed, step, seconds, booked=True)


def _book_slot(engine: Engine, message: Mapping[str, Any], page: str) -> float:
    settings = engine.settings
    seconds = slots.reserve_send_slot(RateLimit(_PAGE, settings.meta_page_rate, settings.meta_page_rate), page)
    # A reply to a comment opens no thread, and a comment allows only one private reply.
    if message["detail"]["way"] != "message":
        return seconds
    thread = f"{page}:{message['to_address']}"
    return max(seconds, slots.reserve_send_slot(RateLimit("meta_thread", settings.meta_thread_rate / 60, 1), thread))


def _wait(claimed: ClaimedExecution, step: Step, seconds: float, *, booked: bool) -> bool:
    at = claimed.now() + timedelta(seconds=seconds)
    _mark_booked(claimed, step, booked=booked)
    message_rows.update(claimed, step, send_at=at)
    moves.enter(claimed, "ready_to_send")
    moves.wait(claimed, "rate_limit", at)
    return True


def _mark_booked(claimed: ClaimedExecution, step: Step, *, booked: bool) -> None:
    current = claimed.messages[step.id]["detail"] or {}
    detail = {name: value for name, value in current.items() if name != "booked"}
    message_rows.update(claimed, step, detail={**detail, "booked": True} if booked else detail)


def apply_usage(page: str, usage: Mapping[str, Any]) -> None:
    """Slow the page down, or stop it, according to the usage in a receipt."""
    percent = float(usage.get("usagePercent") or 0.0)
    if percent >= STOP_AT_PERCENT:
        slots.suspend(_PAGE, page, usage.get("regainSeconds") or STOP_SECONDS)
    elif percent >= SLOW_FROM_PERCENT:
        fraction = (percent - SLOW_FROM_PERCENT) / (STOP_AT_PERCENT - SLOW_FROM_PERCENT)
        slots.suspend(_PAGE, page, max(0.1, fraction * MAX_SLOWDOWN_SECONDS))


def apply_rate_limit(page: str, error: RateLimited) -> None:
    """Stop the page after Meta refused a call for its limits: more calls would only extend the stop."""
    slots.suspend(_PAGE, page, error.retry_after or 0.0)
