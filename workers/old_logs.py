"""Removes rotated log files by age; supervisord, which rotates them by size, knows no age."""

from __future__ import annotations

import contextlib
from pathlib import Path

#: Days after its last line for which a rotated file is kept.
KEEP_DAYS = 14


def remove_old_logs(directory: Path, now: float) -> int:
    """Remove the rotated files (`engine-0.log.1`) last written over `KEEP_DAYS` before `now`, in seconds since 1970;
    return how many. One that cannot be removed stays."""
    removed = 0
    for file in directory.glob("*.log.[0-9]*"):
        with contextlib.suppress(OSError):
            if file.stat().st_mtime < now - KEEP_DAYS * 86_400:
                file.unlink()
                removed += 1
    return removed
