"""Every route of the API, from one table: who is let in, and what none of them takes."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from dashboard.api import operations
from dashboard.resource import Operation
from models import api_key
from models.api_key import SCOPES
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


@pytest.mark.parametrize("one", GUARDED, ids=named)
def test_without_a_key_nobody_is_let_in(one: Operation, alice: Producer, client: FlaskClient) -> None:
    for headers in ({}, {"Authorization": "Bearer bk_nonsense"}, {"Authorization": "Basic eDp5"}):
        answer = client.open(path_of(one, alice), method=one.method, headers=headers, **given(one))
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.mimetype == "application/problem+json"


@pytest.mark.parametrize("one", GUARDED, ids=named)
def test_a_key_without_the_scope_is_refused(one: Operation, alice: Producer) -> None:
    weak = api_key.issue(alice.workspace_id, "weak", [scope for scope in SCOPES if scope != one.permission])
    answer = Producer(alice.client, alice.workspace_id, weak.secret).ask(one.method, path_of(one, alice), **given(one))
    assert answer.status_code == 403


@pytest.mark.parametrize("one", WITH_ID, ids=named)
def test_an_id_that_is_none_or_is_nobodys_is_404(one: Operation, alice: Producer) -> None:
    for part in ("nonsense", "1", "a" * 300, "%00", SOMEBODY):
        answer = alice.ask(one.method, path_of(one, alice, part), **given(one))
        assert answer.status_code == 404, part


@pytest.mark.parametrize("one", [one for one in GUARDED if "{workspace_id}" in one.path], ids=named)
def test_another_workspaces_path_is_404(one: Operation, alice: Producer, charlie: Producer) -> None:
    assert charlie.ask(one.method, path_of(one, alice), **given(one)).status_code == 404


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
