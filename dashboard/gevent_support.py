"""Makes blocking work cooperate with gevent, where the process runs on it; everywhere else it does nothing.

PostgreSQL's client waits in C, where gevent cannot see it: it is given a callback that waits in the event loop instead.
A password's hash is a tenth of a second of pure computing: that is done in a real thread. And garbage is collected
without a look at all that was ever imported.
"""

from __future__ import annotations

import gc
import signal
from collections.abc import Callable
from typing import Any, TypeVar

import gevent
import psycopg2
import psycopg2.extensions
from gevent import monkey, socket

Result = TypeVar("Result")


def is_cooperative() -> bool:
    """Whether this process's sockets belong to gevent."""
    return bool(monkey.is_module_patched("socket"))


def set_up() -> None:
    """Let queries of one request not hold up the others."""
    if is_cooperative():
        psycopg2.extensions.set_wait_callback(_wait_for_connection)


def _wait_for_connection(connection: Any, timeout_seconds: float | None = None) -> None:
    while True:
        state = connection.poll()
        if state == psycopg2.extensions.POLL_OK:
            return
        if state == psycopg2.extensions.POLL_READ:
            socket.wait_read(connection.fileno(), timeout=timeout_seconds)
        elif state == psycopg2.extensions.POLL_WRITE:
            socket.wait_write(connection.fileno(), timeout=timeout_seconds)
        else:
            raise psycopg2.OperationalError(f"unexpected answer {state} of poll")


def freeze_startup_objects() -> None:
    """Let no collection of garbage look again at what the start has made: it stands until the end, and looking at all
    of it took 60 ms every dozen pages, in which nobody was answered."""
    gc.collect()
    gc.freeze()


def call_on_sigterm(action: Callable[[], None]) -> None:
    """Do this as soon as SIGTERM comes, before the process waits for the requests that are open."""
    if not is_cooperative():
        return
    previous_handler = signal.getsignal(signal.SIGTERM)

    def handle_sigterm(number: int, frame: Any) -> None:
        # Not here: a signal's function must not wait for anybody.
        gevent.spawn(action)
        if callable(previous_handler):
            previous_handler(number, frame)

    signal.signal(signal.SIGTERM, handle_sigterm)


def compute(function: Callable[..., Result], *arguments: Any) -> Result:
    """The function's answer, without holding up other requests while it computes."""
    if not is_cooperative():
        return function(*arguments)
    result: Result = gevent.get_hub().threadpool.apply(function, arguments)
    return result
