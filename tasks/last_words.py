"""Waits for the last record of a passage, so that the thread that made it can take up other work meanwhile.

A worker's thread must wait for a record before it touches the outside world, but after the last touch nothing hangs on
the thread any more: only that the lease is held until the record is durable, and that the next bell is rung after it,
never before. That is done here, in the order in which the ledger commits. A process that dies in between leaves what
one leaves that dies before its last record: an execution under a lease that runs out.
"""

from __future__ import annotations

import queue
import threading
from collections import defaultdict
from collections.abc import Callable

import structlog

from models.ledger import Answer
from tasks.broker import ring

log = structlog.get_logger(__name__)

#: What is to be done with a record's answer: it may raise what the ledger raised. It answers who goes on, if anybody
#: does: a queue and the execution whose bell is rung there.
Follow = Callable[[Answer], "tuple[str, str] | None"]


class LastWords:
    """One thread for a process, and what it waits for."""

    def __init__(self) -> None:
        self._heard: queue.SimpleQueue[tuple[Answer, Follow] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="last-words", daemon=True)
        self._thread.start()

    def to(self, follow: Follow) -> Callable[[Answer], None]:
        """What to hand in with a record, so that `follow` is called here with its answer."""
        return lambda answer: self._heard.put((answer, follow))

    def close(self) -> None:
        """See to what was answered, then end the thread; the ledger is closed before."""
        self._heard.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._heard.get()) is not None:
            bells: dict[str, list[str]] = defaultdict(list)
            for answer, follow in [first, *self._more()]:
                goes_on = _followed(answer, follow)
                if goes_on is not None:
                    bells[goes_on[0]].append(goes_on[1])
            for name, execution_ids in bells.items():
                ring(name, execution_ids)

    def _more(self) -> list[tuple[Answer, Follow]]:
        """What else the same commit answered."""
        more = []
        while not self._heard.empty():
            heard = self._heard.get()
            if heard is None:
                self._heard.put(None)
                break
            more.append(heard)
        return more


def _followed(answer: Answer, follow: Follow) -> tuple[str, str] | None:
    try:
        return follow(answer)
    except Exception:
        # The execution stays under its lease; when that has run out, the sweep has it taken up again.
        log.exception("the last record of a passage was refused")
        return None
