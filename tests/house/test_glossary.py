"""Names of modules, classes, tables and migrations are made of the words that docs/glossary.md knows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import settings

GLOSSARY = settings.ROOT / "docs" / "glossary.md"
FOLDERS = ("rules", "models", "ephemeral", "providers", "sandbox", "tasks", "workers", "dashboard")
BANNED = {"manager", "helper", "helpers", "util", "utils", "service", "handler", "data", "info"}

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
CREATE_STATEMENT = re.compile(r"create (?:table|view|materialized view)(?: if not exists)? (\w+)")


def _split_words(name: str) -> list[str]:
    return [word.lower() for word in WORD.findall(name)]


def _list_modules() -> list[Path]:
    inside = [file for folder in FOLDERS for file in (settings.ROOT / folder).rglob("*.py")]
    return sorted([*inside, *settings.ROOT.glob("*.py")])


def _iter_names() -> Iterator[tuple[str, str]]:
    """Each name with where it stands."""
    for file in _list_modules():
        where = str(file.relative_to(settings.ROOT))
        yield file.stem, where
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                yield node.name, f"{where}:{node.lineno}"
    for file in sorted((settings.ROOT / "migrations").glob("*.up.sql")):
        yield file.name.removesuffix(".up.sql"), file.name
        for name in CREATE_STATEMENT.findall(file.read_text(encoding="utf-8")):
            yield name, file.name


def _list_terms() -> list[str]:
    """The terms of the glossary's tables, in order; a row may define several together."""
    cells = re.findall(r"^\| ([^|]+?) \|", GLOSSARY.read_text(encoding="utf-8"), re.MULTILINE)
    return [term.strip() for cell in cells if cell != "word" and "---" not in cell for term in cell.split(",")]


def _list_known_words() -> set[str]:
    """Every word that may stand in a name: of a term, emphasised beside one, or in the two lists at the end."""
    text = GLOSSARY.read_text(encoding="utf-8")
    tables, lists = text.split("## Names from outside")
    emphasised = re.findall(r"(?<![\w*])\*(\w[\w -]*)\*(?![\w*])", tables)
    listed = [word for line in lists.splitlines() if not line.startswith("#") for word in re.split(r"[,. ]+", line)]
    return {word for name in [*_list_terms(), *emphasised, *listed] for word in (name.lower(), *_split_words(name))}


def _iter_forms(word: str) -> Iterator[str]:
    """The word itself, and what it may be an inflection of: the plural, and what was done or is being done."""
    yield word
    for ending, replacement in (
        ("s", ""),
        ("es", ""),
        ("ies", "y"),
        ("ed", ""),
        ("ed", "e"),
        ("ing", ""),
        ("ing", "e"),
    ):
        if word.endswith(ending) and len(word) - len(ending) > 1:
            yield word.removesuffix(ending) + replacement


def test_every_word_of_a_name_is_in_the_glossary():
    known_words = _list_known_words()
    unknown = {
        f"{word} ({name}, {where})"
        for name, where in _iter_names()
        for word in _split_words(name)
        if known_words.isdisjoint(_iter_forms(word))
    }
    assert not unknown, "define these in docs/glossary.md, or use a word that is there"


def test_no_name_holds_a_word_that_says_nothing():
    assert not [(name, where) for name, where in _iter_names() if BANNED.intersection(_split_words(name))]


def test_a_word_is_defined_once():
    terms = _list_terms()
    assert len(terms) > 100
    assert not {term for term in terms if terms.count(term) > 1}


def test_every_table_is_spoken_of():
    """The noun that a table is about has a meaning, not only a place among the plain words."""
    defined = {word for term in _list_terms() for word in _split_words(term)}
    tables = {
        name
        for file in (settings.ROOT / "migrations").glob("*.up.sql")
        for name in CREATE_STATEMENT.findall(file.read_text(encoding="utf-8"))
    }
    assert not {
        name for name in tables if not any(defined.intersection(_iter_forms(word)) for word in _split_words(name))
    }
