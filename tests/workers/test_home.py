"""A home: one running copy, free ports, and one line for every error."""

from __future__ import annotations

import os
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import settings
from workers import home
from workers.home import StartupError


@pytest.fixture
def config(tmp_path: Path) -> settings.Settings:
    return settings.load({"BECKON_HOME": str(tmp_path / "home")}, dotenv=tmp_path / "none")


@pytest.fixture
def taken_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_home_is_created_for_its_owner_only(config):
    home.make(config.home)
    assert stat.S_IMODE(config.home.stat().st_mode) == 0o700
    assert sorted(path.name for path in config.home.iterdir()) == ["logs", "metrics"]


def test_a_home_that_cannot_be_created_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StartupError, match="^BECKON_HOME: .* is not writable"):
        home.make(tmp_path / "file" / "home")


@pytest.mark.parametrize(
    ("limit", "purpose", "folder"),
    [
        ("MIN_FREE_BYTES", "BECKON_HOME", lambda config: config.home.parent),
        ("MIN_RUN_FREE_BYTES", "the servers' sockets", lambda config: config.run.parent),
    ],
)
def test_too_little_space_is_one_line_with_the_folder_and_the_need(config, monkeypatch, limit, purpose, folder):
    monkeypatch.setattr(home, limit, 2**70)
    with pytest.raises(StartupError) as refusal:
        home.make(config.home)
    assert re.fullmatch(rf"{purpose}: \d+ MB are free in {folder(config)}; {2**50} MB are required", str(refusal.value))
    assert not config.home.exists()


def test_a_file_system_without_free_inodes_is_refused(config, monkeypatch):
    volume = os.statvfs("/")
    fields = [*volume[:5], 1000, 0, 0, *volume[8:]]
    monkeypatch.setattr(home.os, "statvfs", lambda _: os.statvfs_result(fields))
    with pytest.raises(StartupError, match="^BECKON_HOME: .* has no free inodes"):
        home.make(config.home)


def test_a_second_start_on_the_same_home_is_refused_while_the_first_runs(config, monkeypatch):
    monkeypatch.setattr(home, "LOCK_TIMEOUT_SECONDS", 0.0)
    home.make(config.home)
    with home.hold(config.home), pytest.raises(StartupError, match="in use by a running copy"), home.hold(config.home):
        pass


def test_a_home_knows_its_running_process(config):
    home.make(config.home)
    assert home.find_running_pid(config.home) is None
    with home.hold(config.home):
        result = subprocess.run(
            [sys.executable, "-c", f"from workers import home; print(home.find_running_pid({config.home!r}))".replace(
                "PosixPath", "__import__('pathlib').Path")],
            capture_output=True, text=True, cwd=settings.ROOT, check=True,
        )  # fmt: skip
        assert result.stdout.strip() == str(os.getpid())
    assert home.find_running_pid(config.home) is None


def test_a_clean_end_is_distinguished_from_a_kill(config):
    home.make(config.home)
    with home.hold(config.home) as killed:
        assert not killed
    with home.hold(config.home) as killed:
        assert not killed
    (config.home / "running.lock").write_text("4711\n", encoding="ascii")
    with home.hold(config.home) as killed:
        assert killed


def test_a_taken_port_is_refused_by_its_name(taken_port):
    with pytest.raises(StartupError, match=f"^BECKON_PORT: port {taken_port} on 127.0.0.1 is in use"):
        home.require_port("127.0.0.1", taken_port)


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(StartupError, match="^BECKON_HOST: 203.0.113.7 is not an address of this machine"):
        home.require_port("203.0.113.7", 8080)


def test_the_sandbox_takes_a_free_port_if_the_default_is_in_use(config, taken_port):
    port = home.choose_sandbox_port(config.replace(sandbox_port=taken_port))
    assert port not in (taken_port, config.port)


def test_an_explicitly_set_sandbox_port_that_is_in_use_is_refused(config, taken_port):
    with pytest.raises(StartupError, match=f"^BECKON_SANDBOX_PORT: port {taken_port} is in use"):
        home.choose_sandbox_port(config.replace(sandbox_port=taken_port, sandbox_port_explicit=True))
