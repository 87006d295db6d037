"""The clients are published by themselves: they import nothing of Beckon's, and little of anybody's."""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import settings

ROOT = settings.ROOT / "clients"
PROJECT = tomllib.loads((ROOT / "python" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PACKAGE = (ROOT / "javascript" / "package.json").read_text(encoding="utf-8")


def _iter_files() -> Iterator[Path]:
    yield from (file for file in ROOT.rglob("*.py") if "node_modules" not in file.parts)


def iter_imports(source: str) -> Iterator[str]:
    """The top-level name of everything that the source imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "a relative import" if node.level else str(node.module).split(".")[0]


def test_the_clients_import_the_standard_library_and_their_dependencies() -> None:
    dependencies = {requirement.split(">")[0] for requirement in PROJECT["dependencies"]}
    allowed = {*sys.stdlib_module_names, *dependencies, "beckon_client"}
    files = list(_iter_files())
    assert len(files) > 10
    assert not {
        f"{file.relative_to(ROOT)}: {name}"
        for file in files
        for name in iter_imports(file.read_text(encoding="utf-8"))
        if name not in allowed
    }


def test_the_python_client_has_one_dependency() -> None:
    assert [requirement.split(">")[0] for requirement in PROJECT["dependencies"]] == ["urllib3"]


def test_the_javascript_client_has_no_dependencies() -> None:
    package = json.loads(PACKAGE)
    assert not package.keys() & {"dependencies", "peerDependencies", "optionalDependencies"}
    sources = [file.read_text(encoding="utf-8") for file in (ROOT / "javascript" / "src").iterdir()]
    modules = {name for source in sources for name in re.findall(r"(?:require\(|from )'([^']+)'", source)}
    assert not [name for name in modules if not name.startswith(("node:", "./", "../package.json"))]


@pytest.mark.parametrize(
    ("client", "version"), [("python", PROJECT["version"]), ("javascript", json.loads(PACKAGE)["version"])]
)
def test_the_version_of_a_client_is_the_newest_of_its_changelog(client: str, version: str) -> None:
    changelog = (ROOT / client / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = [line.split("[")[1].split("]")[0] for line in changelog.splitlines() if line.startswith("## [")]
    assert sections[0] == version


def test_an_import_of_ours_is_noticed() -> None:
    assert list(iter_imports("import rules.bodies\nfrom dashboard import api")) == ["rules", "dashboard"]
