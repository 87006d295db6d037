"""Measures several things at once, each under a deadline, so that one without an answer delays and hides no other.

A measurement that misses its deadline goes on in its thread; until that ends it is not started again, so that a
server that hangs holds one connection for each measurement, and not one for each request.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

#: Seconds that one measurement has.
DEADLINE_SECONDS = 2.5


@dataclass(frozen=True)
class Unmeasured:
    """The result of a measurement that failed, or gave no answer in time."""

    reason: str


class _Measurement:
    """One measurement in a thread of its own."""

    def __init__(self, name: str, measure: Callable[[], Any]) -> None:
        self.began = time.monotonic()
        self.result: Any = None
        self._name = name
        self._measure = measure
        self.thread = threading.Thread(target=self._run, name="health", daemon=True)

    def _run(self) -> None:
        try:
            self.result = self._measure()
        except Exception as error:
            self.result = Unmeasured((str(error).strip().splitlines() or [type(error).__name__])[0])
        finally:
            _unfinished.pop(self._name, None)

    def wait(self, deadline: float) -> Any:
        """Return the result, or Unmeasured at the deadline."""
        self.thread.join(max(0.0, deadline - time.monotonic()))
        if self.thread.is_alive():
            return Unmeasured(f"no answer for {time.monotonic() - self.began:.0f} s")
        return self.result


_unfinished: dict[str, _Measurement] = {}
_lock = threading.Lock()


def measure_all(measures: Mapping[str, Callable[[], Any]], seconds: float = DEADLINE_SECONDS) -> dict[str, Any]:
    """Run every measurement at once; return the results by name, each `Unmeasured` where there is none in time.

    Names are unique within the process: what a name measures is the same in every call.
    """
    deadline = time.monotonic() + seconds
    started = {name: _start(name, measure) for name, measure in measures.items()}
    return {name: measurement.wait(deadline) for name, measurement in started.items()}


def _start(name: str, measure: Callable[[], Any]) -> _Measurement:
    with _lock:
        measurement = _unfinished.get(name)
        if measurement is None:
            measurement = _unfinished[name] = _Measurement(name, measure)
            measurement.thread.start()
        return measurement
