"""`beckon up`: one command starts everything, one signal stops it, and no program outlives its supervisor."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import settings
from tests.support.running_app import PROGRAM, RunningApp
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]


@contextmanager
def _make_copy(folder: Path) -> Iterator[RunningApp]:
    instance = RunningApp(folder / "home")
    yield instance
    instance.run("down")
    eventually(lambda: not instance.processes(), timeout=35)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[RunningApp]:
    """A copy that was never started."""
    with _make_copy(tmp_path) as instance:
        yield instance


@pytest.fixture(scope="module")
def shared_copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    """The copy of the tests that ask for a running one. Each leaves it running."""
    with _make_copy(tmp_path_factory.mktemp("shared")) as instance:
        yield instance


@pytest.fixture
def running(shared_copy: RunningApp) -> RunningApp:
    """A running copy."""
    if not shared_copy.is_ready():
        started = shared_copy.run("up", "--detach")
        assert started.returncode == 0, started.stderr
    return shared_copy


def test_a_start_returns_when_ready_and_a_restart_continues(running):
    app = running
    assert app.is_ready()
    assert stat.S_IMODE((app.home / "access.json").stat().st_mode) == 0o600
    assert {program["state"] for program in app.status()["programs"]} == {"RUNNING"}
    first = app.access()
    sockets = (app.home / "run").resolve()

    again = app.run("up", "--detach")
    assert again.returncode == 1
    assert "in use by a running copy" in again.stderr
    assert again.stderr.count("\n") == 1

    assert app.run("down").returncode == 0
    eventually(lambda: app.processes() == [])
    assert not sockets.exists()

    assert app.run("up", "--detach").returncode == 0
    assert app.is_ready()
    assert app.access() == first


@pytest.mark.slow
def test_a_paused_start_accepts_triggers_and_sends_nothing_until_resumed(running):
    app = running
    app.run("down")
    assert app.run("up", "--detach", "--paused").returncode == 0
    status = app.status()
    assert (status["ready"], status["reasons"]) == (False, ["Sends are paused after a restore"])
    assert f"Sends are paused after a restore, since {status['since']['sends_paused']}" in app.run("status").stdout

    app.run("trigger", "contact.created", "--email", "ada@example.com", "--first-name", "Ada")
    eventually(lambda: count_waiting(app) == 1)
    sandbox = str(app.access()["sandboxUrl"])
    assert app.call("GET", "/_sandbox/messages?provider=mailgun", base=sandbox) == {"messages": []}

    assert app.run("restore-check", "--resume").stdout == "1 executions continue.\n"
    eventually(lambda: app.call("GET", "/_sandbox/messages?provider=mailgun", base=sandbox)["messages"], timeout=30)
    eventually(lambda: app.status()["ready"], timeout=30)


def count_waiting(app: RunningApp) -> int:
    return len(app.call("GET", "/api/executions?waitingFor=pause")["executions"])


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_stops_the_foreground_and_leaves_nothing_behind(app, number):
    process = subprocess.Popen(
        [*PROGRAM, "up"], cwd=settings.ROOT, env=app.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    eventually(app.is_ready, timeout=90)
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert f"http://127.0.0.1:{app.port}" in output
    eventually(lambda: app.processes() == [])


def test_killing_any_supervisor_ends_everything_and_the_next_start_works(running):
    app = running
    os.kill(int((app.home / "run" / "supervisord.pid").read_text()), signal.SIGKILL)
    assert app.run("up", "--detach").returncode == 0

    os.kill(app.status()["pid"], signal.SIGKILL)
    eventually(lambda: not app.processes(), timeout=35)
    assert app.run("up", "--detach").returncode == 0
    assert app.is_ready()


def test_a_program_that_dies_is_restarted(running):
    def read_state() -> tuple[str, int]:
        program = next(row for row in running.status()["programs"] if row["name"] == "engine-0")
        return program["state"], program["pid"]

    _, before = read_state()
    os.kill(before, signal.SIGKILL)
    state, after = eventually(lambda: (now := read_state())[0] == "RUNNING" and now[1] != before and now, timeout=15)
    assert (state, after > 0) == ("RUNNING", True)


def test_programs_are_forks_of_supervisord_and_share_its_memory(running):
    supervisord = int((running.home / "run" / "supervisord.pid").read_text())
    programs = {row["name"]: row["pid"] for row in running.status()["programs"]}
    for name in ("engine-0", "tracking-0", "scheduler", "sandbox"):
        memory = Path(f"/proc/{programs[name]}/smaps_rollup").read_text()
        resident, proportional = (int(re.search(rf"^{size}: +(\d+) kB", memory, re.M)[1]) for size in ("Rss", "Pss"))
        assert Path(f"/proc/{programs[name]}/comm").read_text().strip() == name
        assert int(Path(f"/proc/{programs[name]}/stat").read_text().split()[3]) == supervisord
        assert proportional < 0.6 * resident, name


def test_a_taken_port_is_one_line_and_nothing_is_left_running(app):
    with socket.create_server(("127.0.0.1", app.port)):
        refused = app.run("up", "--detach")
    expected = f"beckon: BECKON_PORT: port {app.port} on 127.0.0.1 is in use; set BECKON_PORT to a free port\n"
    assert (refused.returncode, refused.stderr) == (1, expected)
    eventually(lambda: app.processes() == [])


@pytest.mark.slow
def test_configured_servers_replace_the_embedded_ones(app, database_urls, redis_url, clean):
    started = app.run("up", "--detach", DATABASE_URL=database_urls.owner, REDIS_URL=redis_url)
    assert started.returncode == 0, started.stderr
    stopped = {program["name"] for program in app.status()["programs"] if program["state"] == "STOPPED"}
    assert stopped == {"postgres", "redis"}
    assert (app.access()["databaseUrl"], app.access()["redisUrl"]) == (database_urls.owner, redis_url)
