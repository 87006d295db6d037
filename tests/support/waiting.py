"""Waits in tests: for a condition with a deadline, never for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def eventually(condition: Callable[[], Result], timeout: float = 10.0, interval: float = 0.02) -> Result:
    """Call `condition` every `interval` seconds until it returns a truthy value, and return that value.

    Raises AssertionError with the last value after `timeout` seconds. Exceptions of `condition` propagate.
    """
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(
                f"not true within {timeout} s: {getattr(condition, '__name__', condition)}: {result!r}"
            )
        time.sleep(interval)
