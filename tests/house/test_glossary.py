"""docs/glossary.md defines each term once, only terms that are used, and every table's noun. Names are not vague."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import settings

ROOT = settings.ROOT
GLOSSARY = ROOT / "docs" / "glossary.md"
FOLDERS = ("rules", "models", "ephemeral", "providers", "sandbox", "tasks", "workers", "dashboard")
BANNED = {"manager", "helper", "helpers", "util", "utils", "service", "handler", "data", "info"}

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
RENAMED_TABLE = re.compile(r"^alter table (\w+) rename to", re.MULTILINE)
NEW_TABLE_NAME = re.compile(r"^alter table \w+ rename to (\w+)", re.MULTILINE)
DROPPED_VIEWS = re.compile(r"^drop view ([\w, ]+);", re.MULTILINE)
CREATE_STATEMENT = re.compile(r"create (?:table|view|materialized view)(?: if not exists)? (\w+)")


def _split_words(name: str) -> list[str]:
    return [word.lower() for word in WORD.findall(name)]


def _read_text(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def _list_files(*suffixes: str) -> list[Path]:
    inside = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*")]
    return sorted(file for file in [*inside, *ROOT.glob("*")] if file.suffix in suffixes and "vendor" not in file.parts)


def _iter_names() -> Iterator[tuple[str, str]]:
    """Each name of a module, class, migration and table, with its place."""
    for file in _list_files(".py"):
        where = str(file.relative_to(ROOT))
        yield file.stem, where
        for node in ast.walk(ast.parse(_read_text(file))):
            if isinstance(node, ast.ClassDef):
                yield node.name, f"{where}:{node.lineno}"
    for file in sorted((ROOT / "migrations").glob("*.up.sql")):
        yield file.name.removesuffix(".up.sql"), file.name
    for name in _list_tables():
        yield name, "migrations"


def _list_tables() -> set[str]:
    """The tables and views after all migrations, without those that a migration renames or drops."""
    text = "\n".join(_read_text(file) for file in sorted((ROOT / "migrations").glob("*.up.sql")))
    gone = set(RENAMED_TABLE.findall(text)) | {
        name.strip() for names in DROPPED_VIEWS.findall(text) for name in names.split(",")
    }
    return (set(CREATE_STATEMENT.findall(text)) | set(NEW_TABLE_NAME.findall(text))) - gone


def _list_terms() -> list[str]:
    """The terms of the glossary's tables, in order; a row may define several together."""
    cells = re.findall(r"^\| ([^|]+?) \|", _read_text(GLOSSARY), re.MULTILINE)
    return [term.strip() for cell in cells if cell != "term" and "---" not in cell for term in cell.split(",")]


def _normalize(text: str) -> str:
    """Small letters, with one space between the words of snake_case, CamelCase and hyphenated names."""
    return re.sub(r"[\s_-]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)).lower()


def _build_term_pattern(term: str) -> re.Pattern[str]:
    """The term as a word of its own, or its plural."""
    stem = re.escape(_normalize(term).removesuffix("y"))
    ending = "(?:ys?|ies)" if term.endswith("y") else "(?:s|es)?"
    return re.compile(rf"(?<![a-z]){stem}{ending}(?![a-z])")


def _find_unused(terms: list[str]) -> set[str]:
    documents = [file for file in (ROOT / "docs").glob("*.md") if file != GLOSSARY]
    text = _normalize("\n".join(map(_read_text, [*_list_files(".py", ".html", ".md"), *documents])))
    return {term for term in terms if not _build_term_pattern(term).search(text)}


def test_no_name_has_a_vague_word():
    assert not [(name, where) for name, where in _iter_names() if BANNED.intersection(_split_words(name))]


def test_a_term_is_defined_once():
    terms = _list_terms()
    assert len(terms) > 100
    assert not {term for term in terms if terms.count(term) > 1}


def test_every_term_of_the_glossary_is_used_outside_it():
    assert not _find_unused(_list_terms())
    assert _find_unused(["telegraph key", "step"]) == {"telegraph key"}


def test_every_table_is_named_by_a_term_or_in_a_definition():
    terms, text = [_build_term_pattern(term) for term in _list_terms()], _read_text(GLOSSARY)
    assert not [
        name
        for name in _list_tables()
        if f"`{name}`" not in text and not any(term.search(_normalize(name)) for term in terms)
    ]
