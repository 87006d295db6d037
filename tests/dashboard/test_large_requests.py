"""Large requests are parsed in a native thread, so that the process goes on to answer others meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.dashboard.producers import Producer, definition
from tests.dashboard.test_access import add_person, read_token, sign_in


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of the arguments that were computed in a native thread."""
    lengths: list[int] = []

    def compute(function: Callable[..., Any], *arguments: Any) -> Any:
        lengths.append(len(arguments[0]))
        return function(*arguments)

    for module in ("bodies", "api.automations", "pages.automation_form"):
        monkeypatch.setattr(sys.modules[f"dashboard.{module}"], "compute", compute)
    return lengths


def test_only_a_large_body_is_parsed_in_a_native_thread(alice: Producer, computed: list[int]) -> None:
    assert alice.post("/api/triggers", {"type": "a", "payload": {"text": "x" * 60_000}}).status_code == 202
    assert computed == []
    assert alice.post("/api/triggers", {"type": "a", "payload": {"text": "x" * 70_000}}).status_code == 202
    assert len(computed) == 1
    response = alice.post("/api/triggers", {"type": "a", "payload": {"text": "x" * 70_000 + "\0"}})
    assert [problem["path"] for problem in response.json["errors"]] == ["payload.text"]


def test_a_definition_is_validated_in_a_native_thread(alice: Producer, computed: list[int]) -> None:
    assert alice.post(f"{alice.automations}/validate", {"definition": definition()}).json["valid"] is True
    assert len(computed) == 1


def test_the_text_of_an_automation_is_checked_in_a_native_thread(
    alice: Producer, client: FlaskClient, computed: list[int]
) -> None:
    add_person(alice.workspace_id, "operator")
    sign_in(client)
    token = read_token(client.get("/automations/new").text)
    form = {"csrf_token": token, "name": "Welcome", "type": "workflow", "text": "a: [1"}
    assert "line 1, column 6" in client.post("/automations/check", data=form).text
    assert computed == [len("a: [1")]
