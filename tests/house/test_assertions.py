"""Every test asserts something: a test that only calls the code passes with code that does nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

import pytest

import settings

TESTS = settings.ROOT / "tests"
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
Functions = Mapping[str, FunctionNode]
#: Calls that fail a test: pytest's, and those of Playwright that wait for a state of the page.
RAISING = {"raises", "warns", "fail", "wait_for_selector", "wait_for_url", "wait_for_function", "to_have_text"}


def get_called_name(node: ast.AST) -> str:
    """The last part of the name that is called, or an empty text."""
    match node:
        case ast.Call(func=ast.Attribute(attr=name)) | ast.Call(func=ast.Name(id=name)):
            return name
    return ""


def parse_helpers(source: str) -> dict[str, FunctionNode]:
    """The functions and methods of a module that are no tests, by name."""
    return {
        node.name: node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, FunctionNode) and not node.name.startswith("test_")
    }


def asserts(function: ast.AST, helpers: Functions, seen: frozenset[str] = frozenset()) -> bool:
    """Whether the function can fail by an assertion of its own, or of a helper of the tests that it calls."""
    for node in ast.walk(function):
        name = get_called_name(node)
        # A helper raises AssertionError itself where it waits.
        if isinstance(node, ast.Assert) or name in RAISING or name == "AssertionError":
            return True
        if name in helpers and name not in seen and asserts(helpers[name], helpers, seen | {name}):
            return True
    return False


def iter_silent_tests(source: str, shared: Functions) -> Iterator[str]:
    """The names of the module's tests without an assertion; `shared` has the helpers of other modules."""
    helpers = {**shared, **parse_helpers(source)}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, FunctionNode) and node.name.startswith("test_") and not asserts(node, helpers):
            yield node.name


def test_every_test_asserts_something() -> None:
    shared: dict[str, FunctionNode] = {}
    for file in sorted(TESTS.rglob("*.py")):
        if not file.name.startswith("test_"):
            shared |= parse_helpers(file.read_text(encoding="utf-8"))
    silent = [
        f"{file.relative_to(TESTS)}::{name}"
        for file in sorted(TESTS.rglob("test_*.py"))
        for name in iter_silent_tests(file.read_text(encoding="utf-8"), shared)
    ]
    assert silent == []


@pytest.mark.parametrize(
    "body", ["invalidate('w')", "result = run()", "for each in range(3):\n        run(each)", "helper()", "check(1)"]
)
def test_a_test_without_an_assertion_is_reported(body: str) -> None:
    source = f"def helper():\n    run()\n\ndef test_it():\n    {body}\n"
    assert list(iter_silent_tests(source, {})) == ["test_it"]


@pytest.mark.parametrize(
    "body", ["assert run()", "with pytest.raises(ValueError):\n        run()", "helper()", "far()"]
)
def test_a_test_with_an_assertion_of_any_form_is_accepted(body: str) -> None:
    source = f"def helper():\n    assert run()\n\ndef test_it():\n    {body}\n"
    assert list(iter_silent_tests(source, parse_helpers("def far():\n    assert run()"))) == []
