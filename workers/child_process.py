"""Child processes: forks that end with their parent and run none of its code afterwards, and the list of them."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

#: `prctl` options of Linux: the signal that a process gets when its parent ends, and its name.
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
#: Seconds between two looks at a process that ends.
_POLL_SECONDS = 0.02


class ChildProcess:
    """A forked process, with the part of `subprocess.Popen`'s interface that its parent needs."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code; None while the process runs."""
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if ended else None
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait for the end. Raises `subprocess.TimeoutExpired`."""
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(_POLL_SECONDS)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


def list_children(pid: int) -> set[int]:
    """List the child processes of a process's first thread; none if it has ended."""
    try:
        return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    except OSError:
        return set()


def fork(run: Callable[[], None]) -> ChildProcess:
    """Start a process that runs this function; its parent's files are closed, except the three standard ones.

    Call it while no other thread runs: a fork has only the calling one, and a lock that another holds stays locked.
    """
    sys.stdout.flush()
    # What exists stays shared: no collection writes to it, in either process.
    gc.collect()
    gc.freeze()
    pid = os.fork()
    if not pid:
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        exit_after(run)
    return ChildProcess(pid)


def exit_after(run: Callable[[], None]) -> NoReturn:
    """Run this function and end the process, whatever happens: what the parent was doing must not go on here."""
    code = 1
    try:
        run()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os._exit(code)


def end_with_parent(name: str) -> None:
    """Have the kernel send this process SIGTERM when its parent ends, and show it by this name (`ps -e`, `top`)."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        libc.prctl(_PR_SET_NAME, name.encode())
