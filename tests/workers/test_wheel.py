"""The wheel has everything that runs: installed into a new environment, Beckon works from any directory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import urllib.request
import venv
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

import settings
from models import migrations
from tests.support.running_app import RunningApp

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PROJECT = tomllib.loads((settings.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PROJECT["tool"]["setuptools"]
IGNORED = ("__pycache__", "*.pyc")


def list_packages() -> list[Path]:
    """The folders that the wheel contains."""
    patterns = SETUPTOOLS["packages"]["find"]["include"]
    folders = [path for path in settings.ROOT.iterdir() if (path / "__init__.py").is_file()]
    return [path for path in folders if any(fnmatch(path.name, pattern) for pattern in patterns)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources, because a build leaves files beside them."""
    sources = tmp_path_factory.mktemp("sources")
    for name in ["pyproject.toml", PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]]:
        shutil.copy(settings.ROOT / name, sources)
    for name in SETUPTOOLS["py-modules"]:
        shutil.copy(settings.ROOT / f"{name}.py", sources)
    for folder in list_packages():
        shutil.copytree(folder, sources / folder.name, ignore=shutil.ignore_patterns(*IGNORED))
    # What `pip wheel --no-build-isolation --no-deps` calls; an environment made by uv has no pip.
    build = "import setuptools.build_meta as backend; backend.build_wheel('dist')"
    subprocess.run([sys.executable, "-c", build], cwd=sources, check=True, capture_output=True)
    (file,) = (sources / "dist").glob("*.whl")
    return file


@dataclass(frozen=True)
class Installation:
    """A virtual environment with the wheel, and an empty directory to work in."""

    folder: Path
    working_directory: Path

    def run(
        self, *command: str, code: int | None = 0, environ: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment; its exit code must be `code`, unless that is None."""
        variables = {"PATH": os.environ["PATH"], "HOME": str(self.working_directory), **(environ or {})}
        variables.pop("PYTHONPATH", None)
        program = str(self.folder / "bin" / command[0])
        result = subprocess.run(
            [program, *command[1:]],
            cwd=self.working_directory, env=variables, capture_output=True, text=True, check=False, timeout=150,
        )  # fmt: skip
        assert code in (None, result.returncode), result.stdout + result.stderr
        return result


@pytest.fixture(scope="module")
def installation(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The wheel, installed without a network; the dependencies are those of the environment that runs the tests."""
    folder = tmp_path_factory.mktemp("installation")
    venv.create(folder, symlinks=True, with_pip=True)
    installed = Installation(folder, tmp_path_factory.mktemp("empty"))
    installed.run("python", "-m", "pip", "install", "--no-index", "--no-deps", "--quiet", str(wheel))
    (packages,) = folder.glob("lib/python*/site-packages")
    # A path in a .pth file is searched last, and its own .pth files are not read: not that of the editable Beckon.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return installed


@pytest.fixture
def run(installation: Installation) -> Callable[..., subprocess.CompletedProcess[str]]:
    return installation.run


def test_the_wheel_has_every_file_of_every_package(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    files = {
        file.relative_to(settings.ROOT).as_posix()
        for folder in list_packages()
        for file in folder.rglob("*")
        if file.is_file() and not any(fnmatch(part, pattern) for part in file.parts for pattern in IGNORED)
    }
    assert {Path(name).suffix for name in files} >= {".py", ".sql", ".html", ".css", ".js", ".svg", ".conf"}
    assert not files - names


def test_the_wheel_has_nothing_else_at_the_top_level(wheel):
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    modules = {f"{name}.py" for name in SETUPTOOLS["py-modules"]}
    assert {name for name in tops if ".dist-info" not in name} == {path.name for path in list_packages()} | modules


def test_the_wheel_has_the_license(wheel):
    archive = zipfile.ZipFile(wheel)
    (license_file,) = [name for name in archive.namelist() if name.endswith("/LICENSE")]
    (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    assert archive.read(license_file) == (settings.ROOT / "LICENSE").read_bytes()
    assert "License-Expression: MIT" in archive.read(metadata).decode()


def test_an_installed_copy_imports_the_wheel_s_modules_and_finds_its_migrations(run, installation):
    source = (
        "import dashboard, settings; from models import migrations; from workers import supervision; "
        "print(dashboard.__file__, settings.ROOT, migrations.FOLDER, supervision.CONFIGURATION, sep='\\n'); "
        "print(len(list(migrations.FOLDER.glob('*.sql'))), supervision.CONFIGURATION.is_file())"
    )
    *paths, last = run("python", "-c", source).stdout.splitlines()
    assert all(Path(path).is_relative_to(installation.folder) for path in paths)
    assert last == f"{len(list(migrations.FOLDER.glob('*.sql')))} True"


def test_an_installed_command_has_help(run):
    assert "migrate" in run("beckon", "--help").stdout


def test_an_installed_command_reports_on_a_copy_that_was_never_started(run, installation):
    result = run("beckon", "doctor", code=1)
    assert "start Beckon with `beckon up`" in result.stdout
    assert str(installation.working_directory / "var") in result.stdout
    assert "Traceback" not in result.stdout + result.stderr


@pytest.fixture
def home(tmp_path: Path, installation: Installation) -> Iterator[RunningApp]:
    """An own home and port for the installed copy, which is stopped at the end."""
    app = RunningApp(tmp_path / "home")
    yield app
    installation.run("beckon", "down", code=None, environ=app.environ)


def test_an_installed_copy_starts_and_serves_its_pages(run, home):
    run("beckon", "up", "--detach", environ=home.environ)
    assert home.is_ready()
    for path in ("/sign-in", "/static/beckon.css"):
        with urllib.request.urlopen(f"http://127.0.0.1:{home.port}{path}", timeout=10) as response:
            assert response.status == 200
