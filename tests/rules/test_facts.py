"""The variables: a known field is present, possibly null; an unknown one is missing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

from rules.facts import build_contact_facts, build_facts, build_trigger_facts
from rules.scope import AT_STEPS, CONTACT
from rules.templating import render

ROW = {"id": UUID(int=1), "first_name": "Ada", "email": None, "tags": None, "attributes": None, "workspace_id": 7}
NOW = datetime(2026, 5, 4, 12, 0, 0, 5, tzinfo=timezone(timedelta(hours=2)))


def build_variables() -> dict[str, object]:
    return build_facts(
        contact=ROW,
        payload=None,
        finished={"write": {"text": "hi"}},
        automation={"id": UUID(int=2), "name": "Welcome"},
        execution={"id": UUID(int=3)},
        now=NOW,
    )


def test_a_contact_has_every_field_of_the_language_and_no_other() -> None:
    assert set(build_contact_facts(ROW)) == set(CONTACT)
    assert build_contact_facts(ROW)["id"] == str(UUID(int=1))
    assert build_contact_facts(ROW)["tags"] == []
    assert build_contact_facts(ROW)["attributes"] == {}
    full = build_contact_facts({**ROW, "tags": ("a", "b"), "attributes": {"plan": "pro"}})
    assert (full["tags"], full["attributes"]) == (["a", "b"], {"plan": "pro"})


def test_the_roots_match_validation_and_all_values_are_json() -> None:
    assert set(build_variables()) == AT_STEPS.roots
    assert json.loads(json.dumps(build_variables())) == build_variables()


def test_the_automation_the_execution_and_the_payload_are_named() -> None:
    variables = build_variables()
    assert variables["automation"] == {"id": str(UUID(int=2)), "name": "Welcome"}
    assert variables["execution"] == {"id": str(UUID(int=3)), "follow_up": 0}
    assert variables["payload"] == {}
    with_payload = build_facts(
        contact=ROW, payload={"a": 1}, finished={}, automation={"id": "x", "name": "y"},
        execution={"id": "e", "follow_up": 2}, now=NOW,
    )  # fmt: skip
    assert with_payload["payload"] == {"a": 1}
    assert with_payload["execution"] == {"id": "e", "follow_up": 2}


def test_now_is_a_string_in_utc() -> None:
    assert build_variables()["now"] == "2026-05-04T10:00:00Z"


def test_the_variables_render_in_a_template() -> None:
    source = "{{ contact.first_name }}{{ contact.email }} {{ steps.write.text }} {{ execution.follow_up }}"
    assert render(source, build_variables()) == "Ada hi 0"


def test_a_trigger_has_no_steps_and_no_execution() -> None:
    early = build_trigger_facts(
        contact=ROW, payload={"a": 1}, automation={"id": "x", "name": "y"}, now=datetime.now(UTC)
    )
    assert set(early) == {"contact", "payload", "automation", "now"}
    assert (early["payload"], early["automation"]) == ({"a": 1}, {"id": "x", "name": "y"})
