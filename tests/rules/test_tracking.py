"""Reported executions: every field is validated, and what cannot be stored is cleaned."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.body_json import BodyError
from rules.json_text import clean_json, dump_storable_json, has_unstorable
from rules.problems import Problem
from rules.tracking import (
    MAX_ACTIONS,
    MAX_CONFIG_BYTES,
    MAX_TIME_MS,
    TrackedAction,
    TrackedExecution,
    compute_max_report_values,
    parse_tracked_execution,
)
from rules.tracking_bodies import parse_report

WORKFLOW = "01A00000-0000-7000-8000-000000000000"
DOCUMENTED = {
    "workflowId": WORKFLOW, "userId": "user-456", "status": "success", "executionTimeMs": 250,
    "pageUrl": "https://example.com/pricing", "sessionId": "session-123", "deviceType": "desktop",
    "triggerName": "UTM Parameters",
    "actions": [
        {"name": "Replace Text", "selector": ".hero-title", "executionTimeMs": 45, "config": {"newText": "Special!"}}
    ],
}  # fmt: skip


def parse(**fields: Any) -> TrackedExecution:
    result = parse_tracked_execution({"workflowId": WORKFLOW, **fields}, "default")
    assert isinstance(result, TrackedExecution), result
    return result


def find_problems(path: str = "", **fields: Any) -> list[Problem]:
    result = parse_tracked_execution({"workflowId": WORKFLOW, **fields}, "default", path)
    return result if isinstance(result, list) else []


def test_the_documented_body_is_accepted_with_every_field() -> None:
    assert parse(**DOCUMENTED) == TrackedExecution(
        "default", WORKFLOW.lower(), "user-456", "success", 250, "https://example.com/pricing", "session-123",
        "desktop", "UTM Parameters", (TrackedAction("Replace Text", ".hero-title", 45, {"newText": "Special!"}, None),),
    )  # fmt: skip


def test_only_the_workflow_is_required_and_null_counts_as_absent() -> None:
    absent = parse()
    assert (absent.status, absent.user_id, absent.execution_time_ms, absent.actions) == ("success", None, None, ())
    optional = ("userId", "executionTimeMs", "pageUrl", "sessionId", "deviceType", "triggerName", "executionId")
    assert parse(**dict.fromkeys(optional)) == absent
    assert parse(userId="", sessionId="", triggerName="") == absent


def test_the_producers_id_is_kept() -> None:
    assert parse(executionId="exec-789").execution_id == "exec-789"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("workflowId", None, "must be a string, not null"),
        ("workflowId", "", "must not be empty"),
        ("workflowId", "x" * 65, "must have at most 64 characters"),
        ("executionId", "", "must not be empty"),
        ("executionId", "é", "contains characters that are not allowed here"),
        ("executionId", "x" * 256, "must have at most 255 characters"),
        ("userId", 7, "must be a string, not a number"),
        ("userId", "x" * 201, "must have at most 200 characters"),
        ("status", "done", "must be one of 'success', 'error' or 'timeout'"),
        ("status", None, "must be one of 'success', 'error' or 'timeout'"),
        ("executionTimeMs", -1, "must be at least 0"),
        ("executionTimeMs", MAX_TIME_MS + 1, f"must be at most {MAX_TIME_MS}"),
        ("executionTimeMs", "250", "must be a whole number, not a string"),
        ("executionTimeMs", True, "must be a whole number, not a boolean"),
        ("pageUrl", "javascript:alert(1)", "must be a URL that starts with http:// or https://"),
        ("pageUrl", "https://a.example/ x", "must be a URL that starts with http:// or https://"),
        ("pageUrl", "https://" + "x" * 4090, "must have at most 4096 characters"),
        ("sessionId", ["s"], "must be a string, not a list"),
        ("deviceType", "tv", "must be one of 'desktop', 'mobile' or 'tablet'"),
        ("triggerName", "x" * 201, "must have at most 200 characters"),
        ("actions", {}, "must be a list, not an object"),
        ("actions", [{"name": "a"}] * (MAX_ACTIONS + 1), f"must have at most {MAX_ACTIONS} entries"),
        ("workflowID", "x", 'unknown field "workflowID"; did you mean "workflowId"?'),
    ],
)
def test_each_field_is_validated(field: str, value: Any, message: str) -> None:
    assert find_problems(**{field: value}) == [Problem(field, message)]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", None, "must be a string, not null"),
        ("name", "", "must not be empty"),
        ("name", "x" * 201, "must have at most 200 characters"),
        ("selector", "x" * 1001, "must have at most 1000 characters"),
        ("executionTimeMs", -1, "must be at least 0"),
        ("config", [], "must be an object, not a list"),
        ("config", {"a": "x" * MAX_CONFIG_BYTES}, f"must have at most {MAX_CONFIG_BYTES} bytes as JSON"),
        ("error", "x" * 501, "must have at most 500 characters"),
        ("why", "", 'unknown field "why"'),
    ],
)
def test_each_field_of_an_action_is_validated(field: str, value: Any, message: str) -> None:
    actions = [{"name": "Show"}, {"name": "Hide", field: value}]
    assert find_problems("executions[3]", actions=actions) == [Problem(f"executions[3].actions[1].{field}", message)]


def test_a_config_is_nested_at_most_32_levels_deep() -> None:
    deep: dict[str, Any] = {}
    for _ in range(31):
        deep = {"a": deep}
    assert find_problems(actions=[{"name": "a", "config": deep}]) == []
    (problem,) = find_problems(actions=[{"name": "a", "config": {"a": [deep]}}])
    assert problem == Problem("actions[0].config", "is nested deeper than 32 levels")


def test_all_problems_are_reported_at_once() -> None:
    problems = find_problems(status="x", deviceType="y", actions=[{}])
    assert [problem.path for problem in problems] == ["status", "deviceType", "actions[0].name"]


@pytest.mark.parametrize("raw", [b'"\\u0000"', b'"\\ud800"', b'"\\uDC00"', b"[NaN]"])
def test_what_postgresql_cannot_store_is_recognised_in_raw_json(raw: bytes) -> None:
    assert has_unstorable(raw)


def test_a_body_of_many_values_is_recognised_before_it_is_parsed() -> None:
    with pytest.raises(BodyError, match="too many values"):
        parse_report(b"[" + b"[]," * 200_000 + b"0]", compute_max_report_values(1024 * 1024))
    assert len(parse_report(b"[" + b"{}," * 100 + b"{}]", compute_max_report_values(60 * 1024))) == 101


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec=None)), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([*DOCUMENTED, "executionId", "name", "config", "error", "x"])


@given(st.dictionaries(NAMES, JSON | st.lists(st.dictionaries(NAMES, JSON, max_size=4), max_size=3)))
def test_any_json_is_an_execution_that_can_be_stored_or_has_problems(value: dict[str, Any]) -> None:
    result = parse_tracked_execution(clean_json({"workflowId": WORKFLOW, **value}), "default")
    if isinstance(result, list):
        assert result
        assert all(problem.message for problem in result)
    else:
        stored = dump_storable_json(result)
        assert "\\u0000" not in stored
        assert stored.encode()
