"""When a message may be sent: each asker books the next free slot, so that those who must wait come back one by one.

A limit lets `burst` through at once and then one each `1 / rate` seconds. Who is told to wait has a slot of its own by
then and need not ask again, however many wait beside it. A key can also be stopped for a while, when its provider
asked for that; slots that were booked before do not hold then. Redis forgets both with a flush, which costs a burst;
without Redis everybody passes.
"""

from __future__ import annotations

import structlog

import metrics
from ephemeral.connection import ERRORS, ephemeral
from ephemeral.rate_limits import Limit

log = structlog.get_logger(__name__)

# The key holds the moment, in milliseconds, up to which slots are given away. Redis's clock decides.
_BOOK = """
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + clock[2] / 1000
local taken = math.max(now, tonumber(redis.call('GET', KEYS[1]) or now))
redis.call('SET', KEYS[1], string.format('%.3f', taken + interval), 'PX', math.ceil(taken + interval - now) + 1000)
return math.ceil(math.max(0, taken - now - (burst - 1) * interval))
"""

# The longer of two stops holds.
_STOP = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], '1', 'PX', ARGV[1]) end
"""


def book(limit: Limit, who: str) -> float:
    """Seconds until the slot that is now booked for `who`; 0.0 for at once."""
    script = ephemeral().register_script(_BOOK)
    try:
        return int(script([f"slots:{limit.name}:{who}"], [1000 / limit.rate, limit.burst])) / 1000
    except ERRORS as error:
        _unchecked(limit.name, error)
        return 0.0


def stop(name: str, who: str, seconds: float) -> None:
    """Let nobody through for so many seconds, or for longer where that was said before."""
    if seconds <= 0:
        return
    script = ephemeral().register_script(_STOP)
    try:
        script([f"stopped:{name}:{who}"], [max(1, int(seconds * 1000))])
    except ERRORS as error:
        _unchecked(name, error)


def stopped_seconds(name: str, who: str) -> float:
    """Seconds for which nobody is let through; 0.0 when everybody is."""
    try:
        return max(0, int(ephemeral().pttl(f"stopped:{name}:{who}"))) / 1000
    except ERRORS as error:
        _unchecked(name, error)
        return 0.0


def _unchecked(name: str, error: Exception) -> None:
    metrics.rate_limits_unchecked_total.inc()
    log.warning("redis is away, a limit was not checked", limit=name, error=str(error))
