"""An idle copy: the memory of each of Beckon's own processes, and the processor time of all, servers included.

Memory is the proportional set size: a page that several processes share counts in parts, so the sum is what the copy
takes, servers excluded. Fails above `MAX_MB` and `MAX_CORE_PERCENT`. Run: `python benchmarks/memory.py [seconds]`.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

from measurements import describe_machine, list_children, read_processor_seconds, show, show_table
from running_copy import Copy, run_copy

MAX_MB, MAX_CORE_PERCENT = 350.0, 5.0
#: Time for the first round of every periodic job, and for the caches that fill at the first request.
SETTLE_SECONDS = 30
SERVERS = ("postgres", "redis")


def read_proportional_mb(pid: int) -> float:
    """Return the proportional set size of a process in MB; 0 if it has ended."""
    try:
        memory = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    sizes = re.findall(r"^Pss: +(\d+) kB$", memory, re.MULTILINE)
    return sum(map(int, sizes)) / 1000


def read_tree_mb(pid: int) -> list[float]:
    """Return the sizes of a process and its descendants."""
    return [read_proportional_mb(pid), *(size for child in list_children(pid) for size in read_tree_mb(child))]


def measure(copy: Copy) -> dict[str, list[float]]:
    """Return the sizes of the processes of each program, of supervisord and of `beckon up`."""
    home = Path(copy.environ["BECKON_HOME"])
    pids = {
        "beckon up": int((home / "running.lock").read_text()),
        "supervisord": int((home / "run" / "supervisord.pid").read_text()),
    }
    sizes = {name: [read_proportional_mb(pid)] for name, pid in pids.items()}
    programs = copy.list_programs()
    return sizes | {name: read_tree_mb(pid) for name, pid in programs.items() if name not in SERVERS}


def read_processor(copy: Copy) -> dict[str, float]:
    """Return the processor seconds of each program and server so far."""
    return {name: read_processor_seconds(pid) for name, pid in copy.list_programs().items()}


def main(seconds: int = SETTLE_SECONDS) -> int:
    """Print the sizes and the processor time of an idle copy with the default settings. Returns 1 above a limit."""
    show(describe_machine())
    with run_copy() as copy:
        time.sleep(seconds)
        before = read_processor(copy)
        time.sleep(seconds)
        sizes, after = measure(copy), read_processor(copy)
    percent = {name: (after[name] - spent) / seconds * 100 for name, spent in before.items() if name in after}
    total, core = sum(map(sum, sizes.values())), sum(percent.values())
    rows = [
        (name, ", ".join(f"{size:.0f}" for size in sizes.get(name, [])), f"{percent.get(name, 0.0):.1f}")
        for name in dict.fromkeys([*sizes, *percent])
    ]
    limits = ("limit", f"{MAX_MB:.0f}", f"{MAX_CORE_PERCENT:.1f}")
    show_table(("program", "MB", "% of a core"), [*rows, ("all", f"{total:.0f}", f"{core:.1f}"), limits])
    return int(total > MAX_MB or core > MAX_CORE_PERCENT)


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
