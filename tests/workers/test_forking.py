"""Programs forked from what supervisord has loaded: which are, as what they run, and what an upgrade changes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from supervisor.options import ServerOptions

from workers import child_process, forking

GUARD = ["setpriv", "--pdeathsig", "TERM", "--"]
ENGINE = [*GUARD, sys.executable, "-m", "workers.command", "worker"]
ENVIRONMENT = {
    "BECKON_SLOT": "engine-7",
    "SUPERVISOR_PROCESS_NAME": "engine-7",
    "DATABASE_URL": "postgresql:///service",
}


@pytest.mark.parametrize(
    ("argv", "arguments"),
    [
        (ENGINE, ["worker"]),
        ([*ENGINE, "--queues", "tracking"], ["worker", "--queues", "tracking"]),
        ([*ENGINE[:-1], "scheduler"], ["scheduler"]),
        ([*ENGINE[:-1], "dashboard"], None),
        ([*GUARD, "valkey-server", "worker"], None),
        (ENGINE[:-1], None),
    ],
)
def test_programs_are_forked_and_all_others_executed(argv: list[str], arguments: list[str] | None) -> None:
    assert forking.find_arguments(argv) == arguments


class Calls:
    """Records how a program would be started."""

    def __init__(self) -> None:
        self.executed: list[Sequence[str]] = []
        self.forked: list[Sequence[str]] = []


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    calls = Calls()
    monkeypatch.setattr(forking, "load", lambda: None)
    monkeypatch.setattr(child_process, "exit_after", lambda run: run())
    monkeypatch.setattr(forking, "run_program", lambda arguments, _: calls.forked.append(arguments))
    monkeypatch.setattr(ServerOptions, "execve", lambda _self, _file, argv, _env: calls.executed.append(argv))
    return calls


@pytest.fixture
def loaded_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a module that is loaded."""
    path = tmp_path / "loaded.py"
    path.write_text("old = True\n")
    module = ModuleType("loaded")
    module.__file__ = str(path)
    monkeypatch.setitem(sys.modules, "loaded", module)
    return path


def test_a_program_is_forked_while_its_code_is_the_loaded_one(calls: Calls, loaded_file: Path) -> None:
    options = forking.ForkingOptions()
    options.execve("setpriv", ENGINE, ENVIRONMENT)
    assert (calls.forked, calls.executed) == ([["worker"]], [])


@pytest.mark.parametrize("change", [lambda path: path.write_text("new = True and True\n"), Path.unlink])
def test_a_program_whose_code_has_changed_is_executed(calls: Calls, loaded_file: Path, change: Any) -> None:
    options = forking.ForkingOptions()
    change(loaded_file)
    options.execve("setpriv", ENGINE, ENVIRONMENT)
    assert (calls.forked, calls.executed) == ([], [ENGINE])


#: A program that only reports what it has, forked as supervisord forks it.
REPORT = """
import json, os, signal, sys
import metrics
from workers import child_process, command, forking

def main():
    defaults = [signal.getsignal(number) == signal.SIG_DFL for number in (signal.SIGTERM, signal.SIGPIPE)]
    print(json.dumps([sys.argv, dict(os.environ), defaults, metrics.SLOT]))

signal.signal(signal.SIGTERM, lambda *_: None)
command.main = main
child_process.fork(lambda: forking.run_program(["worker"], json.loads(sys.argv[1]))).wait(30)
"""


def test_a_forked_program_has_its_own_environment_signals_and_slot() -> None:
    command = [sys.executable, "-c", REPORT, json.dumps(ENVIRONMENT)]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    # SIGPIPE stays ignored, as in every Python program.
    assert json.loads(completed.stdout) == [["beckon", "worker"], ENVIRONMENT, [True, False], "engine-7"]
