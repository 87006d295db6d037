"""Tests wait for a state: none sleeps, and none compares a duration that it measured with a bound."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import settings

TESTS = settings.ROOT / "tests"
#: Where time passes on purpose, and why.
ALLOWED = {
    "support/waiting.py": "the one loop that polls, with a deadline against a hang",
    "browser/test_monitor.py": "Playwright runs its handlers only while it waits; `eventually` surrounds it",
    "dashboard/test_gevent_support.py": "a greenlet that counts how often it runs while another one works",
}
SLEEPS = {"sleep", "wait_for_timeout"}
STOPWATCHES = {"perf_counter", "perf_counter_ns", "process_time", "thread_time", "monotonic_ns", "timeit"}
CLOCKS = {"now", "utcnow", "time", "monotonic"}
SLEEP_IN_PROGRAM = re.compile(r"\b(?:time|gevent|asyncio)\.sleep\(|\bpg_sleep\(")


def get_called_name(node: ast.AST) -> str:
    """The last part of the name that is called, or an empty text."""
    match node:
        case ast.Call(func=ast.Attribute(attr=name)) | ast.Call(func=ast.Name(id=name)):
            return name
    return ""


def measures_duration(node: ast.AST) -> bool:
    """Whether the comparison subtracts from or by the present time."""
    return isinstance(node, ast.Compare) and any(
        isinstance(inner, ast.BinOp)
        and isinstance(inner.op, ast.Sub)
        and (get_called_name(inner.left) in CLOCKS or get_called_name(inner.right) in CLOCKS)
        for inner in ast.walk(node)
    )


def starts_stopwatch(node: ast.AST) -> bool:
    """Whether the statement keeps the time of the monotonic clock, whose only use is a duration."""
    if not isinstance(node, ast.Assign):
        return False
    values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
    return any(
        get_called_name(value) == "monotonic"
        or (isinstance(value, ast.BinOp) and "monotonic" in (get_called_name(value.left), get_called_name(value.right)))
        for value in values
    )


def iter_problems(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every line of the module that sleeps or measures, with the reason."""
    for node in ast.walk(tree):
        name = get_called_name(node)
        if name in SLEEPS:
            yield node.lineno, f"{name}: wait for a state with `eventually`"  # type: ignore[attr-defined]
        elif name in STOPWATCHES or starts_stopwatch(node):
            yield node.lineno, "a stopwatch: show by structure what the time was to show"  # type: ignore[attr-defined]
        elif measures_duration(node):
            yield node.lineno, "a bound on a measured duration: compare stored times"  # type: ignore[attr-defined]
        elif isinstance(node, ast.Constant) and SLEEP_IN_PROGRAM.search(str(node.value)):
            yield node.lineno, "a program that sleeps: let it wait for its input or for a lock"


def list_files() -> list[Path]:
    return [file for file in sorted(TESTS.rglob("*.py")) if file != Path(__file__)]


def test_no_test_sleeps_or_measures_time() -> None:
    problems = [
        f"{file.relative_to(TESTS)}:{line}: {problem}"
        for file in list_files()
        if str(file.relative_to(TESTS)) not in ALLOWED
        for line, problem in iter_problems(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert problems == []


def test_every_exception_is_needed() -> None:
    for name in ALLOWED:
        assert list(iter_problems(ast.parse((TESTS / name).read_text(encoding="utf-8")))), name


@pytest.mark.parametrize(
    "line",
    [
        "time.sleep(1)", "sleep(1)", "page.wait_for_timeout(20)", "began = time.monotonic()",
        "key, began = new_id(), time.monotonic()", "deadline = time.monotonic() + 10", "began = time.perf_counter()",
        "assert clock.now() - at < timedelta(seconds=5)", "assert abs(at - clock.now() - day) < second",
        "program = 'import time; time.sleep(600)'", "fetch_value('select pg_sleep(0.4)')",
    ],
)  # fmt: skip
def test_a_line_that_sleeps_or_measures_is_reported(line: str) -> None:
    assert len(list(iter_problems(ast.parse(line)))) == 1


@pytest.mark.parametrize(
    "line",
    [
        "claimed = ClaimedExecution(row, workflow)",
        "leases.holding(claimed, time.monotonic() - lease_seconds)",
        "started_at = clock.now()", "assert started_at <= at - timedelta(hours=2) <= clock.now()",
        "at = clock.now() - timedelta(days=2)",
    ],
)  # fmt: skip
def test_a_time_that_is_only_passed_on_is_allowed(line: str) -> None:
    assert list(iter_problems(ast.parse(line))) == []
