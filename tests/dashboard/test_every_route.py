"""Every route of the API: what none of them takes. Who is let in is in `test_route_access.py`."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dashboard.api import operations
from dashboard.resource import Operation
from models.database import acting_as, row
from tests.dashboard.cast import Producer, definition

OPERATIONS = operations()
GUARDED = [one for one in OPERATIONS if one.permission]
WITH_BODY = [one for one in OPERATIONS if one.body is not None]
WITH_QUERY = [one for one in OPERATIONS if one.query is not None]
WITH_ID = [one for one in GUARDED if re.search(r"{(?!workspace_id)\w+}", one.path)]
SOMEBODY = "01a00000-0000-7000-8000-000000000000"

#: A body that each route would take, as far as its shape goes.
BODIES: dict[str, Any] = {
    "Trigger": {"type": "a"},
    "Batch": {"triggers": [{"type": "a"}]},
    "TestTrigger": {},
    "NewAutomation": {"name": "n", "definition": definition()},
    "ChangedAutomation": {"name": "n"},
    "Judged": {"definition": {}},
    "Bulk": {},
    "Resolution": {"as": "sent"},
    "Review": {"decision": "approve"},
    "WantedModel": {"provider": "gemini"},
    "ContactFields": {"firstName": "Ada"},
    "Suppressed": {"channel": "email"},
    "NewInvitation": {"email": "new@example.com", "role": "viewer"},
    "ChangedMember": {"role": "viewer"},
    "NewKey": {"name": "n", "scopes": ["read"]},
    "Import": {"csv": "email\nada@example.com"},
    "WantedSwitches": {"statsInApi": True},
}


def named(one: Operation) -> str:
    return f"{one.method} {one.path}"


def path_of(one: Operation, producer: Producer, part: str = SOMEBODY) -> str:
    return re.sub(r"{\w+}", part, one.path.replace("{workspace_id}", producer.workspace_id))


def given(one: Operation) -> dict[str, Any]:
    return {} if one.body is None else {"json": BODIES[one.body.__name__]}


def counts(producer: Producer) -> Any:
    with acting_as(producer.workspace_id):
        return row(
            "select (select count(*) from triggers) t, (select count(*) from automations) a, "
            "(select count(*) from contacts) c, (select count(*) from api_keys) k, "
            "(select count(*) from operations) o, (select count(*) from invitations) i"
        )


@pytest.mark.parametrize("one", WITH_ID, ids=named)
def test_an_id_that_is_none_or_is_nobodys_is_404(one: Operation, alice: Producer) -> None:
    for part in ("nonsense", "1", "a" * 300, "%00", SOMEBODY):
        answer = alice.ask(one.method, path_of(one, alice, part), **given(one))
        assert answer.status_code == 404, part


@pytest.mark.parametrize("one", WITH_BODY, ids=named)
def test_bodies_that_cannot_be_right_are_refused_and_nothing_is_written(one: Operation, alice: Producer) -> None:
    before = counts(alice)
    path = path_of(one, alice)
    for raw, content_type, status in (
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"[]", "application/json", 422),
        (b'{"surprise": 1}', "application/json", 422),
        (b'{"name": "nul\\u0000"}', "application/json", 422),
        (b'{"payload": "\\udc00"}', "application/json", 422),
        (b"x" * (one.limit + 1), "application/json", 413),
    ):
        answer = alice.ask(one.method, path, data=raw, content_type=content_type)
        assert answer.status_code == status, raw[:30]
        assert answer.json["success"] is False
        if status == 422:
            assert answer.json["errors"]
    assert counts(alice) == before


@pytest.mark.parametrize("one", WITH_QUERY, ids=named)
def test_queries_that_cannot_be_right_are_refused(one: Operation, alice: Producer) -> None:
    for query in ("surprise=1", "limit=0", "limit=x", "limit=1&limit=2", "cursor=%00", "q=%07", "from=yesterday"):
        answer = alice.ask(one.method, f"{path_of(one, alice)}?{query}")
        assert answer.status_code == 422, query
        assert answer.json["errors"][0]["path"] == query.split("=")[0]


@pytest.mark.parametrize("one", OPERATIONS, ids=named)
def test_the_answer_to_the_right_person_is_never_a_server_error(one: Operation, alice: Producer) -> None:
    answer = alice.ask(one.method, path_of(one, alice), **given(one))
    assert answer.status_code < 500
    assert answer.headers["X-Request-Id"]
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"


def test_an_unknown_path_and_an_unknown_method_are_problem_documents(alice: Producer) -> None:
    missing, wrong = alice.get("/api/nothing"), alice.ask("DELETE", "/api/triggers")
    assert (missing.status_code, missing.mimetype) == (404, "application/problem+json")
    assert (wrong.status_code, wrong.headers["Allow"]) == (405, "OPTIONS, POST")
