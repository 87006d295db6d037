"""One large filled database for the benchmarks that need it, kept between runs.

It stays in `var/bench-large`, or in the directory that BENCH_LARGE_HOME names, with a folder for each size. It is
filled once; later runs apply the migrations that are new, and shift the clock back to the time of the filling, so that
"today" and "the last 24 hours" stay full. To fill it anew, remove the folder.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lists_filling
from lists_filling import Dataset
from measurements import show
from own_servers import BenchmarkServers, run_servers
from running_copy import ROOT

from models import migrations

#: The rows are generated and need no durability.
_FILL_OPTIONS = {
    "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_wal_size": "8GB",
    "autovacuum": "off",
}  # fmt: skip
#: Bytes that an execution needs with its contact, its indexes and its part of the history.
_BYTES_PER_EXECUTION = 1500


@dataclass(frozen=True)
class LargeDatabase:
    """The filled database, while its server runs."""

    servers: BenchmarkServers
    dataset: Dataset
    executions: int
    contacts: int


@contextmanager
def open_large_database(executions: int) -> Iterator[LargeDatabase]:
    """Start the server of the database with so many executions and a tenth as many contacts; fill it if it is new."""
    folder = _find_home() / str(executions)
    if not (folder / "filled.json").exists():
        _fill(folder, executions)
    filling = _read(folder)
    with run_servers(data=folder / "data") as servers:
        migrations.migrate(servers.database_url)
        yield LargeDatabase(servers, Dataset(**filling["dataset"]), executions, executions // 10)


def shift_clock(executions: int) -> None:
    """Start this program again with the clock of the filling, unless it has it or the database is not filled yet.
    Call it first: the application reads the clock's offset when it is imported."""
    folder = _find_home() / str(executions)
    if (folder / "filled.json").exists() and "BECKON_CLOCK_OFFSET" not in os.environ:
        offset = _read(folder)["filled_at"] - time.time()
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"BECKON_CLOCK_OFFSET": str(int(offset))})


def _find_home() -> Path:
    return Path(os.environ.get("BENCH_LARGE_HOME") or ROOT / "var" / "bench-large")


def _read(folder: Path) -> Any:
    return json.loads((folder / "filled.json").read_text(encoding="utf-8"))


def _fill(folder: Path, executions: int) -> None:
    """Fill the database; what an interrupted filling left is removed first. Exits without enough disk space."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    needed, free = executions * _BYTES_PER_EXECUTION, shutil.disk_usage(folder).free
    if free < needed:
        sys.exit(f"{folder} needs {needed / 1e9:.0f} GB, and {free / 1e9:.0f} GB are free. Set BENCH_LARGE_HOME.")
    show(f"Filling {folder} with {executions:,} executions …")
    began = time.time()
    with run_servers(_FILL_OPTIONS, data=folder / "data") as servers:
        migrations.migrate(servers.database_url)
        dataset = lists_filling.fill(servers.database_url, executions, executions // 10, with_history=False)
    (folder / "filled.json").write_text(json.dumps({"filled_at": time.time(), "dataset": asdict(dataset)}))
    show(f"Filled in {time.time() - began:.0f} s")
