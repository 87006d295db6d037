"""Redocly and Spectral find no error in the OpenAPI document. Both need Node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from dashboard.api import list_operations, openapi

SOURCE = Path(__file__).with_name("openapi_lint")
LINTERS = {
    "redocly": ["redocly", "lint", "--config", "redocly.yaml", "--format", "stylish"],
    "spectral": ["spectral", "lint", "--ruleset", ".spectral.yaml", "--fail-severity", "error", "--format", "text"],
}

pytestmark = [
    pytest.mark.web,
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed"),
]


@pytest.mark.parametrize("linter", LINTERS)
def test_a_linter_finds_no_error_in_the_document(linter: str, tmp_path: Path) -> None:
    if not (SOURCE / "node_modules").is_dir():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=SOURCE, check=True, timeout=240)
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(openapi.build_document(list_operations(), "https://beckon.example.org")))
    program, *arguments = LINTERS[linter]
    result = subprocess.run(
        [str(SOURCE / "node_modules" / ".bin" / program), *arguments, str(document)],
        cwd=SOURCE, env={**os.environ, "REDOCLY_TELEMETRY": "off"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
