"""The documents agree with the code where it can be checked: links, file names, commands, programs, periodic jobs."""

from __future__ import annotations

import ast
import configparser
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

import settings
from tasks.periodic_jobs import PERIODIC_JOBS
from tasks.runtime.broker import QUEUES
from workers.command import beckon
from workers.worker_process import PROGRAMS

ROOT = settings.ROOT
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / ".github").glob("*.md")])
FOLDERS = (
    "benchmarks", "dashboard", "deploy", "docs", "ephemeral", "migrations", "models", "providers", "rules", "sandbox",
    "tasks", "tests", "workers",
)  # fmt: skip
#: Suffixes of hand-written files; vendored scripts and locks are excluded.
SOURCE_SUFFIXES = {".py", ".sql", ".md", ".conf", ".html", ".css", ".js", ".yml", ".yaml", ".toml", ".sh"}

LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
QUOTED = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"^[\w.-]+(?:/[\w.-]*)*$")


def _read_text(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def _format_path(document: Path) -> str:
    return str(document.relative_to(ROOT))


def _iter_files() -> Iterator[Path]:
    for file in [*ROOT.glob("*"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))]:
        if (
            file.is_file()
            and file.suffix in SOURCE_SUFFIXES
            and not {"vendor", "node_modules"}.intersection(file.parts)
        ):
            yield file


def _format_anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def _list_code(document: Path) -> list[str]:
    """The text that a reader may type: lines of code blocks, and inline code."""
    text = _read_text(document)
    blocks = [line for block in FENCED.findall(text) for line in block.splitlines()[1:-1]]
    return blocks + QUOTED.findall(FENCED.sub("", text))


def test_the_documents_that_a_newcomer_needs_exist():
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "security.md"} <= {
        file.name for file in DOCUMENTS
    }


def test_the_index_of_the_documents_lists_each_once():
    listed = [link for link in LINK.findall(_read_text(ROOT / "docs" / "README.md")) if "/" not in link]
    assert sorted(listed) == sorted(file.name for file in (ROOT / "docs").glob("*.md") if file.name != "README.md")


def test_the_version_of_the_package_is_the_newest_of_the_changelog():
    project = tomllib.loads(_read_text(ROOT / "pyproject.toml"))["project"]
    sections = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", _read_text(ROOT / "CHANGELOG.md"), re.MULTILINE)
    assert sections[0] == ("Unreleased", "")
    assert sections[1][0] == project["version"]
    assert all(date for _, date in sections[1:])


def test_the_hooks_before_a_commit_are_the_tools_of_make_check():
    (local,) = yaml.safe_load(_read_text(ROOT / ".pre-commit-config.yaml"))["repos"]
    check = _read_text(ROOT / "Makefile").split("\ncheck:")[1].split("\n\n")[0]
    tools = {line.split("/")[1].replace(" --check", "").removesuffix(" .") for line in check.splitlines()[1:]}
    assert {
        hook["entry"].removeprefix(".venv/bin/").removesuffix(" --force-exclude") for hook in local["hooks"]
    } == tools


def test_continuous_integration_runs_the_script_of_the_repository():
    workflow = yaml.safe_load(_read_text(ROOT / ".github" / "workflows" / "ci.yml"))
    assert {"run": ".ci/run"} in workflow["jobs"]["test"]["steps"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=_format_path)
def test_every_link_leads_somewhere(document):
    broken = []
    for link in LINK.findall(FENCED.sub("", _read_text(document))):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        headings = re.findall(r"^#+ (.*)$", _read_text(target), re.MULTILINE) if anchor and target.is_file() else []
        if not target.exists() or (anchor and anchor not in map(_format_anchor, headings)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("document", DOCUMENTS, ids=_format_path)
def test_every_file_that_is_named_exists(document):
    named = [name for name in QUOTED.findall(FENCED.sub("", _read_text(document))) if FILE.match(name)]
    inside = [name for name in named if name.split("/")[0] in FOLDERS and "/" in name and "NNNN" not in name]
    at_the_top = [name for name in named if "/" not in name and Path(name).suffix in {".toml", ".conf", ".md"}]
    assert not [name for name in inside + at_the_top if not (ROOT / name).exists()]


def test_every_test_that_the_documents_name_exists():
    files = [*(ROOT / "tests").rglob("test_*.py")]
    names = {file.stem for file in files}
    names |= {name for file in files for name in re.findall(r"^def (test_\w+)", _read_text(file), re.MULTILINE)}
    text = "\n".join(_read_text(document) for document in DOCUMENTS)
    assert not set(re.findall(r"`(test_\w+)`", text)) - names


@pytest.mark.parametrize("document", DOCUMENTS, ids=_format_path)
def test_every_make_target_that_is_named_exists(document):
    targets = set(re.findall(r"^([a-z-]+):", _read_text(ROOT / "Makefile"), re.MULTILINE))
    named = {
        target
        for line in _list_code(document)
        for target in re.findall(r"(?:^|[\s(])make ([a-z]+(?:-[a-z]+)*)\b", line)
    }
    assert named <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=_format_path)
def test_every_beckon_command_that_is_named_exists(document):
    typed = [line for line in _list_code(document) if re.match(r"(?:\$ )?(?:\.venv/bin/)?beckon [a-z]", line)]
    assert not [line for line in typed if not _exists(line.split("beckon ", 1)[1].split())]


def _exists(words: list[str]) -> bool:
    """Whether the words name a subcommand; of a group, its own first word too."""
    with click.Context(beckon) as context:
        command: click.Command | None = beckon
        while isinstance(command, click.Group) and words and re.fullmatch(r"[a-z][a-z-]*", words[0]):
            command = command.get_command(context, words[0])
            words = words[1:]
        return command is not None


def test_the_architecture_names_every_program_with_its_queues():
    programs = configparser.RawConfigParser(strict=False)
    programs.read(ROOT / "supervisord.conf")
    running = {section.removeprefix("program:") for section in programs.sections() if section.startswith("program:")}
    table = _read_text(ROOT / "docs" / "architecture.md").split("## What runs")[1].split("\n## ")[0]
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| `")]
    queues_by_program = {name: QUOTED.findall(queues) for names, queues in rows for name in QUOTED.findall(names)}
    assert set(queues_by_program) == running
    assert {name: set(queues) for name, queues in queues_by_program.items() if queues} == {
        name: set(queues) for name, queues in PROGRAMS.items()
    }
    assert {queue for queues in PROGRAMS.values() for queue in queues} == set(QUEUES)


def test_the_architecture_names_every_periodic_job_with_its_interval():
    text = _read_text(ROOT / "docs" / "architecture.md")
    table = text.split("## Periodic jobs")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\d+) s \| `(\w+)` \|", table, re.MULTILINE)
    jobs = [(job.name, str(int(job.every_seconds)), job.run_once.__name__) for job in PERIODIC_JOBS]
    assert rows == jobs
    recovery = text.split("## Recovery")[1].split("\n## ")[0]
    assert {
        name for name in QUOTED.findall(recovery) if name.startswith(("enqueue_", "requeue_", "rescue_", "end_"))
    } <= {name for _, _, name in jobs}


def test_every_module_has_a_docstring():
    modules = [file for file in _iter_files() if file.suffix == ".py"]
    assert len(modules) > 100
    undocumented = []
    for file in modules:
        docstring = ast.get_docstring(ast.parse(_read_text(file))) or ""
        if len(docstring.splitlines()[0] if docstring else "") < 10:
            undocumented.append(_format_path(file))
    assert not undocumented


def test_every_migration_opens_with_its_purpose():
    assert not [file.name for file in (ROOT / "migrations").glob("*.up.sql") if not _read_text(file).startswith("-- ")]


def test_nothing_is_left_for_later():
    loose = re.compile("|".join(rf"\b{first}{last}\b" for first, last in (("TO", "DO"), ("FIX", "ME"), ("XX", "X"))))
    assert not [
        f"{_format_path(file)}:{number}"
        for file in _iter_files()
        for number, line in enumerate(_read_text(file).splitlines(), 1)
        if loose.search(line)
    ]
