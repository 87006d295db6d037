"""When a message may be sent: each asker books the next free slot, so that those who must wait come back one by one.

A limit lets `burst` through at once and then one each `1 / rate` seconds. Who is told to wait has a slot of its own by
then and need not ask again, however many wait beside it. A key can also be stopped for a while, when its provider
asked for that; slots that were booked before do not hold then. Redis forgets both with a flush, which costs a burst;
without Redis everybody passes.
"""

from __future__ import annotations

import structlog

import metrics
from ephemeral.connection import ERRORS, get_ephemeral
from ephemeral.rate_limits import RateLimit

log = structlog.get_logger(__name__)

# The key holds the moment, in milliseconds, up to which slots are given away. Redis's clock decides.
_RESERVE = """
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + clock[2] / 1000
local taken = math.max(now, tonumber(redis.call('GET', KEYS[1]) or now))
redis.call('SET', KEYS[1], string.format('%.3f', taken + interval), 'PX', math.ceil(taken + interval - now) + 1000)
return math.ceil(math.max(0, taken - now - (burst - 1) * interval))
"""

# The longer of two stops holds.
_SUSPEND = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], '1', 'PX', ARGV[1]) end
"""


def reserve(limit: RateLimit, subject: str) -> float:
    """Seconds until the slot that is now booked for `who`; 0.0 for at once."""
    script = get_ephemeral().register_script(_RESERVE)
    try:
        return int(script([f"slots:{limit.name}:{subject}"], [1000 / limit.rate, limit.burst])) / 1000
    except ERRORS as error:
        _count_unchecked(limit.name, error)
        return 0.0


def suspend(name: str, subject: str, seconds: float) -> None:
    """Let nobody through for so many seconds, or for longer where that was said before."""
    if seconds <= 0:
        return
    script = get_ephemeral().register_script(_SUSPEND)
    try:
        script([f"stopped:{name}:{subject}"], [max(1, int(seconds * 1000))])
    except ERRORS as error:
        _count_unchecked(name, error)


def read_suspension_seconds(name: str, subject: str) -> float:
    """Seconds for which nobody is let through; 0.0 when everybody is."""
    try:
        return max(0, int(get_ephemeral().pttl(f"stopped:{name}:{subject}"))) / 1000
    except ERRORS as error:
        _count_unchecked(name, error)
        return 0.0


def _count_unchecked(name: str, error: Exception) -> None:
    metrics.rate_limits_unchecked_total.inc()
    log.warning("redis is away, a limit was not checked", limit=name, error=str(error))
