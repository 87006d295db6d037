"""PostgreSQL, Redis and the sandbox for one benchmark, as durable as in production, removed afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import redis
import urllib3
from running_copy import ROOT, free_port

from workers import embedded


@dataclass(frozen=True)
class BenchmarkServers:
    """The servers' URLs and process ids."""

    home: Path
    database_url: str
    redis_url: str
    sandbox_port: int
    postgres: int
    redis: int

    @property
    def sandbox_url(self) -> str:
        return f"http://127.0.0.1:{self.sandbox_port}"


@contextlib.contextmanager
def run_servers(
    postgres_options: Mapping[str, str] | None = None, data: Path | None = None
) -> Iterator[BenchmarkServers]:
    """Start the servers, PostgreSQL with these additional settings; stop and remove them at the end, but keep `data`,
    the directory of the stores, if it is given."""
    home = Path(tempfile.mkdtemp(prefix="beckon-benchmark-"))
    servers = embedded.Servers(data=data or home / "data", run=home / "run", postgres_options=postgres_options or {})
    servers.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    embedded.make_cluster(servers)
    port = free_port()
    sandbox = f"from sandbox.server import serve; serve({port}, '', {{}})"
    commands = (
        embedded.build_postgres_command(servers), embedded.build_redis_command(servers),
        [sys.executable, "-c", sandbox],
    )  # fmt: skip
    processes = [_start(command, home / f"server-{number}.log") for number, command in enumerate(commands)]
    admin = f"postgresql://beckon@/postgres?host={servers.run}"
    try:
        _wait_until(lambda: psycopg2.connect(admin).close())
        _wait_until(lambda: redis.Redis.from_url(servers.redis_url).ping())
        _wait_until(lambda: urllib3.request("GET", f"http://127.0.0.1:{port}/_sandbox", retries=False))
        _create_database(admin)
        yield BenchmarkServers(home, servers.database_url, servers.redis_url, port, processes[0].pid, processes[1].pid)
    finally:
        for process in processes:
            process.send_signal(signal.SIGINT)
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                # The last checkpoint of a large database takes a while.
                process.wait(120)
        shutil.rmtree(home, ignore_errors=True)


def _start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with open(log, "wb") as output:
        return subprocess.Popen(command, cwd=ROOT, env=os.environ, stdout=output, stderr=output, start_new_session=True)


def _wait_until(probe: Callable[[], object], timeout: float = 30.0) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            probe()
            return
        except (psycopg2.OperationalError, redis.ConnectionError, urllib3.exceptions.HTTPError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _create_database(admin: str) -> None:
    connection = psycopg2.connect(admin)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("select from pg_database where datname = 'beckon'")
        if not cursor.rowcount:
            cursor.execute("create database beckon")
    connection.close()
