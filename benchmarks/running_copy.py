"""A copy of Beckon for one benchmark, started as an operator starts it, in a home that is removed afterwards."""

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
BECKON = [sys.executable, "-m", "workers.command"]


@dataclass(frozen=True)
class Copy:
    """A running copy: its environment, and what access.json says of it."""

    environ: dict[str, str]
    access: dict[str, Any]

    def command(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`beckon` with these words, to its end."""
        return _beckon(self.environ, *words, check=check)

    def programs(self) -> dict[str, int]:
        """The process id of every program that runs."""
        remote = Remote(Path(self.environ["BECKON_HOME"]) / "run")
        return {one.name: one.pid for one in remote.programs() if one.pid}

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON answer of the API."""
        answer = urllib3.request(
            method, self.access["url"] + path, json=body, headers={"Authorization": f"Bearer {self.access['apiKey']}"}
        )
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {answer.data[:300]!r}")
        return answer.json()

    def only_automation(self, name: str, definition: dict[str, Any]) -> str:
        """Publish an automation and turn every other off, so that a trigger starts this one alone; its id."""
        base = f"/api/workspaces/{self.access['workspaceId']}/automations"
        for one in self.call("GET", f"{base}?limit=200")["automations"]:
            self.call("PATCH", f"{base}/{one['id']}", {"enabled": False})
        made = {"name": name, "type": "workflow", "enabled": True, "definition": definition}
        return str(self.call("POST", base, made)["automation"]["id"])


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _beckon(environ: dict[str, str], *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*BECKON, *words], cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"beckon {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done


@contextlib.contextmanager
def running_copy(**environ: str) -> Iterator[Copy]:
    """Start a copy with these variables; stop it and remove its home at the end."""
    home = Path(tempfile.mkdtemp(prefix="beckon-benchmark-"))
    told = {
        name: value for name, value in os.environ.items() if not name.startswith(("BECKON_", "DATABASE_", "REDIS_"))
    }
    told.update(BECKON_HOME=str(home), BECKON_PORT=str(free_port()), BECKON_ENV_FILE=str(home / "none.env"), **environ)
    try:
        _beckon(told, "up", "--detach")
        yield Copy(told, json.loads((home / "access.json").read_text(encoding="utf-8")))
    finally:
        _beckon(told, "down", check=False)
        shutil.rmtree(home, ignore_errors=True)
