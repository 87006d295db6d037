"""Turns of a key: two in all processes of a host, and none is left by a process that was killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dashboard.parsing import key_turns
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
_HOLDER = """
import sys
from pathlib import Path
from dashboard.parsing import key_turns
print(key_turns.take(Path(sys.argv[1]), sys.argv[2]) is not None, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "parsing.lock"


def test_a_key_has_two_turns_and_gets_them_back(path: Path) -> None:
    first, second = key_turns.take(path, "alice"), key_turns.take(path, "alice")
    assert first is not None
    assert second is not None
    assert key_turns.take(path, "alice") is None
    other = key_turns.take(path, "bob")
    assert other is not None
    key_turns.give_back(first)
    third = key_turns.take(path, "alice")
    assert third is not None
    assert key_turns.take(path, "alice") is None
    for turn in (second, third, other):
        key_turns.give_back(turn)


def test_a_refused_turn_leaves_no_file_open(path: Path) -> None:
    turns = [key_turns.take(path, "alice") for _ in range(2)]
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert [key_turns.take(path, "alice") for _ in range(5)] == [None] * 5
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    for turn in turns:
        assert turn is not None
        key_turns.give_back(turn)


def test_turns_hold_in_other_processes_and_end_with_a_killed_one(path: Path) -> None:
    own = key_turns.take(path, "alice")
    assert own is not None
    command = [sys.executable, "-c", _HOLDER, str(path), "alice"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert key_turns.take(path, "alice") is None
        holder.kill()
    again = eventually(lambda: key_turns.take(path, "alice"))
    key_turns.give_back(again)
    key_turns.give_back(own)
