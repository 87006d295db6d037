"""`beckon restart`: what it refuses, and how the dashboard passes its port and its web processes on."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import peewee
import pytest

import settings
from models import migrations
from tests.support.waiting import eventually
from workers import forking, gunicorn_restart, home, restart, supervision
from workers.home import StartupError


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> settings.Settings:
    """The settings of a copy that runs, has all migrations, and may not be asked to restart anything."""
    monkeypatch.setattr(settings, "locate_run_directory", lambda _: tmp_path)
    monkeypatch.setattr(home, "find_running_pid", lambda _: 1)
    monkeypatch.setattr(migrations, "list_pending", lambda _: [])
    monkeypatch.setattr(supervision.Remote, "_call", lambda *_: pytest.fail("something is restarted"))
    return settings.load()


def refuse(config: settings.Settings) -> str:
    """Why nothing is restarted."""
    with pytest.raises(StartupError) as refused:
        list(restart.restart(config))
    return str(refused.value)


def test_only_a_running_copy_is_restarted(config: settings.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home, "find_running_pid", lambda _: None)
    assert "is not running" in refuse(config)


def test_nothing_is_restarted_before_the_migration_that_it_needs(
    config: settings.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "list_pending", lambda _: ["0999_pre_new"])
    assert refuse(config) == "nothing is restarted: 0999_pre_new is not applied; run `beckon migrate --pre`"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (peewee.OperationalError("timeout expired\n"), "PostgreSQL does not answer (timeout expired): "),
        (migrations.MigrationError("its connection goes through a pooler"), "its connection goes through a pooler"),
    ],
)
def test_nothing_is_restarted_while_the_migrations_cannot_be_read(
    config: settings.Settings, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def fail(_: str) -> None:
        raise error

    monkeypatch.setattr(migrations, "list_pending", fail)
    monkeypatch.setattr(supervision.Remote, "list_programs", lambda _: [])
    assert refuse(config).startswith(f"nothing is restarted: {reason}")


def test_a_second_restart_waits_for_the_first(config: settings.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = supervision.Program("beckon", "scheduler", "RUNNING", 1, 0, "scheduler.log")
    monkeypatch.setattr(supervision.Remote, "list_programs", lambda _: [scheduler])
    monkeypatch.setattr(supervision.Remote, "restart", lambda *_: None)
    monkeypatch.setattr(forking, "MODULES", ())
    first, second = (restart.restart(config, ("scheduler",)) for _ in range(2))
    assert next(first) == "scheduler"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(list, second)
        eventually(lambda: waits_for_lock() or waiting.done())
        assert not waiting.done()
        assert list(first) == []
        assert waiting.result() == ["scheduler"]


def waits_for_lock() -> bool:
    """Whether a thread of this process waits for the lock of a file."""
    waiters = [line.split() for line in Path("/proc/locks").read_text().splitlines() if "-> FLOCK" in line]
    return any(str(os.getpid()) in fields for fields in waiters)


@pytest.fixture
def broken_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Code that does not load."""
    (tmp_path / "broken_program.py").write_text("import no_such_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(forking, "MODULES", ("broken_program",))


@pytest.mark.usefixtures("broken_code")
@pytest.mark.parametrize("pending", [[], ["0999_post_new"]])
def test_nothing_is_restarted_by_code_that_does_not_load(
    config: settings.Settings, monkeypatch: pytest.MonkeyPatch, pending: list[str]
) -> None:
    # A post migration may wait: the programs run without it.
    monkeypatch.setattr(migrations, "list_pending", lambda _: pending)
    assert refuse(config).endswith("ModuleNotFoundError: No module named 'no_such_module'")


class Server:
    """gunicorn's first process, as the hooks see it."""

    def __init__(self, workers: dict[int, int], pid: int = 0) -> None:
        self.pid = pid or os.getpid()
        self.WORKERS = {pid: SimpleNamespace(slot=slot) for pid, slot in workers.items()}
        self.LISTENERS = [SimpleNamespace(fileno=lambda: 7)]


def test_the_next_dashboard_gets_the_sockets_and_the_web_processes_that_serve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    executed: dict[str, Any] = {}
    monkeypatch.setattr(os, "execve", lambda _file, argv, env: executed.update(argv=argv[1:], env=env))
    monkeypatch.setattr(gunicorn_restart, "defer_signal", lambda: executed.update(deferred=True))
    with subprocess.Popen(["sleep", "60"]) as older:
        gunicorn_restart.execute_anew(Server({101: 0, 102: 1}), {older.pid: 2, 2**22: 3})
        older.kill()
    monkeypatch.setattr(os, "environ", executed["env"])
    assert executed["deferred"]
    assert executed["argv"] == ["-m", "workers.command", "dashboard"]
    assert (os.environ["GUNICORN_FD"], os.environ["GUNICORN_PID"]) == ("7", str(os.getpid()))
    assert gunicorn_restart.read_old() == {101: 0, 102: 1, older.pid: 2}
    # What the web processes and the next restart inherit has none of it.
    assert gunicorn_restart.read_old() == {}


def test_a_process_that_only_has_the_id_of_an_old_one_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("another program is ended"))
    gunicorn_restart.end({os.getppid(): 0, 2**22: 1})


#: A process that gets SIGUSR2 before it handles it, as the dashboard while it loads.
LOADING = """
import os, signal
from workers import gunicorn_restart

gunicorn_restart.defer_signal()
os.kill(os.getpid(), signal.SIGUSR2)
signal.signal(signal.SIGUSR2, lambda *_: print("restarts"))
gunicorn_restart.accept_signal()
"""


def test_a_restart_while_the_dashboard_loads_waits_until_it_has() -> None:
    completed = subprocess.run([sys.executable, "-c", LOADING], capture_output=True, text=True, timeout=60, check=True)
    assert completed.stdout == "restarts\n"
