"""Waiting in tests: for a condition with a deadline, never for a length of time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Found")


def eventually(condition: Callable[[], Result], timeout: float = 10.0, interval: float = 0.02) -> Result:
    """The first truthy answer of `condition`, asked again until `within` seconds are over.

    Raises AssertionError with the last answer when time is up; what `condition` raises is its own.
    """
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {getattr(condition, '__name__', condition)}: {result!r}")
        time.sleep(interval)
