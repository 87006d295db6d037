"""Waiting in tests: for a condition with a deadline, never for a length of time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def eventually(condition: Callable[[], Found], within: float = 10.0, every: float = 0.02) -> Found:
    """The first truthy answer of `condition`, asked again until `within` seconds are over.

    Raises AssertionError with the last answer when time is up; what `condition` raises is its own.
    """
    deadline = time.monotonic() + within
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {getattr(condition, '__name__', condition)}: {found!r}")
        time.sleep(every)
