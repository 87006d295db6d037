"""Makes blocking work cooperate with gevent, where the process runs on it; elsewhere it does nothing.

psycopg2 would wait in C, outside gevent: it waits in the event loop instead (`models/server_waits.py`). Hashing a
password takes a tenth of a second of CPU without the interpreter; it runs in a native thread. What holds the
interpreter is parsed in another process (`dashboard/parsing`). Garbage collection skips the objects created at startup.
"""

from __future__ import annotations

import gc
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar, cast

import gevent
from gevent import monkey, socket

from models import server_waits

Result = TypeVar("Result")
Item = TypeVar("Item")


def is_cooperative() -> bool:
    """Whether gevent has patched this process's sockets."""
    return bool(monkey.is_module_patched("socket"))


def set_up() -> None:
    """Keep the queries of one request from blocking the others."""
    if is_cooperative():
        server_waits.set_up(_wait_for_file, server_waits.BRIEF)


def _wait_for_file(file_number: int, for_writing: bool, seconds: float | None) -> bool:
    wait = socket.wait_write if for_writing else socket.wait_read
    try:
        wait(file_number, timeout=seconds)
    except TimeoutError:
        return False
    return True


def freeze_startup_objects() -> None:
    """Exclude the objects created at startup from garbage collection: they live until the process ends, and scanning
    them blocked all requests for 60 ms every dozen pages."""
    gc.collect()
    gc.freeze()


def call_on_sigterm(action: Callable[[], None]) -> None:
    """Run `action` on SIGTERM, before the process waits for open requests."""
    if not is_cooperative():
        return
    previous_handler = signal.getsignal(signal.SIGTERM)

    def handle_sigterm(number: int, frame: Any) -> None:
        # In its own greenlet: a signal handler must not block.
        gevent.spawn(action)
        if callable(previous_handler):
            previous_handler(number, frame)

    signal.signal(signal.SIGTERM, handle_sigterm)


def take_turns(items: Iterable[Item], size: int = 25) -> Iterator[Item]:
    """Iterate over items, and let other requests go on after every `size` of them."""
    for count, item in enumerate(items, 1):
        yield item
        if count % size == 0 and is_cooperative():
            gevent.sleep(0)


def compute(function: Callable[..., Result], *arguments: Any) -> Result:
    """The function's result, computed without blocking other requests; its errors are raised here."""
    if not is_cooperative():
        return function(*arguments)
    result, error = gevent.get_hub().threadpool.apply(_run, (function, arguments))
    if error is not None:
        raise error
    return cast("Result", result)


def _run(function: Callable[..., Result], arguments: Sequence[Any]) -> tuple[Result | None, Exception | None]:
    """Return an error instead of raising it: gevent prints those that leave a native thread."""
    try:
        return function(*arguments), None
    except Exception as error:
        return None, error
