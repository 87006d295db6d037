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
from ephemeral.rate_limits import Limit
from rules.definition import Step
from rules.errors import RateLimited
from tasks.engine import Engine
from tasks.passage import Passage

_PAGE = "meta_page"
#: Meta's percentages from which we go slowly, and at which we stop; and the longest pause on the way.
SLOW_FROM_PERCENT, STOP_AT_PERCENT, SLOWEST_SECONDS = 80.0, 100.0, 2.0
#: How long a page that has used up its limits rests where Meta does not say.
STOP_SECONDS = 300.0


def must_wait(engine: Engine, passage: Passage, step: Step, page: str) -> bool:
    """Leave the message until its slot, unless that is now; `page` is the sending account."""
    if passage.test:
        return False
    message = passage.messages[step.id]
    stopped = slots.stopped_seconds(_PAGE, page)
    if stopped:
        return _wait(passage, step, stopped, booked=False)
    if (message["detail"] or {}).get("booked"):
        _note(passage, step, booked=False)
        return False
    seconds = _booked(engine, message, page)
    return seconds > 0 and _wait(passage, step, seconds, booked=True)


def _booked(engine: Engine, message: Mapping[str, Any], page: str) -> float:
    told = engine.settings
    seconds = slots.book(Limit(_PAGE, told.meta_page_rate, told.meta_page_rate), page)
    # A reply to a comment opens no thread, and a comment takes one private reply anyway.
    if message["detail"]["way"] != "message":
        return seconds
    thread = f"{page}:{message['to_address']}"
    return max(seconds, slots.book(Limit("meta_thread", told.meta_thread_rate / 60, 1), thread))


def _wait(passage: Passage, step: Step, seconds: float, *, booked: bool) -> bool:
    at = passage.now() + timedelta(seconds=seconds)
    _note(passage, step, booked=booked)
    passage.message(step, send_at=at)
    passage.enter("ready_to_send")
    passage.wait("rate_limit", at)
    return True


def _note(passage: Passage, step: Step, *, booked: bool) -> None:
    detail = {name: value for name, value in passage.messages[step.id]["detail"].items() if name != "booked"}
    passage.message(step, detail={**detail, "booked": True} if booked else detail)


def heed(page: str, told: Mapping[str, Any]) -> None:
    """Slow the page down, or stop it, by what a receipt tells of Meta's limits."""
    percent = float(told.get("usagePercent") or 0.0)
    if percent >= STOP_AT_PERCENT:
        slots.stop(_PAGE, page, told.get("regainSeconds") or STOP_SECONDS)
    elif percent >= SLOW_FROM_PERCENT:
        part = (percent - SLOW_FROM_PERCENT) / (STOP_AT_PERCENT - SLOW_FROM_PERCENT)
        slots.stop(_PAGE, page, max(0.1, part * SLOWEST_SECONDS))


def heed_refusal(page: str, error: RateLimited) -> None:
    """Meta refused one for its limits: more calls would only make it last longer."""
    slots.stop(_PAGE, page, error.retry_after or 0.0)
