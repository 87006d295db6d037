"""Which definitions can be published, and the problems of the others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.actions import ACTIONS
from rules.field_types import MAX_PROBLEMS
from rules.validation import validate

SMS = {"id": "sms", "action": "send_sms", "with": {"body": "hi"}}


def build_document(*steps: object, trigger: object = None, **more: object) -> dict[str, Any]:
    return {"trigger": trigger or {"type": "contact.created"}, "steps": list(steps) or [SMS], **more}


def find_problems(document: object, **options: str) -> dict[str, str]:
    return {problem.path: problem.message for problem in validate(document, **options)}


def build_step(action: str, id_: str = "one", **more: object) -> dict[str, Any]:
    return {"id": id_, "action": action, **more}


def test_the_smallest_workflow_is_valid() -> None:
    assert validate(build_document()) == []


@pytest.mark.parametrize("nothing", [None, [], "text", 3, True])
def test_a_definition_is_an_object(nothing: object) -> None:
    assert find_problems(nothing)[""].startswith("must be an object")


def build_split(count: int) -> dict[str, Any]:
    return build_step("split", variants=[{"name": f"v{number}", "steps": []} for number in range(count)])


def build_call(temperature: float = 1, headers: int = 0) -> list[dict[str, Any]]:
    names = {f"X-Header-{number}": "x" for number in range(headers)}
    return [
        build_step("generate_message", "write", **{"with": {"prompt": "x", "temperature": temperature}}),
        build_step("call_webhook", "call", **{"with": {"url": "https://example.com/", "headers": names}}),
    ]


@pytest.mark.parametrize(
    ("inside", "outside", "path"),
    [
        ([build_split(2)], [build_split(1)], "steps[0].variants"),
        ([build_split(20)], [build_split(21)], "steps[0].variants"),
        (build_call(temperature=2), build_call(temperature=2.1), "steps[0].with.temperature"),
        (build_call(temperature=0), build_call(temperature=-0.1), "steps[0].with.temperature"),
        (build_call(headers=20), build_call(headers=21), "steps[1].with.headers"),
    ],
)
def test_a_limit_is_the_last_value_that_is_valid(inside: list[Any], outside: list[Any], path: str) -> None:
    assert find_problems(build_document(*inside)) == {}
    assert set(find_problems(build_document(*outside))) == {path}


@pytest.mark.parametrize("name", ["a b", "", "x:y", "x\ny"])
def test_a_header_has_a_valid_name(name: str) -> None:
    step = build_step("call_webhook", "call", **{"with": {"url": "https://example.com/", "headers": {name: "x"}}})
    assert list(find_problems(build_document(step)).values()) == ["is not a valid header name"]


def test_a_missing_required_field_is_reported() -> None:
    assert find_problems({}) == {"trigger": "is required", "steps": "is required"}
    assert find_problems({"trigger": {"type": "x"}, "steps": []}) == {"steps": "must have at least one step"}


def test_a_problem_has_the_path_of_its_value() -> None:
    inner = build_step("notify", "inner", **{"with": {"channel": "fax", "text": "hi"}})
    fork = build_step("branch", "fork", **{"if": "true", "then": [inner]})
    assert find_problems(build_document(SMS, {**SMS, "id": "b"}, fork)) == {
        "steps[2].then[0].with.channel": 'unknown channel "fax"; known: discord, slack'
    }


@pytest.mark.parametrize(
    ("written", "path", "words"),
    [
        (build_document(extra=1), "extra", 'unknown field "extra"'),
        (
            build_document(build_step("send_emial")),
            "steps[0].action",
            'unknown action "send_emial"; did you mean "send_email"?',
        ),
        (build_document(build_step("stop", "a b")), "steps[0].id", "must have at most 64 letters"),
        (build_document(SMS, SMS), "steps[1].id", '"sms" is already the id of steps[0]'),
        (build_document("x"), "steps[0]", "must be an object, not a string"),
        (build_document({**SMS, "retry": {"max": 4}}), "steps[0].retry.max", "must be between 0 and 3"),
        (build_document({**SMS, "retry": {"max": True}}), "steps[0].retry.max", "must be a whole number"),
        (build_document({**SMS, "on_unknown": "drop"}), "steps[0].on_unknown", 'unknown on_unknown "drop"'),
        (build_document({**SMS, "if": "true"}), "steps[0].if", 'unknown field "if"'),
        (build_document({**SMS, "send_at": "soon"}), "steps[0].send_at", "must be a time of day"),
        (build_document({**SMS, "with": {"body": ""}}), "steps[0].with.body", "must not be empty"),
        (build_document({**SMS, "with": {"body": "a\0b"}}), "steps[0].with.body", "control characters"),
        (build_document({**SMS, "with": {"body": "\ud800"}}), "steps[0].with.body", "surrogate"),
        (build_document({**SMS, "with": {"body": "{{ a"}}), "steps[0].with.body", "is not a Liquid template"),
        (
            build_document({**SMS, "with": {"body": "{{ now | upcse }}"}}),
            "steps[0].with.body",
            'unknown filter "upcse"',
        ),
        (
            build_document(build_step("generate_message", **{"with": {"prompt": "x", "temperature": 3}})),
            "steps[0].with.temperature",
            "must be between 0 and 2",
        ),
        (build_document(build_step("wait", **{"with": {"for": "2x"}})), "steps[0].with.for", "must be a duration"),
        (
            build_document(build_step("wait", **{"with": {"for": "400d"}})),
            "steps[0].with.for",
            "must be between 1s and 365d",
        ),
        (
            build_document(build_step("call_webhook", **{"with": {"url": "ftp://x"}})),
            "steps[0].with.url",
            "http or https",
        ),
        (
            build_document(build_step("call_webhook", **{"with": {"url": "https://a:b@x"}})),
            "steps[0].with.url",
            "password",
        ),
        (
            build_document(build_step("send_email", **{"with": {"subject": "a\nBcc: b", "body": "x"}})),
            "steps[0].with.subject",
            "must be a single line",
        ),
        (build_document(build_step("update_contact")), "steps[0].with", "is required"),
        (build_document(build_step("update_contact", **{"with": {}})), "steps[0].with", "must have at least one of"),
        (build_document(build_step("branch", **{"if": "a ==", "then": []})), "steps[0].if", "is not a condition"),
        (
            build_document(build_step("split", variants=[{"name": "a", "steps": []}])),
            "steps[0].variants",
            "between 2 and 20",
        ),
        (build_document(rules={"daily_limit": "5"}), "rules.daily_limit", "must be a whole number, not a string"),
        (
            build_document(rules={"active_hours": {"start": "9:00", "end": "10:00"}}),
            "rules.active_hours.start",
            "time of day",
        ),
        (
            build_document(rules={"active_hours": {"start": "09:00", "end": "10:00", "timezone": "Rome"}}),
            "rules.active_hours.timezone",
            "is not a time zone",
        ),
        (build_document(trigger={"type": "a b"}), "trigger.type", "must be an event name"),
        (build_document(trigger={"type": "schedule"}), "trigger.with", "is required"),
        (build_document(trigger={"type": "schedule", "with": {"cron": "x"}}), "trigger.with.cron", "cron"),
        (build_document(trigger={"type": "instagram.coment"}), "trigger.type", 'did you mean "instagram.comment"?'),
        (build_document(trigger={"type": "x", "with": {"a": 1}}), "trigger.with.a", "unknown field"),
        (build_document({**SMS, "with": {"body": "x" * 300_000}}), "", "is larger than 256 KiB"),
    ],
)
def test_each_problem_is_reported_at_its_path(written: object, path: str, words: str) -> None:
    problems = find_problems(written)
    assert list(problems) == [path]
    assert words in problems[path]


def build_body_step(text: str) -> dict[str, Any]:
    return {**SMS, "with": {"body": text}}


@pytest.mark.parametrize(
    "text",
    [
        "{{ contact.first_name }} {{ contact.attributes.any.thing }} {{ payload.any }} {{ now }}",
        "{{ contact.tags[0] }} {{ contact.tags.size }} {{ contact[payload.key] }} {{ execution.follow_up }}",
        "{% assign mine = automation.name %}{{ mine }}",
    ],
)
def test_known_variables_are_valid(text: str) -> None:
    assert validate(build_document(build_body_step(text))) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{{ contact.frist_name }}", 'unknown variable "contact.frist_name"; did you mean "contact.first_name"?'),
        ("{{ contact.frist_name | default: 'x' }}", "contact.frist_name"),
        ("{{ contact.email.domain }}", 'unknown variable "contact.email.domain"'),
        ("{{ contcat.email }}", 'did you mean "contact"?'),
        ("{{ steps.nope.text }}", 'unknown variable "steps.nope"'),
        ("{{ steps.sms.text }}", 'unknown variable "steps.sms"'),
        ("{% if automation.nmae %}{% endif %}", "automation.nmae"),
    ],
)
def test_a_variable_that_cannot_exist_is_rejected(text: str, words: str) -> None:
    assert words in find_problems(build_document(build_body_step(text)))["steps[0].with.body"]


def test_a_step_sees_previous_steps_and_their_arms_but_not_the_other_arm() -> None:
    write = build_step("generate_message", "write", **{"with": {"prompt": "x"}})
    seen = {**build_body_step("{{ steps.write.text }}"), "id": "seen"}
    other = {**build_body_step("{{ steps.seen.x }}"), "id": "other"}
    after = {**build_body_step("{{ steps.seen.x }}{{ steps.other.x }}{{ steps.fork.taken }}"), "id": "after"}
    fork = build_step("branch", "fork", **{"if": "steps.write.text != ''", "then": [seen], "else": [other]})
    problems = find_problems(build_document(write, fork, after))
    assert list(problems) == ["steps[1].else[0].with.body"]


def test_the_fields_of_an_output_are_known_where_the_action_fixes_them() -> None:
    write = build_step("generate_message", "write", **{"with": {"prompt": "x"}})
    assert (
        'did you mean "steps.write.text"?'
        in find_problems(build_document(write, build_body_step("{{ steps.write.txt }}")))["steps[1].with.body"]
    )


def test_rules_and_triggers_see_no_steps_and_contact_selection_no_payload() -> None:
    assert "rules.where" in find_problems(build_document(rules={"where": "steps.a.b == 1"}))
    assert "trigger.where" in find_problems(build_document(trigger={"type": "x", "where": "execution.id == 1"}))
    trigger = {"type": "schedule", "with": {"cron": "0 9 * * *", "contacts": "payload.x == 1"}}
    assert "trigger.with.contacts" in find_problems(build_document(trigger=trigger))


def test_arms_may_be_beside_the_action_or_under_with_but_not_both() -> None:
    arm = [{**SMS, "id": "inner"}]
    waiting = {"event": "contact.replied", "timeout": "2d"}
    assert validate(build_document(build_step("wait_until", then=arm, **{"with": waiting}))) == []
    assert validate(build_document(build_step("wait_until", **{"with": {**waiting, "then": arm}}))) == []
    twice = build_step("wait_until", then=[], **{"with": {**waiting, "then": []}})
    assert find_problems(build_document(twice)) == {"steps[0].then": "is set both here and under with: remove one"}


def test_steps_are_at_most_a_hundred_and_eight_levels_deep() -> None:
    assert validate(build_document(*(build_step("stop", f"s{n}") for n in range(100)))) == []
    assert "at most 100" in find_problems(build_document(*(build_step("stop", f"s{n}") for n in range(101))))["steps"]
    assert validate(build_document(_build_nested(8))) == []
    assert any("deeper than 8" in message for message in find_problems(build_document(_build_nested(9))).values())


def _build_nested(levels: int) -> dict[str, Any]:
    inner = build_step("stop", "innermost")
    for level in range(levels - 1):
        inner = build_step("branch", f"level{level}", **{"if": "true", "then": [inner]})
    return inner


def test_hostile_nesting_is_rejected_before_any_traversal() -> None:
    deep: Any = {}
    for _ in range(50_000):
        deep = {"then": [deep]}
    assert "nested deeper" in validate(deep)[0].message


@pytest.mark.parametrize(
    ("type_", "fitting", "other"),
    [
        ("comment_to_dm", ["instagram.comment", "facebook.comment"], "instagram.message"),
        ("story_reply", ["instagram.story_reply"], "instagram.comment"),
        ("dm_responder", ["instagram.message", "facebook.message"], "contact.created"),
    ],
)
def test_an_automation_of_a_messaging_type_needs_its_own_trigger(type_: str, fitting: list[str], other: str) -> None:
    for trigger in fitting:
        assert validate(build_document(trigger={"type": trigger}), automation_type=type_) == []
        assert validate(build_document(trigger={"type": trigger})) == []
    problems = find_problems(build_document(trigger={"type": other}), automation_type=type_)
    assert problems == {"trigger.type": f"must be {' or '.join(fitting)} for this type of automation"}


def test_follow_ups_have_a_maximum_and_an_interval() -> None:
    assert (
        validate(build_document(rules={"follow_ups": {"max": 3, "every": "24h"}}), automation_type="ai_follow_up") == []
    )
    assert "rules.follow_ups.max" in find_problems(build_document(rules={"follow_ups": {"max": 21}}))


def test_any_message_to_the_contact_may_require_a_review() -> None:
    assert validate(build_document({**SMS, "review": True})) == []
    assert "steps[0].review" in find_problems(build_document({**SMS, "review": "yes"}))


_WORDS = st.sampled_from(
    [
        "trigger",
        "type",
        "rules",
        "steps",
        "id",
        "action",
        "with",
        "if",
        "then",
        "else",
        "variants",
        "name",
        "tags",
        "send_at",
    ]
)
_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from([*ACTIONS, "schedule", "{{ contact.x }}", "2h", "payload.a > 1", "\0", "\ud800"]),
)
_JSON = st.recursive(
    _VALUES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_WORDS | st.text(max_size=3), inner, max_size=6),
    max_leaves=30,
)


@settings(max_examples=300, deadline=None)
@given(_JSON)
def test_any_json_is_validated_without_an_exception(value: object) -> None:
    assert isinstance(validate(value), list)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(_WORDS, _JSON, max_size=6), _JSON, _JSON)
def test_any_step_is_validated_without_an_exception(more: dict[str, Any], trigger: object, rules: object) -> None:
    for action in ("branch", "split", "wait_until", "send_email", "call_webhook", "update_contact"):
        written = {"trigger": trigger, "rules": rules, "steps": [{"id": "a", "action": action, **more}]}
        assert all(problem.message for problem in validate(written))


def test_a_name_is_compared_with_the_known_ones_only_until_the_report_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    monkeypatch.setattr("rules.problems.get_close_matches", lambda name, *_, **__: compared.append(name) or [])
    sources = ["".join(f"{{{{ contact.x{step}y{number} }}}}" for number in range(300)) for step in range(10)]
    steps = [{"id": f"s{n}", "action": "send_sms", "with": {"body": text}} for n, text in enumerate(sources)]
    unknown = {f"field{number}": 1 for number in range(3000)}
    for document in ({"trigger": {"type": "a"}, "steps": steps}, {"trigger": {"type": "a"}, "steps": [], **unknown}):
        assert len(validate(document)) == MAX_PROBLEMS
        assert len(compared) <= MAX_PROBLEMS
        compared.clear()


def test_a_definition_has_a_bounded_number_of_values() -> None:
    assert [problem.message for problem in validate({"a": [1] * 10_000})] == ["has more than 10,000 values"]
