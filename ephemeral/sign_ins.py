"""Limits of sign-in attempts: by address, by account, and by browser that has signed in before.

Redis counts for every process. Without Redis each process counts for itself, with its part of the limits: guessing a
password does not become easier, and valid sign-ins still work.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from weakref import WeakKeyDictionary

import redis
import structlog
from cachetools import FIFOCache

import metrics
from ephemeral.connection import ERRORS, get_ephemeral
from ephemeral.rate_limits import RateLimit, take
from rules.sign_in_delays import Delays, Failures, decide, split

log = structlog.get_logger(__name__)

#: Attempts of one browser that has signed in before, without delays: ten an hour, five at once.
DEVICE_LIMIT = RateLimit("sign-in-device", rate=10 / 3600, burst=5)
DELAYS = Delays()
#: Addresses, accounts or browsers that one process stores without Redis.
MAX_ENTRIES = 10_000

# The same decision as rules.sign_in_delays.decide. Redis's clock decides.
_ATTEMPT = """
local forget, keep_turn = tonumber(ARGV[1]), tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local failures = redis.call('HMGET', KEYS[1], 'count', 'at')
local at = tonumber(failures[2]) or now
local count = math.max(0, (tonumber(failures[1]) or 0) - math.floor(math.max(0, now - at) / forget))
local waits_until = at + ARGV[3 + count]
local turn = redis.call('GET', KEYS[2])
if turn then waits_until = math.min(waits_until, tonumber(turn)) end
if now < waits_until then
    redis.call('SET', KEYS[2], waits_until, 'PX', waits_until - now + keep_turn)
    return waits_until - now
end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[1], 'count', math.min(count + 1, #ARGV - 3), 'at', now)
redis.call('PEXPIRE', KEYS[1], #ARGV * forget)
return 0
"""

_UNDO_FAILURE = """
local count = tonumber(redis.call('HGET', KEYS[1], 'count') or '0')
if count > 0 then redis.call('HSET', KEYS[1], 'count', count - 1) end
"""


class ProcessLimits:
    """The same limits, counted only in this process; each of several `processes` has its part of them."""

    def __init__(self, processes: int = 1) -> None:
        self._processes = processes
        self._lock = threading.Lock()
        self._buckets: FIFOCache[str, tuple[float, int]] = FIFOCache(MAX_ENTRIES)
        self._failures: FIFOCache[str, Failures] = FIFOCache(MAX_ENTRIES)
        self._turns: FIFOCache[str, int] = FIFOCache(MAX_ENTRIES)

    def take(self, limit: RateLimit, subject: str) -> int:
        """Take a token; return 0, or the seconds until there is one."""
        key, now_ms = f"{limit.name}:{subject}", _now_ms()
        rate, burst = limit.rate / self._processes, max(1, limit.burst // self._processes)
        with self._lock:
            tokens, at_ms = self._buckets.get(key) or (float(burst), now_ms)
            tokens = min(burst, tokens + (now_ms - at_ms) / 1000 * rate)
            wait = 0 if tokens >= 1 else math.ceil((1 - tokens) / rate)
            self._buckets[key] = tokens if wait else tokens - 1, now_ms
            return wait

    def attempt(self, delays: Delays, account: str, browser: str) -> int:
        """Count an attempt; return 0, or the milliseconds until this browser may try this account."""
        key = f"{account}:{browser}"
        with self._lock:
            decision = decide(
                split(delays, self._processes), self._failures.get(account), self._turns.get(key), _now_ms()
            )
            self._failures[account] = decision.failures
            self._turns.pop(key, None)
            if decision.turn_ms is not None:
                self._turns[key] = decision.turn_ms
            return decision.wait_ms

    def undo_failure(self, account: str) -> None:
        """Undo one failure of the account."""
        with self._lock:
            failures = self._failures.get(account)
            if failures is not None:
                self._failures[account] = Failures(max(0, failures.count - 1), failures.at_ms)


#: The counts of this process without Redis, by client.
_fallback_limits: WeakKeyDictionary[redis.Redis, ProcessLimits] = WeakKeyDictionary()
_processes = 1


def share_limits(processes: int) -> None:
    """Give this process its part of the limits without Redis: it is one of so many that count for themselves."""
    global _processes
    _processes = processes


def _get_process_limits() -> ProcessLimits:
    return _fallback_limits.setdefault(get_ephemeral(), ProcessLimits(_processes))


def take_for_address(address: str, rate_per_minute: int) -> int:
    """Count an attempt of this address; return 0, or the seconds until it may try again."""
    return _take(RateLimit("sign-in-address", rate_per_minute / 60, rate_per_minute), address)


def take_for_device(device: str) -> int:
    """Count an attempt of a browser that has signed in before; return 0, or the seconds to wait."""
    return _take(DEVICE_LIMIT, device)


def take_for_account(account: str, browser: str, delays: Delays) -> int:
    """Count an attempt of an unknown browser at this account; return 0, or the seconds to wait.

    The attempt counts as a failure until `undo_failure`.
    """
    account, browser = _hash(account), _hash(browser)
    keys = [f"sign-in-failures:{account}", f"sign-in-turn:{account}:{browser}"]
    script = get_ephemeral().register_script(_ATTEMPT)
    try:
        wait_ms = int(script(keys, [delays.forget_ms, delays.keep_turn_ms, *delays.after_failures_ms]))
    except ERRORS as error:
        _count_unchecked(error)
        wait_ms = _get_process_limits().attempt(delays, account, browser)
    return math.ceil(wait_ms / 1000)


def undo_failure(account: str) -> None:
    """Undo the failure that `take_for_account` counted: the attempt succeeded."""
    account = _hash(account)
    try:
        get_ephemeral().register_script(_UNDO_FAILURE)([f"sign-in-failures:{account}"])
    except ERRORS as error:
        _count_unchecked(error)
        _get_process_limits().undo_failure(account)


def _take(limit: RateLimit, subject: str) -> int:
    try:
        return take(limit, subject)
    except ERRORS as error:
        _count_unchecked(error)
        return _get_process_limits().take(limit, subject)


def _count_unchecked(error: Exception) -> None:
    metrics.rate_limits_unchecked_total.inc()
    log.warning("redis is unavailable, this process counts sign-ins for itself", error=str(error))


def _hash(text: str) -> str:
    """Hash any text for use in a key."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _now_ms() -> int:
    return int(time.monotonic() * 1000)
