"""A home: one running copy, ports that are free, and one line for whatever is wrong."""

from __future__ import annotations

import dataclasses
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import settings
from workers import home
from workers.home import CannotStart


@pytest.fixture
def told(tmp_path: Path) -> settings.Settings:
    return settings.load({"BECKON_HOME": str(tmp_path / "home")}, dotenv=tmp_path / "none")


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_home_is_made_for_its_owner_alone(told):
    home.make(told.home)
    assert stat.S_IMODE(told.home.stat().st_mode) == 0o700
    assert sorted(one.name for one in told.home.iterdir()) == ["logs", "metrics"]


def test_a_home_that_cannot_be_made_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CannotStart, match="^BECKON_HOME: .* is not writable"):
        home.make(tmp_path / "file" / "home")


def test_a_disk_that_is_nearly_full_is_refused(told, monkeypatch):
    monkeypatch.setattr(home, "LEAST_FREE", 2**70)
    with pytest.raises(CannotStart, match="MB are free"):
        home.make(told.home)


def test_a_second_start_on_the_same_home_is_refused_while_the_first_runs(told, monkeypatch):
    monkeypatch.setattr(home, "ENDING_SECONDS", 0.0)
    home.make(told.home)
    with home.hold(told.home), pytest.raises(CannotStart, match="in use by a running copy"), home.hold(told.home):
        pass


def test_a_home_knows_who_runs_on_it(told):
    home.make(told.home)
    assert home.running_pid(told.home) is None
    with home.hold(told.home):
        seen = subprocess.run(
            [sys.executable, "-c", f"from workers import home; print(home.running_pid({told.home!r}))".replace(
                "PosixPath", "__import__('pathlib').Path")],
            capture_output=True, text=True, cwd=settings.ROOT, check=True,
        )  # fmt: skip
        assert seen.stdout.strip() == str(os.getpid())
    assert home.running_pid(told.home) is None


def test_a_clean_end_is_told_from_a_killed_one(told):
    home.make(told.home)
    with home.hold(told.home) as killed:
        assert not killed
    with home.hold(told.home) as killed:
        assert not killed
    (told.home / "running.lock").write_text("4711\n", encoding="ascii")
    with home.hold(told.home) as killed:
        assert killed


def test_a_taken_port_is_refused_by_its_name(taken):
    with pytest.raises(CannotStart, match=f"^BECKON_PORT: port {taken} on 127.0.0.1 is taken"):
        home.require_port("127.0.0.1", taken)


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(CannotStart, match="^BECKON_HOST: 203.0.113.7 is not an address of this machine"):
        home.require_port("203.0.113.7", 8080)


def test_the_sandbox_moves_away_from_a_taken_port_that_nobody_asked_for(told, taken):
    port = home.choose_sandbox_port(dataclasses.replace(told, sandbox_port=taken))
    assert port not in (taken, told.port)


def test_the_sandbox_s_port_is_refused_when_it_was_asked_for_and_is_taken(told, taken):
    with pytest.raises(CannotStart, match=f"^BECKON_SANDBOX_PORT: port {taken} is taken"):
        home.choose_sandbox_port(dataclasses.replace(told, sandbox_port=taken, sandbox_port_told=True))
