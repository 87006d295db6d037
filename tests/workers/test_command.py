"""The `beckon` command: every subcommand has help, and every error is one line."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys

import pytest

import settings
from workers.command import Subcommands
from workers.commands.dashboard import build_gunicorn_arguments, compute_open_file_limit


def beckon(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "workers.command", *arguments]
    return subprocess.run(
        command, cwd=settings.ROOT, env={**os.environ, **environ}, capture_output=True, text=True, check=False
    )


NAMES = Subcommands().list_commands(None)  # type: ignore[arg-type]  # the context is not used


@pytest.mark.parametrize("name", NAMES)
def test_every_subcommand_has_its_own_help(name):
    command = Subcommands().get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    assert command.help


def test_the_programs_of_supervisord_conf_are_subcommands():
    assert {"up", "down", "migrate", "worker", "scheduler", "dashboard", "sandbox", "status"} <= set(NAMES)


def test_a_wrong_setting_ends_with_one_line():
    refused = beckon("status", BECKON_PORT="eighty")
    assert refused.returncode == 1
    assert refused.stderr == "beckon: BECKON_PORT: expected a whole number from 1 to 65535, got 'eighty'\n"


def test_nothing_runs_in_a_new_home(tmp_path):
    result = beckon("status", "--json", BECKON_HOME=str(tmp_path))
    assert (result.returncode, json.loads(result.stdout)["running"]) == (1, False)
    assert beckon("down", BECKON_HOME=str(tmp_path)).stdout == f"Beckon is not running in {tmp_path}.\n"


def test_the_dashboard_has_cooperative_processes_on_the_configured_address(tmp_path):
    config = settings.load(
        {"BECKON_PORT": "8123", "BECKON_HOST": "::1", "BECKON_WEB_WORKERS": "3"}, dotenv=tmp_path / "none"
    )
    line = " ".join(build_gunicorn_arguments(config))
    assert "--preload --workers 3 --worker-class workers.gunicorn_worker.BoundedWorker" in line
    assert "--bind [::1]:8123" in line
    assert "--no-control-socket" in line


@pytest.mark.parametrize(
    ("soft", "hard", "allowed"),
    [
        (1024, 524_288, 8192),
        (1024, 4096, 4096),
        (20_000, 524_288, 20_000),
        (1024, resource.RLIM_INFINITY, 8192),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY),
    ],
)
def test_the_dashboard_may_open_as_many_files_as_it_has_connections(soft: int, hard: int, allowed: int) -> None:
    assert compute_open_file_limit(soft, hard) == allowed
