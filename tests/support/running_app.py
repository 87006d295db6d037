"""A copy of Beckon started with `beckon up`, with its own home and port."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import settings

PROGRAM = [sys.executable, "-m", "workers.command"]


class RunningApp:
    """A copy of Beckon with its own home and port; `code` is the directory of its code."""

    def __init__(self, home: Path, code: Path = settings.ROOT) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.home = home
        self.code = code
        # The settings of this test process do not apply to a copy of its own.
        prefixes = ("BECKON_", "DATABASE_", "REDIS_URL", "MAILGUN_", "META_", "SECRET_KEY", "PROMETHEUS_")
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
        self.environ.update(BECKON_HOME=str(home), BECKON_PORT=str(self.port), BECKON_WORKERS="1")

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [*PROGRAM, *arguments],
            cwd=self.code, env={**self.environ, **environ}, capture_output=True, text=True, check=False,
            timeout=150,
        )  # fmt: skip

    def access(self) -> dict[str, object]:
        """The content of access.json."""
        return dict(json.loads((self.home / "access.json").read_text(encoding="utf-8")))

    def call(self, method: str, path: str, body: Any = None, base: str | None = None) -> Any:
        """The JSON response of the API to the first key, or of the server at `base`."""
        access = self.access()
        request = urllib.request.Request(
            (base or str(access["url"])) + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {access['apiKey']}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as response:
            return json.loads(response.read() or b"{}")

    def status(self) -> dict[str, object]:
        """The output of `beckon status --json`."""
        return dict(json.loads(self.run("status", "--json").stdout))

    def is_ready(self) -> bool:
        """Whether /readyz is 200."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def processes(self) -> list[int]:
        """The ids of the live processes of this home."""
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and self._is_ours(entry)]

    def _is_ours(self, entry: Path) -> bool:
        try:
            if b"\nState:\tZ" in (entry / "status").read_bytes() or int(entry.name) == os.getpid():
                return False
            content = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            return False
        return str(self.home).encode() in content
