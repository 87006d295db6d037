"""A log file of bounded size that never stops its writer: what the disk does not take is dropped and counted.

supervisord writes all logs through it.
"""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, datetime
from pathlib import Path

from rules.json_text import dump_json

#: The width of the count, which is overwritten in place: a full disk has no room for another digit.
_COUNT_WIDTH = 20


class DroppedLines:
    """Counts the lines that were dropped, in a file that has its size before the disk is full."""

    def __init__(self, path: Path) -> None:
        self._count = 0
        self._file: int | None = None
        with contextlib.suppress(OSError):
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.add(0)

    def add(self, lines: int) -> None:
        """Count so many more."""
        self._count += lines
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.pwrite(self._file, f"{self._count:>{_COUNT_WIDTH}}".encode(), 0)


class BoundedLog:
    """Appends to a file of at most about `max_bytes`, beside `backups` older ones (`….1` is the newest of them)."""

    def __init__(self, path: Path, max_bytes: int, backups: int, dropped: DroppedLines) -> None:
        self._path, self._max_bytes, self._backups = path, max_bytes, backups
        self._all_dropped = dropped
        self._file: int | None = None
        #: Lines that were dropped since the last one that was written, and the last error.
        self._gap, self._error = 0, ""

    def write(self, data: bytes) -> None:
        """Append all of it or, where the disk takes only a part or nothing, drop it. Never raises `OSError`."""
        try:
            size = self._make_room()
            self._append(self._describe_gap() + data, size)
            self._gap = 0
        except OSError as error:
            self._drop(data, error)

    def flush(self) -> None:
        """Do nothing: each write reaches the kernel at once."""

    def close(self) -> None:
        """Close the file; the next write opens it by its name again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _make_room(self) -> int:
        """Open the file, after a rotation if it is full; return its size. A removed file is left, which frees its
        space."""
        if self._file is None:
            self._open()
        status = os.fstat(self._descriptor)
        if status.st_nlink and (not self._max_bytes or status.st_size < self._max_bytes):
            return status.st_size
        self.close()
        if status.st_nlink:
            self._rotate()
        self._open()
        return os.fstat(self._descriptor).st_size

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @property
    def _descriptor(self) -> int:
        assert self._file is not None
        return self._file

    def _rotate(self) -> None:
        """Rename each file to the next number; the last one is replaced."""
        names = [self._path, *(self._path.with_name(f"{self._path.name}.{n}") for n in range(1, self._backups + 1))]
        for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
            with contextlib.suppress(FileNotFoundError):
                newer.replace(older)
        if not self._backups:
            self._path.unlink(missing_ok=True)

    def _append(self, data: bytes, size: int) -> None:
        """Append all of it, or leave the file as it was and raise OSError."""
        written = 0
        try:
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError:
            if written:
                os.ftruncate(self._descriptor, size)
            raise

    def _drop(self, data: bytes, error: OSError) -> None:
        """Count what is lost. The file is closed: if it was removed meanwhile, this frees its space."""
        lines = max(data.count(b"\n"), 1)
        self._gap, self._error = self._gap + lines, error.strerror or type(error).__name__
        self._all_dropped.add(lines)
        with contextlib.suppress(OSError):
            self.close()

    def _describe_gap(self) -> bytes:
        """The line that stands for those that were dropped. What was written before may have ended within a line."""
        if not self._gap:
            return b""
        line = {
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": "warning",
            "program": "supervisord",
            "event": "log lines were dropped",
            "lines": self._gap,
            "error": self._error,
        }
        return f"\n{dump_json(line)}\n".encode()
