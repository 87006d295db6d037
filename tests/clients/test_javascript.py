"""The JavaScript client passes its own tests against the dashboard, and its types are checked. Both need Node."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

import settings
from tests.clients.conftest import Service
from tests.dashboard.producers import Producer

SOURCE = settings.ROOT / "clients" / "javascript"

pytestmark = [
    pytest.mark.web,
    pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed"),
]


@pytest.mark.parametrize("file", sorted(file.name for file in (SOURCE / "test").glob("*.test.mjs")))
def test_the_tests_of_the_client_pass(file: str, service: Service, alice: Producer) -> None:
    environ = {
        **os.environ,
        "BECKON_URL": service.url,
        "BECKON_API_KEY": alice.secret,
        "BECKON_WORKSPACE_ID": alice.workspace_id,
    }
    result = subprocess.run(
        ["node", "--test", f"test/{file}"], cwd=SOURCE, env=environ, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_the_types_are_those_of_the_sources_and_of_an_application() -> None:
    if not (SOURCE / "node_modules").is_dir():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=SOURCE, check=True, timeout=100)
    result = subprocess.run(
        ["npm", "run", "--silent", "check"], cwd=SOURCE, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout
