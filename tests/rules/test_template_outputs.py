"""Inserted values are escaped for the form of their text; the template's own markup is not."""

from __future__ import annotations

from typing import Any

import pytest

from rules.errors import InvalidRequest
from rules.json_text import load_json
from rules.templating import render, render_json, render_json_value

FACTS: dict[str, Any] = {
    "contact": {"first_name": 'Ada "the\n\\Countess', "last_name": None},
    "payload": {"amount": 3.5, "count": 4, "paid": False, "none": None, "tags": ["a", 'b"'], "sum": {"eur": 1}},
    "x": {"text": "<!channel> & <b>"},
}
NAME = FACTS["contact"]["first_name"]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<!here> {{ x.text }}", "<!here> &lt;!channel&gt; &amp; &lt;b&gt;"),
        ("<https://x.io|{{ x.text | upcase }}>", "<https://x.io|&lt;!CHANNEL&gt; &amp; &lt;B&gt;>"),
        ("{% capture c %}<{{ x.text }}>{% endcapture %}{{ c }}", "&lt;&lt;!channel&gt; &amp; &lt;b&gt;&gt;"),
        ("{% echo x.text %}", "&lt;!channel&gt; &amp; &lt;b&gt;"),
        ("{% liquid echo x.text %}", "&lt;!channel&gt; &amp; &lt;b&gt;"),
        ("{% for t in payload.tags %}{% ifchanged %}{{ x.text }}{% endifchanged %}{% endfor %}",
         "&lt;!channel&gt; &amp; &lt;b&gt;"),
        ('"{{ payload.count }}"', '"4"'),
    ],
)  # fmt: skip
def test_slack_gets_escaped_values_and_the_templates_own_markup(source: str, text: str) -> None:
    assert render(source, FACTS, form="slack") == text


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ('{"name": "{{ contact.first_name }}"}', {"name": NAME}),
        ('{"name": {{ contact.first_name }}}', {"name": NAME}),
        ('{"name": {{ contact.first_name | json }}}', {"name": NAME}),
        ('{"name": "Hi {{ contact.first_name }}!", "n": {{payload.count}}}', {"name": f"Hi {NAME}!", "n": 4}),
        ('[{{ payload.amount }}, {{ payload.paid }}, {{ payload.none }}]', [3.5, False, None]),
        ('[{{ payload.tags }}, {{ payload.sum }}, "{{ contact.last_name }}"]', [["a", 'b"'], {"eur": 1}, ""]),
        ('{"n": {{ payload.count | plus: 1 }}, "q": "\\"{{ payload.paid }}"}', {"n": 5, "q": '"false'}),
        ('[{% for t in payload.tags %}"{{ t }}"{% unless forloop.last %},{% endunless %}{% endfor %}]', ["a", 'b"']),
        ('{% capture c %}{{ contact.first_name }}{% endcapture %}["{{ c }}", {{ c }}]', [NAME, NAME]),
        ('{"a": "{% echo contact.first_name %}", "b": {% echo payload.count %}}', {"a": NAME, "b": 4}),
        ('{"a": {% if payload.paid %}1{% else %}"{{ contact.first_name }}"{% endif %}}', {"a": NAME}),
    ],
)  # fmt: skip
def test_values_in_a_json_text_keep_their_types_and_cannot_break_it(source: str, value: object) -> None:
    assert load_json(render_json(source, FACTS)) == value


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("amount={{ payload.amount }}", "amount=3.5"),
        ("{{ contact.first_name }}", NAME),
        ("{% if payload.count %}{{ contact.first_name }}{% endif %}", NAME),
        ("<a>{{ x.text }}</a>", "<a><!channel> & <b></a>"),
    ],
)
def test_a_text_that_is_no_json_gets_its_values_as_they_are(source: str, text: str) -> None:
    assert render_json(source, FACTS) == text


def test_a_field_that_is_one_output_gets_the_outputs_value() -> None:
    body = {
        "amount": "{{ payload.amount }}", "paid": " {{ payload.paid }} ", "none": "{{ payload.none }}",
        "tags": ["{{ payload.tags }}"], "name": "{{ contact.first_name }}", "text": "n: {{ payload.count }}",
        "two": "{{ payload.count }}{{ payload.count }}", "fixed": 7,
    }  # fmt: skip
    assert render_json_value(body, FACTS) == {
        "amount": 3.5, "paid": False, "none": None, "tags": [["a", 'b"']], "name": NAME, "text": "n: 4",
        "two": "44", "fixed": 7,
    }  # fmt: skip


@pytest.mark.parametrize("source", ['{"a": {{ payload.nothing }}}', '{"a": "{{ payload.nothing }}"}'])
def test_an_unknown_variable_in_json_is_named(source: str) -> None:
    with pytest.raises(InvalidRequest, match=r"payload\.nothing"):
        render_json(source, FACTS)
