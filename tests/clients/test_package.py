"""The Python client's wheel has the client, its types, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import settings

SOURCE = settings.ROOT / "clients" / "python"


@pytest.mark.slow
def test_the_wheel_has_the_client_and_its_types(tmp_path: Path) -> None:
    copy = shutil.copytree(SOURCE, tmp_path / "python", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    build = "import setuptools.build_meta as backend; backend.build_wheel('dist')"
    subprocess.run([sys.executable, "-c", build], cwd=copy, check=True, capture_output=True)
    (wheel,) = (copy / "dist").glob("beckon_client-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        metadata = next(archive.read(name).decode() for name in archive.namelist() if name.endswith("/METADATA"))
    package = SOURCE / "src" / "beckon_client"
    assert names == {f"beckon_client/{file.name}" for file in package.iterdir() if file.name != "__pycache__"}
    assert "beckon_client/py.typed" in names
    assert metadata.count("Requires-Dist:") == 1
