"""A sample event starts its automation, and its texts can be rendered; sample contacts fit the rules and are unique."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from models.demo.examples import EXAMPLES
from rules import contacts, samples
from rules.conditions import evaluate
from rules.definition import parse
from rules.facts import build_trigger_facts
from rules.matching import Match, match
from rules.samples import iter_steps
from rules.templating import render_value
from rules.variable_uses import VariableUse, list_in_condition, list_in_template

NOW = datetime(2026, 5, 4, tzinfo=UTC)
#: Conditions that a sample must meet, each with a kind of comparison.
CONDITIONS = [
    "payload.amount > 100",
    "payload.amount >= 100 and payload.amount < 101",
    "100 < payload.amount and payload.amount <= 150.5",
    "payload.plan == 'pro'",
    "'pro' == payload.plan",
    "payload.plan != 'pro' and payload.plan != 'sample'",
    "payload.tags contains 'lead' and payload.tags contains 'vip'",
    "payload.vip",
    "not payload.vip",
    "(not payload.vip) and payload.plan == 'pro'",
    "not (payload.amount > 10)",
    "payload.vip == true or payload.amount == 3",
    "payload.refund == false",
    "payload.coupon != nil",
    "payload.coupon != blank",
    "payload.coupon == empty",
    "payload.items.size > 2",
    "payload.items[0].price >= 5",
    "payload.items.first.title == 'Shoe'",
    "'monday tuesday' contains payload.day",
    "payload.customer.address.country == 'IT'",
    "payload.name > 'm'",
    "payload.amount > 100 and contact.tags contains 'lead'",
    "contact.attributes.age >= 18 and contact.attributes.country != 'US'",
]


def build(condition: str, *texts: str, trigger: dict[str, Any] | None = None) -> dict[str, Any]:
    steps = [
        {"id": f"s{number}", "action": "notify", "with": {"channel": "slack", "text": text}}
        for number, text in enumerate(texts)
    ]
    return {"trigger": {"type": "invoice.overdue", **(trigger or {}), "where": condition}, "steps": steps}


def build_facts(definition: dict[str, Any]) -> dict[str, Any]:
    contact = {"id": "c", **samples.build_contacts(1, definition)[0]}
    automation = {"id": "a", "name": "x"}
    return build_trigger_facts(
        contact=contact, payload=samples.build_payload(definition), automation=automation, now=NOW
    )


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_sample_meets_the_condition_of_its_trigger(condition: str) -> None:
    definition = build(condition)
    assert evaluate(condition, build_facts(definition)) is True


@pytest.mark.parametrize(
    "text",
    [
        "{{ payload.order.number }} for {{ payload.customer.name }}",
        "{{ payload.amount | times: 2 | round }} {{ payload.tax | plus: payload.shipping }}",
        "{{ payload.due_at | date: '%d %B' }}",
        "{% for item in payload.items %}{{ item.title }} {{ item.price | times: item.count }}{% endfor %}",
        "{% if payload.total > 100 and payload.vip %}{{ payload.gift }}{% else %}{{ payload.hint }}{% endif %}",
        "{{ payload.tags | join: ', ' }} {{ payload.tags.size }}",
        "{{ payload.lines[0].sku }} {{ payload.lines.last.sku }}",
        "{{ contact.attributes.plan }} {{ contact.first_name }}",
        "{% assign rest = payload.amount | minus: payload.paid %}{{ rest }}",
        "{% for order in payload.orders %}{% for line in order.lines %}{{ line.name }}{% endfor %}{% endfor %}",
    ],
)  # fmt: skip
def test_every_variable_of_a_text_has_a_value_that_renders(text: str) -> None:
    facts = build_facts(build("true", text))
    rendered = render_value(text, facts)
    assert str(rendered).strip()


def test_a_comment_has_the_keyword_and_one_of_the_posts() -> None:
    trigger = {"type": "instagram.comment", "with": {"posts": ["178"], "keywords": ["spring"]}}
    definition = build("payload.comment.text contains 'price'", trigger=trigger)
    payload = samples.build_payload(definition)
    assert match(parse(definition).trigger, payload) is Match.KEYWORD
    assert payload["comment"]["media_id"] == "178"
    assert "price" in payload["comment"]["text"]
    assert payload["comment"]["id"]
    assert payload["comment"]["from"]["username"]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_the_sample_event_of_every_example_matches_its_trigger(example: Any) -> None:
    payload = samples.build_payload(example.definition)
    assert match(parse(example.definition).trigger, payload) is not Match.NO
    assert samples.find_payload_problems(example.definition, payload) == []


@pytest.mark.parametrize("type_", ["instagram.story_reply", "instagram.message", "facebook.message"])
def test_a_message_has_the_keyword_and_a_story_reply_its_story(type_: str) -> None:
    definition = {"trigger": {"type": type_, "with": {"keywords": ["price"]}}, "steps": []}
    payload = samples.build_payload(definition)
    assert match(parse(definition).trigger, payload) is Match.KEYWORD
    assert ("story" in payload) == (type_ == "instagram.story_reply")


def test_an_edited_event_with_a_wrong_type_is_refused_by_field() -> None:
    definition = {"trigger": {"type": "instagram.comment"}, "steps": []}
    problems = samples.find_payload_problems(definition, {"comment": {"id": 7, "text": None, "from": "ada"}})
    assert [(problem.path, problem.message) for problem in problems] == [
        ("comment.id", "must be a string, not a number"),
        ("comment.text", "is required"),
        ("comment.from", "must be an object, not a string"),
    ]
    assert [problem.path for problem in samples.find_payload_problems(definition, {})] == ["comment"]


def test_sample_contacts_are_unique_and_have_every_address() -> None:
    people = samples.build_contacts(100, build("true"))
    for name in ("email", "phone", "facebook_id", "instagram_id", "external_id", "username"):
        assert len({person[name] for person in people}) == 100
    assert people == samples.build_contacts(100, build("true"))
    assert len({(person["first_name"], person["last_name"]) for person in people}) == 100
    assert all(contacts.normalise_email(person["email"]) == person["email"] for person in people)
    assert all(contacts.normalise_phone(person["phone"]) == person["phone"] for person in people)


def test_a_series_of_its_own_shares_no_address() -> None:
    own, other = samples.build_contacts(3, build("true"), 12345678), samples.build_contacts(3, build("true"))
    for name in ("email", "phone", "facebook_id", "instagram_id", "external_id"):
        assert {person[name] for person in own}.isdisjoint(person[name] for person in other)
    assert all(contacts.normalise_phone(person["phone"]) == person["phone"] for person in own)


def test_sample_contacts_have_the_tags_that_the_rules_ask_for() -> None:
    definition = {**build("contact.tags contains 'vip'"), "rules": {"tags": {"all": ["lead"], "none": ["sample"]}}}
    assert samples.build_contacts(1, definition)[0]["tags"] == ["lead", "vip"]


def test_uses_name_the_comparison_and_resolve_loops() -> None:
    assert list_in_condition("payload.amount > 100") == [VariableUse(("payload", "amount"), "gt", 100)]
    assert list_in_condition("not a valid (") == []
    assert list_in_template("{% for item in payload.items %}{{ item.name }}{% endfor %}") == [
        VariableUse(("payload", "items"), "list"),
        VariableUse(("payload", "items", 0, "name"), "text"),
    ]


def test_steps_are_walked_within_every_arm() -> None:
    inner = {"id": "inner", "action": "stop"}
    steps = [
        {"id": "fork", "action": "branch", "if": "true", "then": [inner], "else": [inner]},
        {"id": "split", "action": "split", "with": {"variants": [{"name": "a", "steps": [inner]}]}},
        {"id": "wait", "action": "wait_until", "with": {"then": [inner]}},
    ]
    assert [step["id"] for step in iter_steps(steps)] == ["fork", "inner", "inner", "split", "inner", "wait", "inner"]
