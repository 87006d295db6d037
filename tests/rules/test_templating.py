"""Templates are strict about names, tolerant of nulls, and bounded in cost."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.errors import InvalidRequest
from rules.templating import MAX_LENGTH, check, list_variables, render, render_value

FACTS: dict[str, Any] = {
    "contact": {"first_name": None, "last_name": "Byron", "tags": ["a", "b"], "attributes": {"plan": "pro"}},
    "payload": {"amount": 3, "text": "<b>", "items": [{"name": "x"}, {"name": "y"}]},
    "now": "2026-05-04T22:30:00Z",
}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("no gap", "no gap"),
        ("{{ contact.last_name }}", "Byron"),
        ("[{{ contact.first_name }}]", "[]"),
        ('{{ contact.first_name | default: "there" }}', "there"),
        ('{{ contact.attributes.unknown | default: "x" }}', "x"),
        ("{% if contact.attributes.unknown %}a{% else %}b{% endif %}", "b"),
        ("{% if payload.amount > 2 and contact.tags contains 'a' %}yes{% endif %}", "yes"),
        ("{% for one in payload.items %}{{ one.name }}{% endfor %}", "xy"),
        ("{{ contact.tags | join: ', ' }}", "a, b"),
        ("{{ payload.items | json }}", '[{"name":"x"},{"name":"y"}]'),
        ('{{ now | date: "%d.%m. %H:%M" }}', "04.05. 22:30"),
        ('{{ "now" | date: "%d.%m. %H:%M", "Europe/Rome" }}', "05.05. 00:30"),
        ('{{ "soon" | date: "%Y" }}', "soon"),
        ('{{ 86400 | date: "%Y-%m-%d %H:%M" }}', "1970-01-02 00:00"),
        ('{{ "2026-05-04T09:00:00" | date: "%H:%M", "Europe/Rome" }}', "11:00"),
        ('{{ "2026-05-04T09:00:00+02:00" | date: "%H:%M" }}', "07:00"),
        ("{{ payload.amount | times: 3 }}", "9"),
        ("{{ 'abab' | replace: 'a', 'x' }}", "xbxb"),
        ("{{ payload.text }}", "<b>"),
    ],
)
def test_variables_are_rendered(source: str, text: str) -> None:
    assert check(source) is None
    assert render(source, FACTS) == text


def test_html_escapes_inserted_values_but_not_the_template() -> None:
    assert render("<p>{{ payload.text }}</p>", FACTS, form="html") == "<p>&lt;b&gt;</p>"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("{{ contact.attributes.colour }}", "contact.attributes.colour"),
        ("{{ payload.sum | upcase }}", "payload.sum"),
        ("{{ nobody }}", "nobody"),
        ("{% for one in payload.rows %}{% endfor %}", "payload.rows"),
        ("{{ payload.when | date: '%Y' }}", "payload.when"),
        ("{{ payload.sum | json }}", "payload.sum"),
    ],
)
def test_a_missing_variable_fails_with_its_name(source: str, name: str) -> None:
    with pytest.raises(InvalidRequest, match=name):
        render(source, FACTS)


@pytest.mark.parametrize(
    "source",
    [
        "{{ a",
        "{% if a %}",
        "{{ a b }}",
        "{{ a | nope }}",
        "{% nope %}",
        "{% include 'x' %}",
        "{% render 'x' %}",
        "x" * (MAX_LENGTH + 1),
    ],
)
def test_an_invalid_template_is_rejected(source: str) -> None:
    assert check(source)


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in (1..100000000) %}x{% endfor %}",
        "{{ (1..100000000) | join }}",
        "{% assign x = 'ab' %}{% for i in (1..60) %}{% assign x = x | append: x %}{% endfor %}",
        "{% assign x = 99 %}{% for i in (1..60) %}{% assign x = x | times: x %}{% endfor %}{{ x }}",
        "{% capture x %}{% for i in (1..5000) %}aaaaaaaaaa{% endfor %}{% endcapture %}{{ x | replace: 'a', x }}",
        "{% for i in (1..90000) %}" + "{{ payload.items }}" * 9 + "{% endfor %}",
        "{{ payload.amount | divided_by: 0 }}",
        "{{ 'x' | append }}",
        "{% if payload.text > 3 %}{% endif %}",
    ],
)
def test_an_expensive_or_impossible_template_fails_the_step(source: str) -> None:
    with pytest.raises(InvalidRequest):
        render(source, FACTS)


def test_only_global_variables_are_listed() -> None:
    source = (
        "{% assign a = contact.id %}{% for one in payload.items %}{{ one.name }}{{ a }}{% endfor %}{{ steps.x['y'] }}"
    )
    assert sorted(map(str, list_variables(source))) == [
        "['contact', 'id']",
        "['payload', 'items']",
        "['steps', 'x', 'y']",
    ]


def test_every_string_within_a_json_value_is_rendered() -> None:
    value = {"a": "{{ contact.last_name }}", "b": [1, None, "{{ payload.amount }}"], "{{ c }}": True}
    assert render_value(value, FACTS) == {"a": "Byron", "b": [1, None, "3"], "{{ c }}": True}


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="{}%|.: '\"abfor1ifendcontact=", max_size=50))
def test_any_text_renders_or_fails_as_a_step(source: str) -> None:
    with contextlib.suppress(InvalidRequest):
        assert isinstance(render(source, FACTS), str)
