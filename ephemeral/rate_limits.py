"""Rate limits: token buckets in Redis, shared by every process.

Each bucket holds up to `burst` tokens and gains `rate` a second. A request takes its cost completely or not at all, in
one script, so that no two processes take the same token. Without Redis every request passes, because rejecting all
requests would protect nothing. Sign-ins are limited without Redis too (`ephemeral/sign_ins.py`).

Where thousands of requests a second have a high limit, `try_take_in_advance` asks Redis for one in many of them only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from threading import Lock

import structlog
from cachetools import TTLCache

import metrics
from ephemeral.connection import ERRORS, get_ephemeral

log = structlog.get_logger(__name__)

# Returns the milliseconds until there are enough tokens, 0 if they were taken. Redis's clock decides.
_TAKE = """
local cost, rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(bucket[1]) or burst, tonumber(bucket[2]) or now
tokens = math.min(burst, tokens + math.max(0, now - at) / 1000 * rate)
local wait = 0
if tokens >= cost then tokens = tokens - cost else wait = math.ceil((cost - tokens) / rate * 1000) end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', now)
redis.call('PEXPIRE', KEYS[1], math.ceil(burst / rate * 1000) + 1000)
return wait
"""


@dataclass(frozen=True)
class RateLimit:
    """One limit. `name` is part of the key in Redis; `rate` is in tokens a second, `burst` in tokens."""

    name: str
    rate: float
    burst: int


def take(limit: RateLimit, subject: str, cost: int = 1) -> int:
    """Take the cost for `subject`; return 0, or the whole seconds after which to try again.

    A cost above the burst counts as the burst, so that it passes when the bucket is full. Raises one of
    `connection.ERRORS` without Redis.
    """
    script = get_ephemeral().register_script(_TAKE)
    wait_ms = int(script([f"limit:{limit.name}:{subject}"], [min(cost, limit.burst), limit.rate, limit.burst]))
    return math.ceil(wait_ms / 1000)


def try_take(limit: RateLimit, subject: str, cost: int = 1) -> int:
    """Take the cost as `take` does; return 0 without Redis."""
    try:
        return take(limit, subject, cost)
    except ERRORS as error:
        metrics.rate_limits_unchecked_total.inc()
        log.warning("redis is unavailable, a rate limit was not checked", limit=limit.name, error=str(error))
        return 0


#: The part of a second's tokens that a process takes in advance.
_ADVANCE_PARTS = 50
#: Seconds after which a process forgets tokens that it took in advance and has not used.
ADVANCE_SECONDS = 1.0
#: Subjects of limits for which a process has tokens.
_MAX_SUBJECTS = 10_000


@dataclass
class _Advance:
    tokens: int


_advances: TTLCache[tuple[RateLimit, str], _Advance] = TTLCache(_MAX_SUBJECTS, ADVANCE_SECONDS)
_advances_lock = Lock()


def try_take_in_advance(limit: RateLimit, subject: str, cost: int = 1) -> int:
    """Take the cost as `try_take` does, mostly from tokens that this process took from Redis in advance.

    No subject gets more than its limit. It may get less, by a fiftieth of the rate for each process.
    """
    if _take_from_advance(limit, subject, cost):
        return 0
    size = max(cost, min(limit.burst, math.floor(limit.rate / _ADVANCE_PARTS)))
    if size == cost or try_take(limit, subject, size):
        return try_take(limit, subject, cost)
    with _advances_lock:
        _advances[limit, subject] = _Advance(size - cost)
    return 0


def _take_from_advance(limit: RateLimit, subject: str, cost: int) -> bool:
    with _advances_lock:
        advance = _advances.get((limit, subject))
        if advance is None or advance.tokens < cost:
            return False
        advance.tokens -= cost
        return True
