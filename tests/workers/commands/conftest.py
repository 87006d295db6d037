"""The `beckon` command as a process of its own, beside an engine that works in the test's process."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from models import workspace
from tasks.runtime.engine import Engine
from tests.support import forks
from tests.support.engine_fixtures import _end, engine, sandbox, settings, shared_sandbox
from tests.support.factories import Alice

__all__ = ["_end", "engine", "sandbox", "settings", "shared_sandbox"]

CommandResult = subprocess.CompletedProcess[str]


@pytest.fixture
def alice(engine: Engine) -> Alice:
    """An owner whose workspace speaks to the sandbox."""
    return Alice()


@pytest.fixture
def beckon() -> Callable[..., CommandResult]:
    """Run `beckon` with these arguments; it must end with `code`, where that is not None."""

    def run(*arguments: str, code: int | None = 0, stdin: str = "", **environ: str) -> CommandResult:
        result = forks.run(arguments, {**os.environ, **environ}, stdin)
        assert code in (None, result.returncode), result.stdout + result.stderr
        return result

    return run


@pytest.fixture
def alice_beckon(beckon: Callable[..., CommandResult], alice: Alice) -> Callable[..., CommandResult]:
    """Run `beckon` on Alice's workspace."""
    workspace_row = workspace.get(alice.workspace_id)
    assert workspace_row is not None

    def run(*arguments: str, **more: Any) -> CommandResult:
        return beckon(*arguments, "--workspace", workspace_row["slug"], **more)

    return run


@pytest.fixture
def alice_json(alice_beckon: Callable[..., CommandResult]) -> Callable[..., Any]:
    """What `beckon` says of Alice's workspace with `--json`."""

    def run(*arguments: str, **more: Any) -> Any:
        return json.loads(alice_beckon(*arguments, "--json", **more).stdout)

    return run
