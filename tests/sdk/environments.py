"""Calls an SDK in the environment that `make sdk-tests` builds for it."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

import settings

PROGRAMS = settings.ROOT / "tests" / "sdk"
ENVIRONMENTS = settings.ROOT / ".venv-sdk"


def call_sdk(sdk: str, call: str, url: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return what a call of the SDK returned or raised; skips the test where the SDK is not installed."""
    python = ENVIRONMENTS / sdk / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{sdk} is not installed: make sdk-tests installs it")
    order = json.dumps({"call": call, "url": url, "arguments": arguments})
    environment = {**os.environ, "PYTHONPATH": str(PROGRAMS), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [python, PROGRAMS / sdk / "program.py"],
        input=order,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result
