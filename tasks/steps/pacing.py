"""How fast direct messages go out: so many a second from one page or account, so many a minute to one person.

Who must wait gets a slot and comes back then: the execution waits as a row with a time, no attempt is used up and no
worker sleeps. What Meta says of its own limits slows everybody of that page down from 80 percent on, and stops them at
100. Test executions speak to the sandbox alone and are not held up.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ephemeral import slots
from ephemeral.rate_limits import RateLimit
from rules.definition import Step
from rules.errors import RateLimited
from tasks.runtime.claimed_execution import ClaimedExecution
from tasks.runtime.engine import Engine

_PAGE = "meta_page"
#: Meta's percentages from which we go slowly, and at which we stop; and the longest pause on the way.
SLOW_FROM_PERCENT, STOP_AT_PERCENT, MAX_SLOWDOWN_SECONDS = 80.0, 100.0, 2.0
#: How long a page that has used up its limits rests where Meta does not say.
STOP_SECONDS = 300.0


def wait_for_slot(engine: Engine, claimed: ClaimedExecution, step: Step, page: str) -> bool:
    """Leave the message until its slot, unless that is now; `page` is the sending account."""
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
    seconds = slots.reserve(RateLimit(_PAGE, settings.meta_page_rate, settings.meta_page_rate), page)
    # A reply to a comment opens no thread, and a comment takes one private reply anyway.
    if message["detail"]["way"] != "message":
        return seconds
    thread = f"{page}:{message['to_address']}"
    return max(seconds, slots.reserve(RateLimit("meta_thread", settings.meta_thread_rate / 60, 1), thread))


def _wait(claimed: ClaimedExecution, step: Step, seconds: float, *, booked: bool) -> bool:
    at = claimed.now() + timedelta(seconds=seconds)
    _mark_booked(claimed, step, booked=booked)
    claimed.update_message(step, send_at=at)
    claimed.enter("ready_to_send")
    claimed.wait("rate_limit", at)
    return True


def _mark_booked(claimed: ClaimedExecution, step: Step, *, booked: bool) -> None:
    current = claimed.messages[step.id]["detail"] or {}
    detail = {name: value for name, value in current.items() if name != "booked"}
    claimed.update_message(step, detail={**detail, "booked": True} if booked else detail)


def apply_usage(page: str, usage: Mapping[str, Any]) -> None:
    """Slow the page down, or stop it, by what a receipt tells of Meta's limits."""
    percent = float(usage.get("usagePercent") or 0.0)
    if percent >= STOP_AT_PERCENT:
        slots.suspend(_PAGE, page, usage.get("regainSeconds") or STOP_SECONDS)
    elif percent >= SLOW_FROM_PERCENT:
        fraction = (percent - SLOW_FROM_PERCENT) / (STOP_AT_PERCENT - SLOW_FROM_PERCENT)
        slots.suspend(_PAGE, page, max(0.1, fraction * MAX_SLOWDOWN_SECONDS))


def apply_rate_limit(page: str, error: RateLimited) -> None:
    """Meta refused one for its limits: more calls would only make it last longer."""
    slots.suspend(_PAGE, page, error.retry_after or 0.0)
