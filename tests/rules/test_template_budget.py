"""A template's work is counted: whatever its author writes, a rendering stays small and ends soon."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rules import template_budget
from rules.errors import InvalidRequest, ProviderTimeout
from rules.template_outputs import Form
from rules.templating import ENVIRONMENT, check, render

#: Bytes that a rendering may take beside what was there.
MAX_MEMORY_BYTES = 16 * 1024 * 1024

#: Facts as large as an accepted trigger can make them.
FACTS: dict[str, Any] = {
    "contact": {"first_name": "Ada", "tags": ["a", "b"], "attributes": {}},
    "payload": {
        "text": "é< & \n" * 80_000, "words": "a b " * 120_000, "wide": "\U0001f600 " * 60_000, "number": 7,
        "rows": [{"name": f"row {n}", "n": n % 50} for n in range(4_000)],
        "deep": [[[n, str(n)]] * 5 for n in range(2_000)],
    },
    "now": "2026-05-04T22:30:00Z",
}  # fmt: skip


@contextmanager
def bounded_memory() -> Iterator[None]:
    """Fail where the block takes more memory than a rendering may."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MAX_MEMORY_BYTES
    finally:
        tracemalloc.stop()


DOUBLED = "{% assign x = 'ab' %}{% for i in (1..60) %}{% assign x = x | append: x %}{% endfor %}"
EXPENSIVE = {
    "a slice of a long range": ("{{ (1..20000000) | slice: 0, 19999999 | size }}", "range"),
    "a range from a variable": ("{% assign n = 20000000 %}{{ (1..n) | size }}", "range"),
    "a reversed loop over a long range": (
        "{% assign n = 20000000 %}{% for i in (1..n) reversed %}{% break %}{% endfor %}", "range"),
    "chained append": (DOUBLED, "append"),
    "chained prepend": (DOUBLED.replace("append", "prepend"), "prepend"),
    "join with a long separator": ("{{ (1..9000) | join: payload.words }}", "join"),
    "join of nested lists": ("{{ payload.deep | join: payload.text }}", "join"),
    "replace": ("{{ payload.words | replace: ' ', payload.words }}", "replace"),
    "replace of nothing": ("{{ payload.words | replace: '', 'abcdefghijk' }}", "replace"),
    "split into characters": ("{{ payload.wide | split: '' | size }}", "split"),
    "split into words": ("{{ payload.words | split: ' ' | size }}", "split"),
    "concat": (
        "{% assign x = payload.rows %}{% for i in (1..20) %}{% assign x = x | concat: x %}{% endfor %}", "concat"),
    "a filter over too much": ("{{ payload.words | append: payload.words | url_encode }}", "append|url_encode"),
    "nested loops": (
        "{% for a in payload.rows %}{% for b in payload.rows %}{% endfor %}{% endfor %}", "iterations"),
    "many loops": ("{% for a in payload.rows %}{% endfor %}" * 26, "iterations"),
    "a table": ("{% tablerow a in payload.rows %}{% for b in payload.rows %}{% endfor %}{% endtablerow %}",
                "iterations"),
    "a long output": ("{% for a in payload.rows %}{{ payload.text }}{% endfor %}", "output"),
    "a long capture": ("{% capture x %}{% for a in payload.rows %}{{ payload.text }}{% endfor %}{% endcapture %}",
                       "output"),
}  # fmt: skip


@pytest.mark.parametrize(("source", "names"), EXPENSIVE.values(), ids=EXPENSIVE)
def test_an_expensive_template_is_an_invalid_request_that_names_the_filter(source: str, names: str) -> None:
    with bounded_memory(), pytest.raises(InvalidRequest, match=names):
        render(source, FACTS)


@pytest.mark.parametrize(
    "source",
    [
        "{{ (1..20000000) | slice: 0, 19999999 | size }}",
        "{% for i in (1..100001) %}{% endfor %}",
        "{% for a in (1..1000) %}{% for b in (1..1000) %}x{% endfor %}{% endfor %}",
        "{% if contact.first_name %}{{ (1..999999999) | join }}{% endif %}",
        "{% for a in (1..60000) %}{% endfor %}{% for a in (1..60000) %}{% endfor %}",
    ],
)
def test_what_is_known_to_exceed_the_budget_is_refused_at_publication(source: str) -> None:
    problem = check(source)
    assert problem is not None
    assert "100,000" in problem


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{% for a in (1..1000) %}{% for b in (1..99) %}{% endfor %}{% endfor %}", ""),
        ("{% for a in (1..9000) %}{% if a == 1 %}{% for b in (1..9000) %}{% endfor %}{% endif %}{% endfor %}", ""),
        ("{% for a in (1..100000) limit: 3 %}{{ a }}{% endfor %}", "123"),
        ("{{ payload.rows | map: 'n' | uniq | join: ', ' | truncate: 10 }}", "0, 1, 2..."),
        ("{{ contact.first_name | append: '!' | upcase }}", "ADA!"),
    ],
)
def test_a_template_within_the_budget_is_rendered(source: str, text: str) -> None:
    assert check(source) is None
    assert render(source, FACTS) == text


def test_cpu_time_that_no_count_bounds_is_a_timeout_that_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_budget, "MAX_CPU_SECONDS", 0.0)
    source = "{% for a in (1..3) %}{% if true %}{% endif %}{% endfor %}"
    with pytest.raises(ProviderTimeout, match="CPU time") as error:
        render(source, FACTS)
    assert error.value.retryable


FRAGMENTS = (
    "<p>a</p>", "<script>x<b></SCRIPT>y", "<style>a</style>b", "<!-- a > b -->c", "a < b", "<a", "x<!--", "<script>", ""
)  # fmt: skip


@pytest.mark.parametrize(
    ("html", "text"),
    list(zip(FRAGMENTS, ("a", "y", "b", "c", "a < b", "<a", "x<!--", "", ""), strict=True)),
)
def test_strip_html_removes_markup_in_one_pass(html: str, text: str) -> None:
    assert render("{{ payload.html | strip_html }}", {"payload": {"html": html}}) == text


@pytest.mark.parametrize("mark", ["<", "<!--", "<script", "<style>", "<a <", "</", "<!", "&#", "<![CDATA["])
def test_strip_html_reads_hostile_markup_once(mark: str) -> None:
    html = mark * (500_000 // len(mark)) + ">"
    assert render("{{ payload.html | strip_html | size }}", {"payload": {"html": html}}).isdigit()


def test_uniq_keeps_the_first_of_equal_items() -> None:
    facts = {"payload": {"items": [1, {"a": 1}, "1", 1, {"a": 1}, [2], "1"], "rows": FACTS["payload"]["rows"]}}
    assert render("{{ payload.items | uniq | json }}", facts) == '[1,{"a":1},"1",2]'
    assert render("{{ payload.rows | uniq: 'n' | size }}", facts) == "50"


NAMES = st.sampled_from(sorted(ENVIRONMENT.filters))
VALUES = st.sampled_from(
    ["payload.text", "payload.words", "payload.wide", "payload.rows", "payload.deep", "payload.number", "x", "i",
     "'name'", "''", "' '", "'%Y'", "0", "-1", "99999", "2.5", "(1..9)", "(1..payload.number)", "(1..90000)", "nil"]
)  # fmt: skip
FILTERS = st.builds(
    lambda name, arguments: f"{name}: {', '.join(arguments)}" if arguments else name,
    NAMES, st.lists(VALUES, max_size=2),
)  # fmt: skip
EXPRESSIONS = st.builds(lambda value, filters: " | ".join([value, *filters]), VALUES, st.lists(FILTERS, max_size=3))
LEAVES = st.one_of(
    EXPRESSIONS.map("{{{{ {} }}}}".format), EXPRESSIONS.map("{{% assign x = {} %}}".format), st.just("text ")
)
TEMPLATES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds("{{% for i in {} %}}{}{{% endfor %}}".format, VALUES, inner),
        st.builds("{{% tablerow i in {} cols: 2 %}}{}{{% endtablerow %}}".format, VALUES, inner),
        st.builds("{{% if {} contains {} %}}{}{{% endif %}}".format, VALUES, VALUES, inner),
        st.builds("{{% capture x %}}{}{{% endcapture %}}".format, inner),
        st.lists(inner, min_size=2, max_size=3).map("".join),
    ),
    max_leaves=6,
)


def assert_bounded(source: str, form: Form) -> None:
    """Render a template: it gives a text or one of the two errors, within the bound of memory."""
    source = f"{{% assign x = 'ab' %}}{source}"
    with bounded_memory(), suppress(InvalidRequest, ProviderTimeout):
        assert len(render(source, {**FACTS, "i": 1}, form=form)) <= template_budget.MAX_MADE_BYTES


@given(source=TEMPLATES, form=st.sampled_from(get_args(Form)))
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)
def test_no_template_exceeds_the_bounds(source: str, form: Form) -> None:
    assert_bounded(source, form)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@given(source=TEMPLATES, form=st.sampled_from(get_args(Form)))
@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck), database=None)
def test_of_ten_thousand_templates_none_exceeds_the_bounds(source: str, form: Form) -> None:
    assert_bounded(source, form)
