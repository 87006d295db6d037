"""Send slots: each message reserves the next free slot of its limit, so that waiting messages resume one by one.

A limit lets `burst` through at once and then one each `1 / rate` seconds. A message that must wait has its slot
reserved and need not ask again, however many others wait. A key can also be suspended for a while, if its provider asks
for that; earlier reservations do not apply then. A flush of Redis loses both and costs one burst; without Redis every
message passes.
"""

from __future__ import annotations

import math

import structlog

import metrics
from ephemeral.connection import ERRORS, get_ephemeral
from ephemeral.rate_limits import RateLimit

log = structlog.get_logger(__name__)

# The key holds the time, in milliseconds, up to which slots are reserved. Redis's clock decides.
_RESERVE = """
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + clock[2] / 1000
local taken = math.max(now, tonumber(redis.call('GET', KEYS[1]) or now))
redis.call('SET', KEYS[1], string.format('%.3f', taken + interval), 'PX', math.ceil(taken + interval - now) + 1000)
return math.ceil(math.max(0, taken - now - (burst - 1) * interval))
"""

# The longer of two suspensions applies.
_SUSPEND = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], '1', 'PX', ARGV[1]) end
"""


def reserve_send_slot(limit: RateLimit, subject: str) -> float:
    """Reserve a slot for `subject`; return the seconds until it, 0.0 for at once."""
    script = get_ephemeral().register_script(_RESERVE)
    try:
        return int(script([f"slots:{limit.name}:{subject}"], [1000 / limit.rate, limit.burst])) / 1000
    except ERRORS as error:
        _count_unchecked(limit.name, error)
        return 0.0


def count_reserved(limit: RateLimit, subject: str) -> int:
    """Return how many of the limit's slots are in use now: 0 to `burst`, and more while messages wait for theirs.

    Raises `ephemeral.connection.ERRORS` without Redis.
    """
    client = get_ephemeral()
    taken_ms = float(client.get(f"slots:{limit.name}:{subject}") or 0)
    seconds, microseconds = client.time()
    return max(0, math.ceil((taken_ms / 1000 - seconds - microseconds / 1e6) * limit.rate))


def suspend(name: str, subject: str, seconds: float) -> None:
    """Suspend a subject's slots for so many seconds; a longer suspension stays."""
    if seconds <= 0:
        return
    script = get_ephemeral().register_script(_SUSPEND)
    try:
        script([f"stopped:{name}:{subject}"], [max(1, int(seconds * 1000))])
    except ERRORS as error:
        _count_unchecked(name, error)


def read_suspension_seconds(name: str, subject: str) -> float:
    """Return the remaining seconds of a suspension; 0.0 without one."""
    try:
        return max(0, int(get_ephemeral().pttl(f"stopped:{name}:{subject}"))) / 1000
    except ERRORS as error:
        _count_unchecked(name, error)
        return 0.0


def _count_unchecked(name: str, error: Exception) -> None:
    metrics.rate_limits_unchecked_total.inc()
    log.warning("redis is unavailable, a send limit was not checked", limit=name, error=str(error))
