"""What the most expensive templates cost: CPU time and memory of one rendering, until it ends or is refused.

    .venv/bin/python benchmarks/templates.py

Fails where a rendering takes more CPU time than its backstop allows, or 16 MiB more memory than there was.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from contextlib import suppress
from typing import Any

from rules.errors import ExecutionError
from rules.template_budget import MAX_CPU_SECONDS
from rules.templating import render

MAX_MEMORY_MIB = 16.0
#: A filter that runs when the backstop is reached ends first.
MAX_SECONDS = MAX_CPU_SECONDS * 1.5

FACTS: dict[str, Any] = {
    "payload": {
        "text": "é< & \n" * 80_000,
        "words": "a b " * 120_000,
        "wide": "\U0001f600 " * 60_000,
        "quotes": '"' * 500_000,
        "markup": "<a " * 160_000 + ">",
        "rows": [{"name": f"row {number}", "n": number % 50} for number in range(4_000)],
    }
}

TEMPLATES = {
    "a long range": "{% assign n = 20000000 %}{{ (1..n) | slice: 0, 19999999 | size }}",
    "loops without output": (
        "{% for a in payload.rows %}{% for b in (1..24) %}{% if a == b %}{% endif %}{% endfor %}{% endfor %}"
    ),
    "many tags in a loop": "{% for a in (1..90000) %}" + "{% if true %}{% endif %}" * 3_000 + "{% endfor %}",
    "comparisons of long texts": (
        "{% for a in (1..90000) %}{% if payload.words contains payload.text %}{% endif %}{% endfor %}"
    ),
    "doubled text": "{% assign x = 'ab' %}{% for i in (1..60) %}{% assign x = x | append: x %}{% endfor %}",
    "split into characters": "{{ payload.wide | split: '' | size }}",
    "words": "{{ payload.words | truncatewords: 99999 }}",
    "uniq": "{{ payload.rows | uniq | size }}",
    "sorted rows": "{% for a in (1..500) %}{{ payload.rows | sort: 'name' | size }}{% endfor %}",
    "markup": "{{ payload.markup | strip_html | size }}",
    "encoded": "{{ payload.text | url_encode | size }}",
    "escaped": "{{ payload.quotes }}{{ payload.quotes | escape }}",
}


def measure(source: str) -> tuple[float, float, str]:
    """Render a template; return its CPU seconds, the MiB that it took, and how it ended."""
    started = time.thread_time()
    try:
        outcome = f"{len(render(source, FACTS, form='html')):,} characters"
    except ExecutionError as error:
        outcome = error.message
    seconds = time.thread_time() - started
    tracemalloc.start()
    with suppress(ExecutionError):
        render(source, FACTS, form="html")
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return seconds, peak, outcome


def main() -> int:
    """Print every template, slowest first; return 1 where one exceeds a limit."""
    render("{{ payload.text }}", FACTS)
    measured = sorted(((*measure(source), name) for name, source in TEMPLATES.items()), reverse=True)
    for seconds, peak, outcome, name in measured:
        sys.stdout.write(f"{seconds * 1000:8.1f} ms  {peak:5.1f} MiB  {name}: {outcome[:100]}\n")
    slowest, largest = measured[0][0], max(peak for _, peak, _, _ in measured)
    sys.stdout.write(
        f"slowest {slowest * 1000:.0f} ms (limit {MAX_SECONDS * 1000:.0f}), "
        f"largest {largest:.1f} MiB (limit {MAX_MEMORY_MIB:.0f})\n"
    )
    return int(slowest > MAX_SECONDS or largest > MAX_MEMORY_MIB)


if __name__ == "__main__":
    sys.exit(main())
