"""`beckon status` says since when each program is in its state, whichever that is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

import settings
from tests.support.waiting import eventually
from workers import home, supervision
from workers.commands import status

CONFIGURATION = """
[supervisord]
nodaemon = true
logfile = {run}/supervisord.log
pidfile = {run}/supervisord.pid
[unix_http_server]
file = {run}/supervisor.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[program:runs]
command = sleep 600
[program:fails]
command = false
startretries = 0
[program:missing]
command = {run}/missing
startretries = 0
[program:ends]
command = sleep 600
[program:waits]
command = sleep 600
autostart = false
"""


@pytest.fixture
def running_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The home of a copy with a supervisord whose programs have all kinds of states."""
    monkeypatch.setenv("BECKON_HOME", str(tmp_path))
    config = settings.load()
    config.run.mkdir(parents=True, exist_ok=True)
    path = tmp_path / "supervisord.conf"
    path.write_text(CONFIGURATION.format(run=config.run))
    command = [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-c", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        remote = supervision.Remote(config.run)
        eventually(remote.is_up, timeout=20)
        eventually(lambda: read_states(remote) >= {"runs": "RUNNING", "ends": "RUNNING", "fails": "FATAL"}.items())
        remote._call("stopProcess", "ends")
        eventually(lambda: read_states(remote) >= {"missing": "FATAL", "ends": "STOPPED"}.items())
        with home.hold(tmp_path):
            yield tmp_path
    finally:
        process.terminate()
        process.wait(20)


def read_states(remote: supervision.Remote) -> set[tuple[str, str]]:
    return {(program.name, program.state) for program in remote.list_programs()}


def test_each_program_has_the_time_since_which_it_is_in_its_state(running_home: Path) -> None:
    answer = json.loads(CliRunner().invoke(status.command, ["--json"]).stdout)

    since = {program["name"]: program["since"] for program in answer["programs"]}
    assert since.pop("waits") is None, "it was never started"
    began = running_home.stat().st_ctime - 60
    for name, at in since.items():
        assert began <= datetime.fromisoformat(at).timestamp() <= datetime.now(UTC).timestamp(), name
    assert set(answer["since"]) == {"fails", "missing", "ends"}
    assert answer["since"] == {name: since[name] for name in answer["since"]}

    text = CliRunner().invoke(status.command).stdout
    for name, state in (("fails", "fatal"), ("missing", "fatal"), ("ends", "stopped"), ("runs", "running")):
        at = since[name].replace("T", " ").replace("Z", " UTC")
        (line,) = [line for line in text.splitlines() if line.split()[:2] == [name, state]]
        assert line.endswith(f"since {at}")
        if name != "runs":
            assert f"{name} is {state} since {at}: see " in text


@pytest.mark.parametrize(
    ("state", "start", "stop", "since"),
    [
        ("RUNNING", 20, 10, 20),
        ("STARTING", 20, 10, 20),
        ("STOPPED", 20, 30, 30),
        ("EXITED", 20, 30, 30),
        ("BACKOFF", 20, 30, 30),
        ("FATAL", 20, 30, 30),
        ("FATAL", 20, 0, 20),
        ("STOPPING", 20, 10, 0),
        ("STOPPED", 0, 0, 0),
    ],
)
def test_the_time_of_a_state_is_that_of_the_last_start_or_end(state: str, start: int, stop: int, since: int) -> None:
    info = {"statename": state, "start": start, "stop": stop}
    assert supervision._find_start_of_state(info) == since
