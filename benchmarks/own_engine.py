"""Beckon's settings, tables and programs on the benchmark's own servers, and this process's connections to them."""

from __future__ import annotations

import atexit
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from own_servers import BenchmarkServers
from running_copy import BECKON, ROOT

Process = subprocess.Popen[bytes]


def set_environment(servers: BenchmarkServers, **variables: str) -> None:
    """Point the settings at these servers, and remove all others; `variables` are set as well."""
    for name in [
        variable for variable in os.environ if variable.startswith(("BECKON_", "DATABASE_", "REDIS_", "STATS_"))
    ]:
        del os.environ[name]
    os.environ.update(
        BECKON_HOME=str(servers.home), BECKON_ENV_FILE=str(servers.home / "none.env"), BECKON_DEMO="0",
        BECKON_SANDBOX_PORT=str(servers.sandbox_port), DATABASE_URL=servers.database_url, REDIS_URL=servers.redis_url,
        SECRET_KEY="the secret key of a benchmark, long enough", PYTHONPATH=str(ROOT), **variables,
    )  # fmt: skip


def prepare(servers: BenchmarkServers, connections: int = 4, **variables: str) -> None:
    """Set the environment, make the tables, and connect this process."""
    set_environment(servers, **variables)
    subprocess.run([*BECKON, "prepare"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    connect(connections)


def connect(connections: int) -> None:
    """Let this process, which has the environment, accept triggers as the dashboard does."""
    import logs
    import settings as settings_module
    from ephemeral.connection import open_ephemeral
    from models import database
    from tasks.runtime import broker

    # A line for each accepted trigger would hide the table.
    logs.set_up("benchmark", "WARNING")
    settings = settings_module.load()
    database.open_pool(settings.database_service_url, "beckon_service", connections)
    open_ephemeral(settings)
    broker.set_up(settings)


def start_program(command: list[str], servers: BenchmarkServers, slot: str, **variables: str) -> Process:
    """Start a process that writes its log and its metrics to the home of the servers."""
    metrics = servers.home / "metrics"
    metrics.mkdir(exist_ok=True)
    environ = {**os.environ, "BECKON_SLOT": slot, "PROMETHEUS_MULTIPROC_DIR": str(metrics), **variables}
    with open(servers.home / f"{slot}.log", "ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=log, stderr=log)
    # A benchmark that fails leaves no process behind, running or paused.
    atexit.register(process.kill)
    return process


def start_engine(servers: BenchmarkServers, processes: int = 1, **variables: str) -> list[Process]:
    """Start engine processes and the scheduler."""
    engines = [
        start_program([*BECKON, "worker"], servers, f"engine-{number}", **variables) for number in range(processes)
    ]
    return [*engines, start_program([*BECKON, "scheduler"], servers, "scheduler-0", **variables)]


@contextmanager
def run_engine(servers: BenchmarkServers, **variables: str) -> Iterator[None]:
    """Run one engine process and the scheduler during the block."""
    processes = start_engine(servers, **variables)
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)
