"""The memory of an idle copy: the proportional set size of each of Beckon's own processes, servers excluded.

A page that several processes share counts in parts, so the sum is what the copy takes. Fails above `MAX_MB`.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

from measurements import describe_machine, list_children, show, show_table
from running_copy import Copy, run_copy

MAX_MB = 350.0
#: Time for the first round of every periodic job, and for the caches that fill at the first request.
SETTLE_SECONDS = 30.0
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


def main() -> None:
    """Print the sizes of an idle copy with the default settings."""
    show(describe_machine())
    with run_copy() as copy:
        time.sleep(SETTLE_SECONDS)
        sizes = measure(copy)
    total = sum(map(sum, sizes.values()))
    rows = [(name, ", ".join(f"{size:.0f}" for size in parts)) for name, parts in sizes.items()]
    show_table(("program", "MB"), [*rows, ("all", f"{total:.0f}")])
    sys.exit(f"more than {MAX_MB:.0f} MB" if total > MAX_MB else 0)


if __name__ == "__main__":
    main()
