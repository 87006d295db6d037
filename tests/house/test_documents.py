"""The documents tell the truth where it can be checked: links, file names, commands, programs, and no loose ends."""

from __future__ import annotations

import ast
import configparser
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import settings
from tasks.broker import QUEUES
from workers.command import beckon
from workers.engine import PROGRAMS

ROOT = settings.ROOT
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
FOLDERS = (
    "benchmarks", "dashboard", "deploy", "docs", "ephemeral", "migrations", "models", "providers", "rules", "sandbox",
    "tasks", "tests", "workers",
)  # fmt: skip
#: Of what a person wrote; what others made (vendored scripts, locks) is theirs.
WRITTEN = {".py", ".sql", ".md", ".conf", ".html", ".css", ".js", ".yml", ".yaml", ".toml", ".sh"}

LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
QUOTED = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"^[\w.-]+(?:/[\w.-]*)*$")


def _read(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def _named(document: Path) -> str:
    return str(document.relative_to(ROOT))


def _written() -> Iterator[Path]:
    for file in [*ROOT.glob("*"), *(one for folder in FOLDERS for one in (ROOT / folder).rglob("*"))]:
        if file.is_file() and file.suffix in WRITTEN and "vendor" not in file.parts:
            yield file


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def _code(document: Path) -> list[str]:
    """What a reader may type: the lines of code blocks, and code within lines."""
    text = _read(document)
    blocks = [line for block in FENCED.findall(text) for line in block.splitlines()[1:-1]]
    return blocks + QUOTED.findall(FENCED.sub("", text))


def test_the_documents_that_a_newcomer_looks_for_are_there():
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "security.md"} <= {
        file.name for file in DOCUMENTS
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=_named)
def test_every_link_leads_somewhere(document):
    broken = []
    for link in LINK.findall(FENCED.sub("", _read(document))):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        headings = re.findall(r"^#+ (.*)$", _read(target), re.MULTILINE) if anchor and target.is_file() else []
        if not target.exists() or (anchor and anchor not in map(_anchor, headings)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("document", DOCUMENTS, ids=_named)
def test_every_file_that_is_named_is_there(document):
    named = [name for name in QUOTED.findall(FENCED.sub("", _read(document))) if FILE.match(name)]
    inside = [name for name in named if name.split("/")[0] in FOLDERS and "/" in name and "NNNN" not in name]
    at_the_top = [name for name in named if "/" not in name and Path(name).suffix in {".toml", ".conf", ".md"}]
    assert not [name for name in inside + at_the_top if not (ROOT / name).exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=_named)
def test_every_make_target_that_is_named_exists(document):
    targets = set(re.findall(r"^([a-z-]+):", _read(ROOT / "Makefile"), re.MULTILINE))
    named = {
        target for line in _code(document) for target in re.findall(r"(?:^|[\s(])make ([a-z]+(?:-[a-z]+)*)\b", line)
    }
    assert named <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=_named)
def test_every_beckon_command_that_is_named_exists(document):
    typed = [line for line in _code(document) if re.match(r"(?:\$ )?(?:\.venv/bin/)?beckon [a-z]", line)]
    assert not [line for line in typed if not _exists(line.split("beckon ", 1)[1].split())]


def _exists(words: list[str]) -> bool:
    """Whether the words name a subcommand: of a group, its own first word too."""
    with click.Context(beckon) as context:
        found: click.Command | None = beckon
        while isinstance(found, click.Group) and words and re.fullmatch(r"[a-z][a-z-]*", words[0]):
            found = found.get_command(context, words[0])
            words = words[1:]
        return found is not None


def test_the_architecture_names_every_program_with_its_queues():
    programs = configparser.RawConfigParser(strict=False)
    programs.read(ROOT / "supervisord.conf")
    running = {section.removeprefix("program:") for section in programs.sections() if section.startswith("program:")}
    table = _read(ROOT / "docs" / "architecture.md").split("## What runs")[1].split("\n## ")[0]
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| `")]
    told = {name: QUOTED.findall(queues) for names, queues in rows for name in QUOTED.findall(names)}
    assert set(told) == running
    assert {name: set(queues) for name, queues in told.items() if queues} == {
        name: set(queues) for name, queues in PROGRAMS.items()
    }
    assert {queue for queues in PROGRAMS.values() for queue in queues} == set(QUEUES)


def test_the_architecture_names_every_duty_of_the_scheduler_by_its_right_name():
    source = _read(ROOT / "tasks" / "sweeps.py")
    text = _read(ROOT / "docs" / "architecture.md")
    for duty in ("ring_lost_bells", "rescue_leases", "wake_due", "process_callbacks"):
        assert f"`{duty}`" in text
        assert f"def {duty}(" in source


def test_every_module_opens_with_what_it_promises():
    modules = [file for file in _written() if file.suffix == ".py"]
    assert len(modules) > 100
    silent = []
    for file in modules:
        promise = ast.get_docstring(ast.parse(_read(file))) or ""
        if len(promise.splitlines()[0] if promise else "") < 10:
            silent.append(_named(file))
    assert not silent


def test_every_migration_opens_with_what_it_is_for():
    assert not [file.name for file in (ROOT / "migrations").glob("*.up.sql") if not _read(file).startswith("-- ")]


def test_nothing_is_left_for_later():
    loose = re.compile("|".join(rf"\b{first}{last}\b" for first, last in (("TO", "DO"), ("FIX", "ME"), ("XX", "X"))))
    assert not [
        f"{_named(file)}:{number}"
        for file in _written()
        for number, line in enumerate(_read(file).splitlines(), 1)
        if loose.search(line)
    ]
