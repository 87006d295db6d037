"""The `beckon` command as a process of its own, beside an engine that works in the test's process."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

import forks
from cast import Alice
from engine_ground import _end, engine, sandbox, settings, shared_sandbox
from models import workspace
from tasks.engine import Engine

__all__ = ["_end", "engine", "sandbox", "settings", "shared_sandbox"]

Ran = subprocess.CompletedProcess[str]


@pytest.fixture
def alice(engine: Engine) -> Alice:
    """An owner whose workspace speaks to the sandbox."""
    return Alice()


@pytest.fixture
def beckon() -> Callable[..., Ran]:
    """Run `beckon` with these arguments; it must end with `code`, where that is not None."""

    def ran(*arguments: str, code: int | None = 0, stdin: str = "", **environ: str) -> Ran:
        done = forks.run(arguments, {**os.environ, **environ}, stdin)
        assert code in (None, done.returncode), done.stdout + done.stderr
        return done

    return ran


@pytest.fixture
def hers(beckon: Callable[..., Ran], alice: Alice) -> Callable[..., Ran]:
    """Run `beckon` on Alice's workspace."""
    own = workspace.get(alice.workspace_id)
    assert own is not None

    def ran(*arguments: str, **more: Any) -> Ran:
        return beckon(*arguments, "--workspace", own["slug"], **more)

    return ran


@pytest.fixture
def told(hers: Callable[..., Ran]) -> Callable[..., Any]:
    """What `beckon` says of Alice's workspace with `--json`."""

    def said(*arguments: str, **more: Any) -> Any:
        return json.loads(hers(*arguments, "--json", **more).stdout)

    return said
