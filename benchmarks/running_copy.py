"""A copy of Beckon for one benchmark, started with `beckon up` in a home that is removed afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from workers.supervision import Remote

ROOT = Path(__file__).resolve().parent.parent
# tests/support has the servers with faults; tests/ is not installed.
sys.path.append(str(ROOT))
BECKON = [sys.executable, "-m", "workers.command"]


@dataclass(frozen=True)
class Copy:
    """A running copy: its environment and the content of its access.json."""

    environ: dict[str, str]
    access: dict[str, Any]

    def run_command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `beckon` with these arguments and wait for it."""
        return _run_beckon(self.environ, *arguments, check=check)

    def list_programs(self) -> dict[str, int]:
        """List the process ids of the running programs by name."""
        remote = Remote(Path(self.environ["BECKON_HOME"]) / "run")
        return {program.name: program.pid for program in remote.list_programs() if program.pid}

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API and return its JSON response."""
        response = urllib3.request(
            method, self.access["url"] + path, json=body, headers={"Authorization": f"Bearer {self.access['apiKey']}"}
        )
        if response.status >= 400:
            raise RuntimeError(f"{method} {path}: {response.status} {response.data[:300]!r}")
        return response.json()

    def publish_only_automation(self, name: str, definition: dict[str, Any]) -> str:
        """Publish an automation and turn every other one off, so that triggers start only this one. Returns its id."""
        base = f"/api/workspaces/{self.access['workspaceId']}/automations"
        for automation in self.call("GET", f"{base}?limit=200")["automations"]:
            self.call("PATCH", f"{base}/{automation['id']}", {"enabled": False})
        body = {"name": name, "type": "workflow", "enabled": True, "definition": definition}
        return str(self.call("POST", base, body)["automation"]["id"])


def free_port() -> int:
    """Find a port that is free at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _run_beckon(environ: dict[str, str], *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    completed = subprocess.run(
        [*BECKON, *arguments], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    if check and completed.returncode != 0:
        raise RuntimeError(f"beckon {' '.join(arguments)}: {completed.stderr.strip() or completed.stdout.strip()}")
    return completed


@contextlib.contextmanager
def run_copy(**environ: str) -> Iterator[Copy]:
    """Start a copy with these environment variables; stop it and remove its home at the end."""
    home = Path(tempfile.mkdtemp(prefix="beckon-benchmark-"))
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("BECKON_", "DATABASE_", "REDIS_"))
    }
    environment.update(
        BECKON_HOME=str(home), BECKON_PORT=str(free_port()), BECKON_ENV_FILE=str(home / "none.env"), **environ
    )
    try:
        _run_beckon(environment, "up", "--detach")
        yield Copy(environment, json.loads((home / "access.json").read_text(encoding="utf-8")))
    finally:
        _run_beckon(environment, "down", check=False)
        shutil.rmtree(home, ignore_errors=True)
