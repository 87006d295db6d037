"""Bounds what one rendering of a template may cost: work is counted, and CPU time only ends what the counts missed.

A rendering may run 100,000 loop iterations and make 4 MiB in all, and pass at most 512 KiB to one filter, which is
checked before the filter runs. Sizes are bytes in memory. A template that exceeds a count is invalid; a rendering that
takes a second of its thread's CPU time ends with a timeout, which is retried.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from io import StringIO
from typing import Any

from liquid import BoundTemplate, Node, RenderContext
from liquid.builtin.expressions.logical import EqExpression, NeExpression
from liquid.builtin.expressions.primitive import Blank, IntegerLiteral, RangeLiteral
from liquid.builtin.tags.for_tag import ForNode
from liquid.exceptions import LiquidError
from liquid.expression import Expression
from liquid.undefined import UNDEFINED, is_undefined

from rules import template_sizes
from rules.template_sizes import measure

MAX_ITERATIONS = 100_000
MAX_MADE_BYTES = 4 * 1024 * 1024
MAX_FILTER_BYTES = 512 * 1024
MAX_CPU_SECONDS = 1.0

#: Small pieces of work between two readings of the CPU clock.
_TICKS_PER_READING = 64


class BudgetExceeded(LiquidError):
    """The template exceeds one of the counts."""

    def __init__(self, message: str) -> None:
        super().__init__(message, token=None)


class RenderingTimeout(Exception):
    """The rendering took too much CPU time."""


class Budget:
    """What one rendering has used so far."""

    __slots__ = ("_deadline", "_ticks", "iterations", "made_bytes")

    def __init__(self) -> None:
        self.iterations = 0
        self.made_bytes = 0
        self._ticks = 0
        self._deadline = time.thread_time() + MAX_CPU_SECONDS

    def count_iterations(self, count: int) -> None:
        """Count the iterations of a loop that begins. Raises `BudgetExceeded`."""
        self.iterations += count
        if self.iterations > MAX_ITERATIONS:
            raise BudgetExceeded(f"its loops have more than {MAX_ITERATIONS:,} iterations")
        self.check_time()

    def count_made(self, size: int, maker: str) -> None:
        """Count bytes that `maker` makes. Raises `BudgetExceeded`, which names it."""
        self.made_bytes += size
        if self.made_bytes > MAX_MADE_BYTES:
            raise BudgetExceeded(f"{maker} would bring what it makes to more than {MAX_MADE_BYTES >> 20} MiB")

    def tick(self) -> None:
        """Count a small piece of work. Raises `RenderingTimeout`."""
        self._ticks += 1
        if self._ticks % _TICKS_PER_READING == 0:
            self.check_time()

    def check_time(self) -> None:
        """Raise `RenderingTimeout` where the thread has used its CPU time."""
        if time.thread_time() > self._deadline:
            raise RenderingTimeout(f"took more than {MAX_CPU_SECONDS:g} s of CPU time")


class CountedOutput(StringIO):
    """An output that counts what is written to it."""

    def __init__(self, budget: Budget) -> None:
        super().__init__()
        self._budget = budget

    def write(self, text: str) -> int:
        self._budget.count_made(measure(text, MAX_MADE_BYTES), "its output")
        self._budget.tick()
        return super().write(text)


class BudgetedContext(RenderContext):
    """The context of one rendering, with its budget."""

    __slots__ = ("budget",)

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.budget = Budget()

    def get(self, path: list[object], *, token: Any, default: object = UNDEFINED) -> object:
        """Look a variable up."""
        self.budget.tick()
        return super().get(path, token=token, default=default)

    def loop(self, namespace: Mapping[str, object], forloop: Any) -> Any:
        """Begin a loop, which reads the CPU clock at each iteration."""
        forloop.it = self._check_each(forloop.it)
        return super().loop(namespace, forloop)

    def _check_each(self, items: Iterator[object]) -> Iterator[object]:
        for item in items:
            self.budget.check_time()
            yield item

    def raise_for_loop_limit(self, length: int = 1) -> None:
        """Count the iterations of a loop that begins."""
        self.budget.count_iterations(length)

    def get_buffer(self, _buffer: Any = None) -> StringIO:
        """Return the output of a `capture`."""
        return CountedOutput(self.budget)

    def filter(self, name: str, token: Any = None) -> Callable[..., object]:
        """Return a filter that measures its arguments before it runs, and its result."""
        return partial(self._apply, name, super().filter(name, token))

    def _apply(self, name: str, function: Callable[..., object], *arguments: Any, **keywords: Any) -> object:
        """Run a filter within the budget. Some must be refused before they run, because of what they would make."""
        maker, size = f'the filter "{name}"', 0
        for value in (*arguments, *keywords.values()):
            size += measure(value, MAX_FILTER_BYTES - size)
            if size > MAX_FILTER_BYTES:
                raise BudgetExceeded(f"{maker} gets more than {MAX_FILTER_BYTES >> 10} KiB")
        estimate = template_sizes.ESTIMATES.get(name)
        if estimate:
            self.budget.count_made(estimate(*arguments), maker)
        result = function(*arguments, **keywords)
        if not estimate and result is not arguments[0]:
            self.budget.count_made(measure(result, MAX_MADE_BYTES), maker)
        self.budget.check_time()
        return result


class BoundedRange(RangeLiteral):
    """A range `(1..n)` of at most as many items as loops may have iterations."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> range:
        """Return the range. Raises `BudgetExceeded`."""
        items = super().evaluate(context)
        if len(items) > MAX_ITERATIONS:
            raise BudgetExceeded(f"the range {self} has more than {MAX_ITERATIONS:,} items")
        return items


class BudgetedTemplate(BoundTemplate):
    """A template that renders within a budget."""

    context_class = BudgetedContext

    def render(self, *arguments: Any, **keywords: Any) -> str:
        """Render the template. Raises `BudgetExceeded` and `RenderingTimeout`."""
        context = BudgetedContext(self, globals=self.make_globals(dict(*arguments, **keywords)))
        output = CountedOutput(context.budget)
        self.render_with_context(context, output)
        return output.getvalue()


def _is_blank(value: object) -> bool:
    is_nothing = value is None or value is False or isinstance(value, Blank) or is_undefined(value)
    return is_nothing or (
        isinstance(value, (str, list, dict)) and not (value.strip() if isinstance(value, str) else value)
    )


def _compare_with_blank(comparison: EqExpression | NeExpression, context: RenderContext) -> bool | None:
    """Whether the other side of a comparison with `blank` is blank; None for any other comparison."""
    left, right = comparison.left.evaluate(context), comparison.right.evaluate(context)
    if isinstance(right, Blank):
        return _is_blank(left)
    return _is_blank(right) if isinstance(left, Blank) else None


class LiquidEquality(EqExpression):
    """A comparison in which nil, false and what is not defined are blank, as in Liquid."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> object:
        """Return whether the sides are equal."""
        is_blank = _compare_with_blank(self, context)
        return super().evaluate(context) if is_blank is None else is_blank


class LiquidInequality(NeExpression):
    """The opposite of `LiquidEquality`."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> object:
        """Return whether the sides differ."""
        is_blank = _compare_with_blank(self, context)
        return super().evaluate(context) if is_blank is None else not is_blank


_REPLACEMENTS: Mapping[type[Expression], type[Expression]] = {
    RangeLiteral: BoundedRange,
    EqExpression: LiquidEquality,
    NeExpression: LiquidInequality,
}


def adapt_expressions(template: BoundTemplate) -> None:
    """Replace the library's ranges and comparisons in a compiled template by ours. It has no other place for that."""
    for expression in _walk_expressions(template):
        if type(expression) in _REPLACEMENTS:
            expression.__class__ = _REPLACEMENTS[type(expression)]


def find_excess(template: BoundTemplate) -> str | None:
    """Return what would exceed the budget whatever the variables are, or None."""
    for expression in _walk_expressions(template):
        if isinstance(expression, RangeLiteral) and (_count_constant_items(expression) or 0) > MAX_ITERATIONS:
            return f"the range {expression} has more than {MAX_ITERATIONS:,} items"
    iterations = sum(_count_constant_iterations(node) for node in template.nodes)
    return f"its loops have more than {MAX_ITERATIONS:,} iterations" if iterations > MAX_ITERATIONS else None


def _count_constant_items(items: RangeLiteral) -> int | None:
    if not isinstance(items.start, IntegerLiteral) or not isinstance(items.stop, IntegerLiteral):
        return None
    return max(0, items.stop.value - items.start.value + 1)


def _count_constant_iterations(node: Node) -> int:
    """Count the iterations of loops over constant ranges that are not inside of a condition."""
    if not isinstance(node, ForNode) or not isinstance(node.expression.iterable, RangeLiteral):
        return 0
    items = _count_constant_items(node.expression.iterable)
    if items is None or node.expression.limit or node.expression.offset:
        return 0
    return items * (1 + sum(_count_constant_iterations(inner) for inner in node.block.nodes))


def _walk_expressions(template: BoundTemplate) -> Iterator[Expression]:
    nodes = deque(template.nodes)
    context = RenderContext(template)
    while nodes:
        node = nodes.popleft()
        nodes.extend(node.children(context))
        expressions = deque(node.expressions())
        while expressions:
            expression = expressions.popleft()
            yield expression
            expressions.extend(expression.children())
