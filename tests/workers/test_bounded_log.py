"""A log of bounded size: rotated by size, and never in the way of the program that writes it."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from workers import bounded_log
from workers.bounded_log import BoundedLog, DroppedLines


class Disk:
    """Lets a number of bytes be written, as a disk with so much space does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free: int | None = None
        self._write = os.write
        monkeypatch.setattr(bounded_log.os, "write", self.write)

    def write(self, file: int, data: bytes) -> int:
        if self.free is None:
            return self._write(file, data)
        if not self.free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._write(file, data[: self.free])
        self.free -= written
        return written


@pytest.fixture
def dropped(tmp_path: Path) -> DroppedLines:
    return DroppedLines(tmp_path / "dropped")


@pytest.fixture
def log(tmp_path: Path, dropped: DroppedLines) -> BoundedLog:
    return BoundedLog(tmp_path / "engine-0.log", 20, 2, dropped)


def test_a_full_file_becomes_the_first_of_the_older_ones(log, tmp_path):
    for number in range(10):
        log.write(f"line {number}..\n".encode())
    contents = {path.name: path.read_text().split("..\n")[:-1] for path in tmp_path.glob("*.log*")}
    assert contents == {
        "engine-0.log": ["line 9"],
        "engine-0.log.1": ["line 6", "line 7", "line 8"],
        "engine-0.log.2": ["line 3", "line 4", "line 5"],
    }


def test_what_a_full_disk_does_not_take_is_dropped_counted_and_said_later(log, tmp_path, monkeypatch):
    disk = Disk(monkeypatch)
    log.write(b"before\n")
    disk.free = 3
    for line in (b"one\ntwo\n", b"three\n"):
        log.write(line)
    assert (tmp_path / "engine-0.log").read_bytes() == b"before\n"
    assert int((tmp_path / "dropped").read_text()) == 3
    disk.free = None
    log.write(b"after\n")
    first, _, gap, last = (tmp_path / "engine-0.log").read_text().splitlines()
    assert (first, json.loads(gap)["lines"], last) == ("before", 3, "after")
    assert json.loads(gap)["error"] == "No space left on device"


def test_the_count_has_its_space_before_the_disk_is_full(dropped, tmp_path):
    size = (tmp_path / "dropped").stat().st_size
    dropped.add(10**9)
    assert (tmp_path / "dropped").stat().st_size == size


def test_a_removed_file_is_made_again(log, tmp_path):
    log.write(b"first\n")
    (tmp_path / "engine-0.log").unlink()
    log.write(b"second\n")
    assert (tmp_path / "engine-0.log").read_bytes() == b"second\n"


def test_a_folder_that_is_missing_or_comes_back_stops_nothing(tmp_path, dropped):
    log = BoundedLog(tmp_path / "logs" / "a.log", 0, 0, dropped)
    log.write(b"first\n")
    (tmp_path / "logs").mkdir()
    log.write(b"second\n")
    assert (tmp_path / "logs" / "a.log").read_bytes().endswith(b"second\n")
