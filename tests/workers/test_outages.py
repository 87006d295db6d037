"""Each way in which a part does not answer is told apart, with its own remedy."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

import settings
from tests.support.waiting import eventually
from workers import outages
from workers.startup import Readiness
from workers.supervision import Program


def build_program(state: str, pid: int = 0) -> Program:
    return Program("beckon", "dashboard", state, pid, 1_800_000_000, "/home/logs/dashboard.log")


CASES = [
    ("Connection refused", None, None, "absent", "no copy runs on", "`beckon up`"),
    (
        "Connection refused",
        build_program("FATAL"),
        7,
        "stopped",
        "dashboard is fatal since 2027-01-15 08:00:00 UTC:",
        "dashboard.log",
    ),
    ("timed out", build_program("RUNNING"), 7, "hung", "running since 2027-01-15 08:00:00 UTC, but", "kill -CONT"),
    ("password is wrong", build_program("RUNNING"), 7, "refused", "and refuses: password", "dashboard.log"),
    ("timed out", None, 7, "hung", "supervisord does not answer", "`beckon down`"),
]


@pytest.mark.parametrize(("error", "program", "pid", "fault", "saw", "remedy"), CASES)
def test_a_program_that_does_not_answer_has_its_fault_and_remedy(error, program, pid, fault, saw, remedy):
    config = settings.load()
    seen = outages.describe_program(outages.classify_error(error), error, program, pid, config)
    assert seen.fault == fault
    assert saw in seen.detail
    assert error in seen.detail
    assert remedy in seen.remedy
    assert ("start Beckon" in seen.remedy) is (fault == "absent")


@pytest.mark.parametrize(
    ("error", "fault", "remedy"),
    [
        ("Connection refused", "stopped", "start the server"),
        ("timeout expired", "hung", "network"),
        ("password authentication failed", "refused", "the password"),
    ],
)
def test_a_server_of_one_s_own_has_the_remedy_of_its_fault(error, fault, remedy):
    seen = outages.describe_server("DATABASE_URL", error, "2026-12-01T03:05:00Z")
    assert seen.fault == fault
    assert error in seen.detail
    assert "since 2026-12-01T03:05:00Z" in seen.detail
    assert remedy.lower() in seen.remedy.lower()
    assert "DATABASE_URL" in seen.remedy


def test_a_process_that_a_signal_stopped_is_named_though_it_runs():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        program = build_program("RUNNING", process.pid)
        assert outages.list_idle(settings.load(), [program]) == []
        os.kill(process.pid, signal.SIGSTOP)
        eventually(lambda: outages.is_suspended(program))
        assert outages.list_idle(settings.load(), [program]) == [program]
        assert outages.describe_idle(program) == "dashboard is stopped by a signal: see /home/logs/dashboard.log"
    finally:
        process.kill()
        process.communicate()


def test_servers_that_are_not_the_copy_s_own_are_not_missed():
    config = settings.load().replace(embedded_database=False, embedded_redis=False)
    rows = [Program("servers", name, "STOPPED", 0, 0, "x") for name in ("postgres", "redis")]
    assert outages.list_idle(config, rows) == []
    assert len(outages.list_idle(config.replace(embedded_database=True), rows)) == 1


def test_each_reason_has_the_time_since_which_it_lasts() -> None:
    since = {"redis_down": "2026-12-01T03:05:00Z", "sends_paused": "2026-12-01T03:06:00Z"}
    readiness = Readiness("degraded", ("Redis does not answer", "Sends are paused", "engine-0 is fatal"), since)
    assert readiness.describe_reasons() == [
        "Redis does not answer, since 2026-12-01T03:05:00Z",
        "Sends are paused, since 2026-12-01T03:06:00Z",
        "engine-0 is fatal",
    ]
