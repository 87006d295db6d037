"""The command line of every peer: `install` its tables, `work` until killed, or `produce` what standard input asks for.

A line `<mode> <first> <count>` enqueues the executions of these numbers: `batch` a hundred in one call, `singly` one in
a call from eight threads. It is answered by one line.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

BATCH_SIZE, PRODUCERS = 100, 8

Enqueue = Callable[[Sequence[int]], object]


def run(install: Callable[[], object], work: Callable[[], object], open_producer: Callable[[], Enqueue]) -> None:
    """Do what the first argument names."""
    actions = {"install": install, "work": work, "produce": lambda: produce(open_producer())}
    actions[sys.argv[1]]()


def produce(enqueue: Enqueue) -> None:
    """Enqueue what each line of standard input asks for."""
    with ThreadPoolExecutor(PRODUCERS) as threads:
        for line in sys.stdin:
            mode, first, count = line.split()
            numbers = range(int(first), int(first) + int(count))
            if mode == "singly":
                list(threads.map(lambda number: enqueue([number]), numbers))
            else:
                for begin in range(0, len(numbers), BATCH_SIZE):
                    enqueue(numbers[begin : begin + BATCH_SIZE])
            sys.stdout.write("done\n")
            sys.stdout.flush()
