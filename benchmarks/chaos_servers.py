"""PostgreSQL and Redis of a chaos run, each behind a proxy that can freeze its connections, and the copy on them.

The servers are as durable as in production. They are external to the copy (`DATABASE_URL`, `REDIS_URL`), which is why
they can be stopped, restarted and made to refuse here. A second scheduler stands by, as on a second host.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import redis
from running_copy import BECKON, ROOT, Copy, run_copy

from tests.support.fault_proxy import FaultProxy, FaultyServers
from tests.support.poolers import with_socket


@dataclass
class ChaosServers:
    """The servers, and the proxies before them."""

    faulty: FaultyServers
    postgres_proxy: FaultProxy

    @property
    def admin_url(self) -> str:
        """PostgreSQL without the proxy."""
        return self.faulty.servers.database_url

    def restart_postgres(self) -> None:
        """Restart PostgreSQL; every connection is closed."""
        self.faulty.stop_postgres()
        self.faulty.start_postgres()

    def freeze_connections(self) -> None:
        """Let the connections to both servers die without a word; new ones work. Earlier ones end."""
        for proxy in (self.postgres_proxy, self.faulty.proxy):
            proxy.drop_frozen()
            proxy.freeze()

    @contextmanager
    def refuse_writes(self, setting: str, value: str) -> Iterator[None]:
        """Let Redis refuse writes during the block, by an answer (OOM, NOREPLICAS)."""
        client = self.faulty.client()
        before = client.config_get(setting)[setting]
        client.config_set(setting, value)
        try:
            yield
        finally:
            client.config_set(setting, before)

    def flush_redis(self) -> None:
        """Empty Redis."""
        with suppress(redis.RedisError):
            self.faulty.client().flushall()


@contextmanager
def run_chaos_copy(**environ: str) -> Iterator[tuple[ChaosServers, Copy]]:
    """Start the servers and a copy with a second scheduler on them; stop and remove everything at the end."""
    faulty = FaultyServers(postgres_options={"max_connections": "300"})
    try:
        faulty.prepare()
        line = faulty.directory / "line"
        line.mkdir(mode=0o700)
        proxy = FaultProxy(line / ".s.PGSQL.5432", faulty.servers.run / ".s.PGSQL.5432")
        urls = {
            "DATABASE_URL": with_socket(faulty.servers.database_url, line, 5432),
            "REDIS_URL": faulty.redis_url,
        }
        with run_copy(**urls, **environ) as copy, _run_standby(copy):
            yield ChaosServers(faulty, proxy), copy
    finally:
        faulty.end()


@contextmanager
def _run_standby(copy: Copy) -> Iterator[None]:
    environ = copy.environ | {"BECKON_SLOT": "scheduler-1"}
    with open(os.path.join(copy.environ["BECKON_HOME"], "standby.log"), "wb") as log:
        process = subprocess.Popen([*BECKON, "scheduler"], cwd=ROOT, env=environ, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()
