"""Tests give the same result in every run: a row is chosen in an order, and a wait within a page is a function.

Playwright evaluates a text again at each look, which the policy of a page refuses as soon as the first look was too
early. It evaluates a function once.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import settings

TESTS = settings.ROOT / "tests"
JAVASCRIPT_FUNCTION = re.compile(r"\s*(?:async\s+)?(?:\([^)]*\)|\w+)\s*=>|\s*(?:async\s+)?function\b")
SELECT = re.compile(r"\bselect\b", re.IGNORECASE)
LIMIT = re.compile(r"\blimit (?:\d+|%s|\{)", re.IGNORECASE)
ORDER = re.compile(r"\border by\b", re.IGNORECASE)


def read_text(node: ast.AST | None, constants: Mapping[str, str]) -> str | None:
    """The text of a literal, of an f-string with `{}` for each value, or of a named constant; None of anything else."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(read_text(value, constants) or "{}" for value in values)
        case ast.Name(id=name):
            return constants.get(name)
    return None


def read_constants(tree: ast.Module) -> dict[str, str]:
    """The names to which the module assigns a text."""
    return {
        target.id: text
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and (text := read_text(node.value, {})) is not None
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def is_unordered(text: str) -> bool:
    """Whether a query within the text takes some of its rows and has no order."""
    for limit in LIMIT.finditer(text):
        selects = [select.end() for select in SELECT.finditer(text, 0, limit.start())]
        if selects and not ORDER.search(text, selects[-1], limit.start()):
            return True
    return False


def iter_problems(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every line of the module whose result may differ between two runs, with the reason."""
    constants = read_constants(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant | ast.JoinedStr) and is_unordered(read_text(node, {}) or ""):
            yield node.lineno, "a limit without an order: add `order by`, or ask for the one row that is meant"
        elif isinstance(node, ast.Call) and waits_for_expression(node, constants):
            yield node.lineno, "a wait for an expression: begin it with `() =>`"


def waits_for_expression(call: ast.Call, constants: Mapping[str, str]) -> bool:
    """Whether the call is `wait_for_function` with another text than that of a JavaScript function."""
    if not isinstance(call.func, ast.Attribute) or call.func.attr != "wait_for_function":
        return False
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    text = read_text(call.args[0] if call.args else named.get("expression"), constants)
    return text is None or not JAVASCRIPT_FUNCTION.match(text)


def list_files() -> list[Path]:
    return [file for file in sorted(TESTS.rglob("*.py")) if file != Path(__file__)]


def test_no_test_depends_on_an_order_that_is_not_stated_or_on_a_page_s_policy() -> None:
    problems = [
        f"{file.relative_to(TESTS)}:{line}: {problem}"
        for file in list_files()
        for line, problem in iter_problems(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert problems == []


@pytest.mark.parametrize(
    "source",
    [
        "fetch_value('select id from executions limit 1')",
        "fetch_value(f'select id from {table} LIMIT 1')",
        "fetch_values('select id from executions limit %s', (3,))",
        "execute('update t set a = (select at from runs limit 1) from (select 1 order by 1) s')",
        "execute('select (select b from c order by b limit 1), (select a from d limit 1)')",
        "page.wait_for_function('scrollY > 0')",
        "visit.page.wait_for_function(f'count >= {number}')",
        "LOADED = '!!window.workflowSystem'\npage.wait_for_function(LOADED)",
        "page.wait_for_function(expression='seen.map(one => one.text).length > 2')",
        "page.wait_for_function(build_expression())",
    ],
)
def test_a_line_whose_result_may_differ_is_reported(source: str) -> None:
    assert len(list(iter_problems(ast.parse(source)))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "fetch_value('select id from executions order by id desc limit 1')",
        "fetch_value('select id from executions where key = %s')",
        "path = '/executions?limit=1'",
        "page.wait_for_function('() => scrollY > 0')",
        "page.wait_for_function('(light) => shown !== light', arg=light)",
        "page.wait_for_function('light => shown !== light', arg=light)",
        "LOADED = f'() => !!localStorage[{KEY}]'\npage.wait_for_function(LOADED)",
        "page.wait_for_function(expression='async () => (await caches.keys()).length > 0')",
    ],
)
def test_a_line_with_one_possible_result_is_accepted(source: str) -> None:
    assert list(iter_problems(ast.parse(source))) == []
