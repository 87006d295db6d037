"""Open clients at the end of the process, at SIGTERM and in a forked process."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
import weakref
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beckon_client.client import Client

_open: weakref.WeakSet[Client] = weakref.WeakSet()


def register(client: Client) -> None:
    """Close the client when the process ends."""
    _open.add(client)
    if client.configuration.flush_on_sigterm:
        _install_handler()


def unregister(client: Client) -> None:
    """The client is closed."""
    _open.discard(client)


def watch_multiprocessing() -> None:
    """Close the clients at the end of a process that multiprocessing started: it ends without `atexit`."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.Finalize(None, close_all, exitpriority=10)


def close_all() -> None:
    """Close every open client within its `exit_seconds`, which count from the same moment for all."""
    started_at = time.monotonic()
    for client in list(_open):
        client.close(max(0.0, client.configuration.exit_seconds - (time.monotonic() - started_at)))


def _install_handler() -> None:
    """Only in the main thread, and only where SIGTERM has its default effect: an application's own handler stays."""
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _end_process)


def _end_process(number: int, frame: FrameType | None) -> None:
    """Empty the buffers, then end as if there were no handler."""
    close_all()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


def _reset_all() -> None:
    for client in list(_open):
        client.reset_after_fork()


atexit.register(close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all)
