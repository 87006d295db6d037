"""Rate limits: token buckets in Redis, shared by every process.

Each bucket holds up to `burst` tokens and gains `rate` a second. A request takes its cost completely or not at all, in
one script, so that no two processes take the same token. Without Redis every request passes, because rejecting all
requests would protect nothing. Sign-ins are limited without Redis too (`ephemeral/sign_ins.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import structlog

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
