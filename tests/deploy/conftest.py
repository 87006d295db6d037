"""A running copy whose metrics, logs and rows the tests of this folder compare."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from tests.support.collector import IS_INSTALLED, Collector, run_collector
from tests.support.running_app import RunningApp
from tests.support.waiting import eventually


class ObservedCopy:
    """A copy of Beckon, with what an operator reads from it."""

    def __init__(self, app: RunningApp, collector: Collector) -> None:
        self.app = app
        self.collector = collector

    def read_exposition(self) -> str:
        """The text of /metrics."""
        with urllib.request.urlopen(f"{self.app.access()['url']}/metrics", timeout=10) as response:
            return str(response.read().decode())

    def read_samples(self) -> dict[str, float]:
        """Every sample of /metrics by its series."""
        lines = [line for line in self.read_exposition().splitlines() if not line.startswith("#")]
        return {name: float(number) for name, number in (line.rsplit(" ", 1) for line in lines)}

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query of the owner, which sees every workspace of the embedded server."""
        url = str(self.app.access()["databaseUrl"])
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()

    def wait_until_idle(self, timeout: float = 60.0) -> None:
        """Wait until every execution is finished or waits for a time or a person."""
        busy = "select count(*) from executions where status in ('pending', 'running')"
        eventually(lambda: self.query(busy) == [(0,)], timeout=timeout, interval=0.2)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObservedCopy]:
    """A running copy for the tests of one file, with a collector of its traces."""
    app = RunningApp(tmp_path_factory.mktemp("observed") / "home")
    with run_collector() as collector:
        if IS_INSTALLED:
            app.environ.update(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_BSP_SCHEDULE_DELAY="200")
        started = app.run("up", "--detach")
        assert started.returncode == 0, started.stderr
        yield ObservedCopy(app, collector)
        app.run("down")
        eventually(lambda: not app.processes(), timeout=35)
