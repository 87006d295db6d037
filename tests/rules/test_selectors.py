"""Which texts are CSS selectors, and which elements they ask for."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.selectors import check_selector, list_named_elements


@pytest.mark.parametrize(
    "selector",
    [
        "h1", "*", ".hero-title", "#main", "h1.hero-title", "a.plan-cta", "div > a + b ~ i", "a, b", "a,b",
        "[data-a]", "[data-a=b]", "a[href^='https://x/']", '[title="a b" i]', "a[ b ~= c ]", "li:nth-child(2n + 1)",
        ":not(.a, .b)", ":is(h1, h2) .c", "section:has(> img)", "a:hover", "svg|a", "*|a", ".größe", r".\31 0",
        r"#a\:b", ".-x", ".--y", "main section:first-of-type p:last-child", "  h1  ",
    ],
)  # fmt: skip
def test_a_css_selector_is_accepted(selector: str) -> None:
    assert check_selector(selector) is None


@pytest.mark.parametrize(
    "selector",
    [
        "", " ", "a >", "> a", "a,", ", a", "a, , b", "..a", "#", ".", ".1a", "a[", "a[]", "a[b", "a[b=]", "a[b='c]",
        "a:", "a::before", "p::first-line", "a:not(", "a:not()", "a)", "a{color:red}", "a;b", "<b>", "a@b", "//a",
        "xpath=//h1", "a:contains('x')", "li:eq(2)", "a\nb", "a/b", "$('.a')", "&", ":not(" * 9 + "a" + ")" * 9,
    ],
)  # fmt: skip
def test_what_no_browser_selects_by_is_refused(selector: str) -> None:
    assert str(check_selector(selector)).startswith("is not a CSS selector: ")


@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_long_value_with_escapes_and_without_an_end_is_refused_at_once(quote: str) -> None:
    assert check_selector(f"[a={quote}" + r"\aaaaaa" * 100) == "is not a CSS selector: expected a value after ="


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("h1", {"h1"}), ("div > A.b", {"a"}), (".x", set()), ("script", {"script"}), ("SCRIPT", {"script"}),
        (r"\73 cript", {"script"}), (r"s\63ript", {"script"}), ("svg|script", {"script"}), ("*|script", {"script"}),
        ("a, b script", {"a", "script"}), (":is(script, b)", {"script", "b"}), (":where(:is(script))", {"script"}),
        ("script .x", set()), (":not(script)", set()), ("div:has(script)", {"div"}), ("[src=script]", set()),
    ],
)  # fmt: skip
def test_a_selector_names_the_elements_that_it_selects(selector: str, names: set[str]) -> None:
    assert check_selector(selector) is None
    assert list_named_elements(selector) == names


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40) | st.text(alphabet="ab.#[]()='\" >+~,:*|\\-1", max_size=40))
def test_any_text_is_checked_without_an_exception(text: str) -> None:
    fault = check_selector(text)
    assert fault is None or fault.startswith("is not a CSS selector")
