"""Measurements of the benchmarks: percentiles, processor time of process trees, transactions, and output of tables."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

_TICK = os.sysconf("SC_CLK_TCK")


def percentile(values: Iterable[float], fraction: float) -> float:
    """Return the value below which `fraction` (0 to 1) of all values lie; 0 without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))] if ordered else 0.0


def median(values: Iterable[float]) -> float:
    """Return the middle value."""
    return percentile(values, 0.5)


def read_processor_seconds(process: int) -> float:
    """Read the processor time of a process, its threads and its children, alive or ended; 0 if the process is gone."""
    try:
        own = _read_ticks(process) / _TICK
    except OSError:
        return 0.0
    return own + sum(read_processor_seconds(child) for child in list_children(process))


def _read_ticks(process: int) -> int:
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    # user and system time, and both of the children that were waited for (proc(5), fields 14 to 17)
    return sum(int(field) for field in fields[11:15])


def list_children(process: int) -> list[int]:
    """List the live children of a process, whichever of its threads started them."""
    pids = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            pids += [int(pid) for pid in task.read_text().split()]
        except OSError:
            continue
    return pids


def count_transactions_written(cursor: Any) -> int:
    """Count all transactions that wrote anything on this server: each was one commit that waited for the disk."""
    cursor.execute("select pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
    return int(cursor.fetchone()[0])


def describe_machine() -> str:
    """Describe this machine in one line."""
    names = [line.split(":", 1)[1].strip() for line in _read_lines("/proc/cpuinfo") if line.startswith("model name")]
    name = names[0] if names else platform.machine()
    return f"{os.cpu_count()} cores, {name}, CPython {platform.python_version()}, {platform.system()}"


def _read_lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def show(text: str = "") -> None:
    """Print a line."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def show_table(head: Sequence[str], lines: Sequence[Sequence[object]]) -> None:
    """Print a small table in Markdown."""
    cells = [[str(cell) for cell in line] for line in (head, *lines)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    for number, line in enumerate(cells):
        padded = [
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        show("| " + " | ".join(padded) + " |")
        if number == 0:
            show("| " + " | ".join("-" * width for width in widths) + " |")
