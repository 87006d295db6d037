"""Forked processes: how they end, what they inherit, and that they end with their parent.

Each test forks a new Python process and not that of the tests, whose threads may hold locks.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import eventually

IMPORTS = """
import os, signal, subprocess, sys, threading
from workers import child_process
"""


def run(script: str) -> list[str]:
    """What a script prints, as words."""
    completed = subprocess.run(
        [sys.executable, "-c", IMPORTS + script], capture_output=True, text=True, timeout=60, check=True
    )
    return completed.stdout.split()


@pytest.mark.parametrize(
    ("function", "code"),
    [
        ("lambda: None", "0"),
        ("sys.exit", "0"),
        ("lambda: sys.exit(3)", "3"),
        ("lambda: sys.exit('one line')", "1"),
        ("lambda: 1 / 0", "1"),
        ("lambda: os.kill(os.getpid(), 9)", "-9"),
    ],
)
def test_a_fork_ends_with_the_code_of_its_function(function: str, code: str) -> None:
    assert run(f"print(child_process.fork({function}).wait(30))") == [code]


def test_a_fork_has_none_of_its_parents_files() -> None:
    script = "end = os.pipe()[1]; print(child_process.fork(lambda: os.write(end, b'x')).wait(30))"
    assert run(script) == ["1"]


def test_waiting_has_a_limit_and_a_signal_ends_the_process() -> None:
    script = """
process = child_process.fork(threading.Event().wait)
try:
    process.wait(0.01)
except subprocess.TimeoutExpired:
    print("runs", process.pid in child_process.list_children(os.getpid()))
for _ in range(2):
    process.send_signal(signal.SIGTERM)
    print(process.wait(30))
print(child_process.list_children(os.getpid()), child_process.list_children(process.pid))
"""
    assert run(script) == ["runs", "True", "-15", "-15", "set()", "set()"]


PARENT = """
def child():
    child_process.end_with_parent("the-child")
    print(os.getpid(), open("/proc/self/comm").read(), end="", flush=True)
    threading.Event().wait()

child_process.fork(child)
threading.Event().wait()
"""


def test_a_child_has_its_name_and_ends_when_its_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", IMPORTS + PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, name = parent.stdout.readline().split()
        parent.kill()
        assert name == "the-child"
        # Its output ends with it.
        assert parent.stdout.read() == ""
    eventually(lambda: not is_running(int(pid)))


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
