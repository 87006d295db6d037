"""Bounds the large requests of a key: two at once in all web processes of a host, and none waits.

A turn is a lock on one byte of a file, at a place that the key's hash names: the kernel releases the locks of a
process that is killed, and nothing of a key is kept.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
from contextlib import suppress
from pathlib import Path

#: Large requests that a key may have at once.
MAX_AT_ONCE = 2
#: `struct flock`: the type of the lock, where its start counts from, its start, its length, and no process id.
_LOCK = struct.Struct("hhqqi")
#: Linux has locks that belong to an open file instead of its process.
_SET_LOCK: int | None = getattr(fcntl, "F_OFD_SETLK", None)


def take(path: Path, key: str) -> int | None:
    """Take a turn of a key in the file at `path`: an open file, which holds the turn until it is closed; or None.

    Raises OSError where the file cannot be locked.
    """
    if _SET_LOCK is None:
        raise OSError("this system has no locks of open files")
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    place = int.from_bytes(hashlib.sha256(key.encode()).digest()[:6]) * MAX_AT_ONCE
    for turn in range(MAX_AT_ONCE):
        with suppress(BlockingIOError):
            fcntl.fcntl(file, _SET_LOCK, _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, place + turn, 1, 0))
            return file
    os.close(file)
    return None


def give_back(file: int) -> None:
    """Give a turn back."""
    os.close(file)
