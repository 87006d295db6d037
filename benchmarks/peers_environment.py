"""The virtual environment of the peers: Python 3.12 or newer where there is one, and the packages of the extra `peers`.

It is `.venv-peers`, so that their dependencies change none of Beckon's. `PEERS_PYTHON` names the interpreter. Each
package is installed by itself: one that cannot be installed is left out, with a line that says so.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib

from measurements import show
from running_copy import ROOT

HOME = ROOT / ".venv-peers"
PYTHON = str(HOME / "bin" / "python")
#: Tried in this order; the first that runs is used. Oban needs 3.12.
INTERPRETERS = ("python3.13", "python3.12", "python3.14", sys.executable)


def install() -> dict[str, str]:
    """Create the environment and install the packages; return the installed versions by name."""
    if not HOME.exists():
        subprocess.run([_find_interpreter(), "-m", "venv", str(HOME)], check=True)
    for requirement in _read_requirements():
        _install_package(requirement)
    return _list_versions()


def _find_interpreter() -> str:
    for name in (os.environ.get("PEERS_PYTHON", ""), *INTERPRETERS):
        try:
            if name and subprocess.run([name, "-c", ""], capture_output=True, check=False).returncode == 0:
                return name
        except FileNotFoundError:
            continue
    raise RuntimeError("no Python interpreter runs")


def _read_requirements() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements: list[str] = project["optional-dependencies"]["peers"]
    return requirements


def _install_package(requirement: str) -> None:
    command = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    if completed.returncode != 0:
        reasons = [line for line in completed.stderr.splitlines() if line.startswith("ERROR")]
        show(f"{requirement} cannot be installed: {reasons[-1] if reasons else completed.stderr.strip()[-200:]}")


def _list_versions() -> dict[str, str]:
    command = [PYTHON, "-m", "pip", "list", "--format", "freeze", "--disable-pip-version-check"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    versions = dict(re.findall(r"^([\w.-]+)==(\S+)$", listed, re.MULTILINE))
    described = subprocess.run([PYTHON, "-V"], capture_output=True, text=True, check=True).stdout
    return {name.lower(): version for name, version in versions.items()} | {"python": described.split()[1]}
