"""The `beckon` command as a separate process, beside an engine that runs in the test's process."""

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
    """An owner whose workspace uses the sandbox."""
    return Alice()


@pytest.fixture
def beckon() -> Callable[..., CommandResult]:
    """Run `beckon` with these arguments; its exit code must be `code`, unless that is None."""

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
    """Run `beckon --json` on Alice's workspace and return the parsed output."""

    def run(*arguments: str, **more: Any) -> Any:
        return json.loads(alice_beckon(*arguments, "--json", **more).stdout)

    return run
