"""SQL stands in `models/` and `migrations/` only, and no statement is composed of values."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
#: The folders of the product without SQL.
WITHOUT_SQL = ("clients", "dashboard", "ephemeral", "providers", "rules", "sandbox", "tasks", "workers")
#: How a statement, or a fragment of one that a caller would pass down, begins or reads.
STATEMENT = re.compile(
    r"^\s*(select\s+\S|insert\s+into\s|update\s+\w+(\s+\w+)?\s+set\s|delete\s+from\s|with\s+\w+\s+as\s+(materialized\s+)?\(|"
    r"(create|alter|drop|truncate)\s+(table|index|view|function|schema|database|policy|type|extension)\b|"
    r"set\s+(local|session)\s)"
    r"|\b\w+\.\w+\s*(=|<|>|<=|>=|<>)\s*(%s|%\(\w+\)s|'\w*')|\bis\s+(not\s+)?null\b|\border\s+by\s+\w+\.\w+"
    r"|=\s*any\s*\(",
    re.IGNORECASE | re.DOTALL,
)
#: Prose that reads like SQL.
PROSE = re.compile(r"^(Select|Update|Set|Delete|Grant|Create|Drop) ")


def list_strings(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Each string literal that is not a docstring: its line, its text, and whether it is an f-string."""
    tree = ast.parse(path.read_text())
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "%s" for part in node.values]
            yield node.lineno, "".join(str(part) for part in parts), True
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings | inside:
            yield node.lineno, node.value, False


def is_sql(text: str) -> bool:
    """Whether a string is SQL, or a fragment of it."""
    return bool(STATEMENT.search(text)) and not PROSE.search(text)


def find_sql(path: Path) -> list[str]:
    """The lines of a file with SQL."""
    return [f"{path.relative_to(ROOT)}:{line}" for line, text, _ in list_strings(path) if is_sql(text)]


@pytest.mark.parametrize("folder", WITHOUT_SQL)
def test_no_folder_but_models_has_sql(folder):
    assert [line for path in sorted((ROOT / folder).rglob("*.py")) for line in find_sql(path)] == []


@pytest.mark.parametrize(
    "text",
    [
        "select 1",
        "\n    select id from executions where id = %s",
        "update executions set due_at = beckon_now()",
        "with due as materialized (select 1) delete from due",
        "e.workspace_id = acting_workspace() and e.id = %s",
        "e.status = 'waiting'",
        "deleted_at is null",
        "create table x (id uuid)",
        "delete from pauses",
        "e.id = any(%s)",
    ],
)
def test_the_test_recognizes_sql(text):
    assert is_sql(text)


@pytest.mark.parametrize("text", ["Select a contact", "Update the draft", "select", "Set a new password from here"])
def test_the_test_does_not_take_prose_for_sql(text):
    assert not is_sql(text)


#: Files that compose constants: the declarations of indexes, and once a process the statement that binds a transaction.
COMPOSED = ("models/tables/fields.py", "models/database.py")


def test_no_statement_is_composed_with_an_f_string():
    composed = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted((ROOT / "models").rglob("*.py"))
        for line, text, is_composed in list_strings(path)
        if is_composed and is_sql(text) and str(path.relative_to(ROOT)) not in COMPOSED
    ]
    assert composed == []
