"""Faults of a running copy are visible in metrics within 15 s, and gone within 15 s of their end.

`tests/crashes/test_faults.py` has the faults that Health shows; these are what only metrics tell.
"""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from collections.abc import Callable

import pytest

from tests.deploy.conftest import ObservedCopy
from tests.support import mixed_executions
from tests.support.waiting import eventually
from workers.supervision import Remote

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(300)]

SECONDS = 15.0


class Programs:
    """The copy's programs under supervisord."""

    def __init__(self, copy: ObservedCopy) -> None:
        self.copy = copy
        self._remote = Remote((copy.app.home / "run").resolve())

    def get_pid(self, name: str) -> int:
        """The process id of a program, once it runs."""
        states = {program.name: program for program in self._remote.list_programs()}
        return states[name].pid

    def stop(self, name: str) -> None:
        """Stop a program, `group:name`, and keep it stopped."""
        self._remote._call("stopProcess", name)

    def start(self, name: str) -> None:
        """Start a stopped program."""
        self._remote.start(name)

    def wait_for(self, series: str, is_seen: Callable[[float], bool]) -> None:
        """Wait until a sample is as expected, at most as long as a fault may stay invisible."""

        def is_visible() -> bool:
            samples = self.copy.read_samples()
            return series in samples and is_seen(samples[series])

        eventually(is_visible, timeout=SECONDS, interval=0.25)


@pytest.fixture(scope="module")
def programs(copy: ObservedCopy) -> Programs:
    mixed_executions.find_demo(copy.app).publish()
    return Programs(copy)


def test_a_killed_worker_is_counted_and_replaced(programs: Programs) -> None:
    series = 'beckon_process_starts_total{program="engine"}'
    before = programs.copy.read_samples()[series]
    os.kill(programs.get_pid("engine-0"), signal.SIGKILL)
    programs.wait_for(series, lambda number: number == before + 1)
    programs.wait_for('beckon_workers_live{queue="generation"}', lambda number: number == 1)


def test_a_killed_leader_is_replaced(programs: Programs) -> None:
    series = 'beckon_process_starts_total{program="scheduler"}'
    before = programs.copy.read_samples()[series]
    os.kill(programs.get_pid("scheduler"), signal.SIGKILL)
    programs.wait_for(series, lambda number: number == before + 1)
    programs.wait_for("beckon_leader_up", lambda number: number == 1)


def test_a_restart_of_postgresql_shows_in_its_start_time(programs: Programs) -> None:
    before = programs.copy.read_samples()["beckon_postgres_start_timestamp_seconds"]
    programs.stop("servers:postgres")
    programs.wait_for("beckon_postgres_up", lambda number: number == 0)
    programs.start("servers:postgres")
    programs.wait_for("beckon_postgres_up", lambda number: number == 1)
    programs.wait_for("beckon_postgres_start_timestamp_seconds", lambda number: number > before)


def test_a_queue_that_grows_has_messages_and_an_age_until_workers_take_them(programs: Programs) -> None:
    demo = mixed_executions.find_demo(programs.copy.app)
    programs.stop("beckon:engine-0")
    for _ in range(20):
        demo.call("POST", "/api/triggers", mixed_executions.build_trigger("mixed.skipped", 0))
    ready = 'beckon_queue_messages{queue="sending",state="ready"}'
    programs.wait_for(ready, lambda number: number >= 20)
    programs.wait_for('beckon_queue_oldest_age_seconds{queue="sending"}', lambda age: age > 1)
    programs.start("beckon:engine-0")
    programs.wait_for(ready, lambda number: number == 0)
    programs.wait_for('beckon_queue_oldest_age_seconds{queue="sending"}', lambda age: age == 0)


def test_a_provider_that_refuses_the_key_is_paused_until_it_accepts_it(programs: Programs) -> None:
    base = str(programs.copy.app.access()["sandboxUrl"])
    demo = mixed_executions.find_demo(programs.copy.app)

    def call(method: str, path: str, body: object = None) -> None:
        encoded = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(base + path, encoded, headers, method=method), timeout=10).close()

    call("POST", "/_sandbox/faults", {"provider": "mailgun", "fault": "auth", "times": 0})
    contact = {"externalId": "refused", "email": "refused@example.com", "firstName": "Bob"}
    demo.call("POST", "/api/triggers", {"type": "mixed.sent", "contact": contact})
    series = 'beckon_providers_paused{provider="mailgun",reason="configuration"}'
    programs.wait_for(series, lambda number: number == 1)
    call("DELETE", "/_sandbox")
    demo.call("POST", "/api/providers/mailgun/resume", {})
    programs.wait_for(series, lambda number: number == 0)


def test_a_provider_whose_calls_fail_is_counted(programs: Programs) -> None:
    mixed_executions.lose_answers(programs.copy.app)
    demo = mixed_executions.find_demo(programs.copy.app)
    demo.call("POST", "/api/triggers", mixed_executions.build_trigger("mixed.unknown", 0))
    programs.wait_for(
        'beckon_sends_total{channel="slack",outcome="unknown",provider="slack"}', lambda number: number >= 1
    )
    programs.wait_for('beckon_unknown_outcomes{state="undecided"}', lambda number: number >= 1)
