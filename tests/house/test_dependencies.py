"""Every dependency of pyproject.toml is imported, or a comment beside it says what needs it, and no other one is."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import settings

FOLDERS = ("dashboard", "ephemeral", "models", "providers", "rules", "sandbox", "tasks", "workers")
OWN = {*FOLDERS, *(file.stem for file in settings.ROOT.glob("*.py"))}
TEXT = (settings.ROOT / "pyproject.toml").read_text(encoding="utf-8")
#: Parts of a declared package that have a distribution of their own, with the same interface and versions.
PARTS = {"markupsafe", "pydantic-core", "werkzeug"}
#: Packages of an extra, which the product imports only where they are asked for.
OPTIONAL = {"opentelemetry"}
PROJECT = tomllib.loads(TEXT)["project"]
#: Line by line: the dependency, and the comment that says why it is there without an import.
REASON = re.compile(r'^  "([A-Za-z0-9_.-]+).*?",? # (.+)$', re.MULTILINE)


def _normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _list_declared() -> set[str]:
    return {_normalize(re.split(r"[^A-Za-z0-9_.-]", line)[0]) for line in PROJECT["dependencies"]}


def _iter_files(folders: tuple[str, ...]) -> Iterator[Path]:
    yield from settings.ROOT.glob("*.py")
    for folder in folders:
        yield from (settings.ROOT / folder).rglob("*.py")


def _list_imported() -> set[str]:
    """The distributions of the modules that the product imports."""
    distributions = packages_distributions()
    names = {name for file in _iter_files(FOLDERS) for name in _iter_imports(file)}
    foreign = names - OWN - sys.stdlib_module_names - OPTIONAL
    return {_normalize(distribution) for name in foreign for distribution in distributions.get(name, ())}


def _iter_imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def test_every_dependency_is_imported_or_says_what_needs_it() -> None:
    explained = {_normalize(name) for name, _ in REASON.findall(TEXT)}
    assert _list_declared() - _list_imported() - explained == set()


def test_every_imported_package_is_declared() -> None:
    assert _list_imported() - _list_declared() - PARTS == set()
