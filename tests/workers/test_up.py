"""`beckon up`: one command starts everything, one signal stops it, and nothing outlives its supervisor."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import settings
from copies import PROGRAM, Copy
from waiting import eventually

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Copy]:
    one = Copy(tmp_path / "home")
    yield one
    one.run("down")
    eventually(lambda: not one.processes(), within=35)


def test_a_start_is_ready_when_it_returns_and_goes_on_where_it_stopped(copy):
    started = copy.run("up", "--detach")
    assert started.returncode == 0, started.stderr
    assert copy.is_ready()
    assert stat.S_IMODE((copy.home / "access.json").stat().st_mode) == 0o600
    assert {one["state"] for one in copy.status()["programs"]} == {"RUNNING"}
    first = copy.access()
    sockets = (copy.home / "run").resolve()

    again = copy.run("up", "--detach")
    assert again.returncode == 1
    assert "in use by a running copy" in again.stderr
    assert again.stderr.count("\n") == 1

    began = time.monotonic()
    assert copy.run("down").returncode == 0
    assert time.monotonic() - began < 30
    eventually(lambda: copy.processes() == [])
    assert not sockets.exists()

    assert copy.run("up", "--detach").returncode == 0
    assert copy.access() == first


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_foreground_and_leaves_nothing_behind(copy, number):
    process = subprocess.Popen(
        [*PROGRAM, "up"], cwd=settings.ROOT, env=copy.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    eventually(copy.is_ready, within=90)
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert f"http://127.0.0.1:{copy.port}" in output
    eventually(lambda: copy.processes() == [])


def test_whatever_is_killed_takes_all_with_it_and_the_next_start_works(copy):
    assert copy.run("up", "--detach").returncode == 0
    os.kill(int((copy.home / "run" / "supervisord.pid").read_text()), signal.SIGKILL)
    assert copy.run("up", "--detach").returncode == 0

    os.kill(copy.status()["pid"], signal.SIGKILL)
    eventually(lambda: not copy.processes(), within=35)
    assert copy.run("up", "--detach").returncode == 0
    assert copy.is_ready()


def test_a_program_that_dies_is_started_again(copy):
    assert copy.run("up", "--detach").returncode == 0

    def pid() -> int:
        return next(one["pid"] for one in copy.status()["programs"] if one["name"] == "sending-0")

    before = pid()
    os.kill(before, signal.SIGKILL)
    assert eventually(lambda: (now := pid()) not in (0, before) and now, within=15)


def test_a_taken_port_is_one_line_and_nothing_is_left_running(copy):
    with socket.create_server(("127.0.0.1", copy.port)):
        refused = copy.run("up", "--detach")
    expected = f"beckon: BECKON_PORT: port {copy.port} on 127.0.0.1 is taken; set BECKON_PORT to a free one\n"
    assert (refused.returncode, refused.stderr) == (1, expected)
    eventually(lambda: copy.processes() == [])


def test_servers_of_one_s_own_replace_the_embedded_ones(copy, database_urls, redis_url, clean):
    started = copy.run("up", "--detach", DATABASE_URL=database_urls.owner, REDIS_URL=redis_url)
    assert started.returncode == 0, started.stderr
    stopped = {one["name"] for one in copy.status()["programs"] if one["state"] == "STOPPED"}
    assert stopped == {"postgres", "redis"}
    assert (copy.access()["databaseUrl"], copy.access()["redisUrl"]) == (database_urls.owner, redis_url)
