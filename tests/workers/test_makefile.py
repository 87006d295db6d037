"""`make` installs the packages with one line of output, and shows pip's own only if it fails."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import settings

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")

LOCK = """\
click==8.5.0 \\
    --hash=sha256:00
flask==3.1.3 ; implementation_name != 'PyPy' \\
    --hash=sha256:01
"""
#: In place of the environment's Python: prints what pip would be called with, and fails at an install if it shall.
PYTHON = """\
#!/bin/sh
echo "called with $*"
case "$*" in *--require-hashes*) exit {code} ;; esac
"""


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Install the two packages of a copy with a Python that ends with this code."""
    shutil.copy(settings.ROOT / "Makefile", tmp_path)
    (tmp_path / "requirements.lock").write_text(LOCK)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)

    def run(code: int, *variables: str) -> subprocess.CompletedProcess[str]:
        python = tmp_path / ".venv" / "bin" / "python"
        python.write_text(PYTHON.format(code=code))
        python.chmod(0o755)
        command = ["make", "--no-print-directory", ".venv/runtime.stamp", "UV=", *variables]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


def test_an_installation_prints_one_line_and_keeps_the_output_in_a_file(make, tmp_path):
    result = make(code=0)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "Installing the 2 packages of requirements.lock …\n"
    log = (tmp_path / ".venv" / "install.log").read_text()
    assert "--require-hashes -r requirements.lock" in log
    assert "--no-build-isolation -e ." in log
    assert "is up to date" in make(code=1).stdout


def test_a_failed_installation_shows_the_output_and_is_repeated(make, tmp_path):
    result = make(code=3)
    assert result.returncode != 0
    assert "--require-hashes -r requirements.lock" in result.stderr
    assert "The packages could not be installed. The output is in .venv/install.log." in result.stderr
    assert not (tmp_path / ".venv" / "runtime.stamp").exists()
    assert make(code=0).returncode == 0


@pytest.mark.parametrize(("variable", "folder"), [("INSTALL_MB", "{here}"), ("UNPACK_MB", "{temporary}")])
def test_too_little_space_is_one_line_with_the_folder_and_the_need(make, tmp_path, monkeypatch, variable, folder):
    (tmp_path / "unpacked").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "unpacked"))
    result = make(0, f"{variable}=999999999")
    where = folder.format(here=tmp_path, temporary=tmp_path / "unpacked")
    first, *_ = result.stderr.splitlines()
    assert result.returncode != 0
    assert f"MB are free in {where}; the installation requires 999999999 MB there." in first
    assert not (tmp_path / ".venv" / "install.log").exists()
