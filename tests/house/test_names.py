"""No identifier uses a word of the old private language; docs/architecture.md and docs/glossary.md have the terms."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import settings

FOLDERS = (
    "benchmarks", "clients", "dashboard", "ephemeral", "models", "providers", "rules", "sandbox", "tasks", "tests",
    "workers",
)  # fmt: skip
#: Participles and numerals that say nothing alone: a name is the noun (settings, row, payload, request, result).
VAGUE = {"told", "found", "given", "asked", "made", "shown", "known", "wanted", "chosen", "one"}
#: Old terms. Their successors: notification, executor thread, claimed execution, confirm, group commit, consumer,
#: provider API, demo session, follow, scheduler leadership, periodic job, intent, continuation, parsed request.
OLD_TERMS = {
    "bell", "bells", "doorbell", "doorbells", "rung", "hand", "hands", "passage", "passages", "heed", "heeds", "heeded",
    "ledger", "ledgers", "hearing", "heard", "voice", "voices", "rehearsal", "rehearsals", "procession", "doorkeeper",
    "duty", "duties", "announce", "announces", "announced", "announcement", "course", "courses",
}  # fmt: skip

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def split_words(name: str) -> list[str]:
    """The words of a snake_case or CamelCase name, in small letters."""
    return [word.lower() for word in WORD.findall(name)]


def _iter_files() -> Iterator[Path]:
    yield from settings.ROOT.glob("*.py")
    for folder in FOLDERS:
        for file in (settings.ROOT / folder).rglob("*.py"):
            if not {"vendor", "node_modules", ".venv"}.intersection(file.parts):
                yield file


def iter_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every name that the module gives to something: functions, classes, parameters, locals, aliases, attributes."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name, node.lineno
            case ast.arg():
                yield node.arg, node.lineno
            case ast.Name(ctx=ast.Store()):
                yield node.id, node.lineno
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr, node.lineno
            case ast.alias(asname=str(alias)):
                yield alias, node.lineno
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name, node.lineno


def find_problem(name: str) -> str | None:
    """The word for which a name is refused; what a person does by hand may be named so."""
    if name.strip("_").lower() in VAGUE:
        return name
    words = split_words(name.replace("by_hand", ""))
    return next((word for word in words if word in OLD_TERMS), None)


def _find_problems() -> list[str]:
    problems = []
    for file in _iter_files():
        where = file.relative_to(settings.ROOT)
        names = [(part, 1) for part in (*where.parts[:-1], where.stem)]
        names += iter_names(ast.parse(file.read_text(encoding="utf-8")))
        problems += [f"{where}:{line}: {name}" for name, line in names if find_problem(name)]
    return problems


def test_no_name_is_of_the_old_language():
    assert not _find_problems()


@pytest.mark.parametrize(
    "source",
    [
        "def told(): ...",
        "def f(asked): ...",
        "def f(*, _given=1): ...",
        "FOUND = 1",
        "for one in (): ...",
        "with open('x') as made: ...",
        "import os as shown",
        "try: ...\nexcept OSError as known: ...",
        "class Voice: ...",
        "class FreeHands: ...",
        "self.lost_bells = 0",
        "x = [hand for hand in ()]",
        "if (wanted := 1): ...",
    ],
)
def test_a_name_of_the_old_language_is_noticed(source):
    assert [name for name, _ in iter_names(ast.parse(source)) if find_problem(name)]


@pytest.mark.parametrize("name", ["handle", "found_at", "known_words", "invoice", "shorthand", "edited_by_hand"])
def test_longer_names_and_other_words_are_free(name):
    assert find_problem(name) is None
