"""The audit log: every change has an entry with who, what, before and after; filters, pages and an export show them."""

from __future__ import annotations

import ast
import csv
import io
import re
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

import clock
import settings
from models import audit
from models.audit import AuditActor
from models.ids import new_id
from rules.audit_actions import PHRASES
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import post, read_text, sign_in_as

ADA = AuditActor("user", new_id(), "Ada Byron")
PROGRAM = AuditActor("api_key", "01a00000-0000-7000-8000-00000000000a", "shop")


def list_entries(producer: Producer, query: str = "") -> list[dict[str, Any]]:
    response = producer.get(f"/api/audit?{query}")
    assert response.status_code == 200, response.json
    entries: list[dict[str, Any]] = response.json["entries"]
    return entries


@pytest.fixture
def recorded(alice: Producer) -> Producer:
    for actor, action, kind, object_id in (
        (ADA, "automation.created", "automation", "a-1"),
        (PROGRAM, "contact.changed", "contact", "c-1"),
        (ADA, "automation.enabled", "automation", "a-2"),
    ):
        audit.record(alice.workspace_id, actor, action, kind, object_id)
    return alice


@pytest.mark.parametrize(
    ("query", "actions"),
    [
        ("actor=ada", ["automation.enabled", "automation.created"]),
        (f"actor={PROGRAM.id}", ["contact.changed"]),
        ("actor=%25", []),
        ("actorKind=api_key", ["contact.changed"]),
        ("action=automation.created", ["automation.created"]),
        ("action=automation.", ["automation.enabled", "automation.created"]),
        ("objectKind=contact", ["contact.changed"]),
        ("objectKind=automation&objectId=a-2", ["automation.enabled"]),
        ("to=2020-01-01T00:00:00Z", []),
    ],
)
def test_entries_are_filtered(recorded: Producer, query: str, actions: list[str]) -> None:
    assert [entry["action"] for entry in list_entries(recorded, query)] == actions


def test_entries_are_filtered_by_time(recorded: Producer) -> None:
    around = [(clock.now() + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ") for hours in (-1, 1)]
    assert len(list_entries(recorded, f"from={around[0]}&to={around[1]}")) == 3
    assert list_entries(recorded, f"from={around[1]}") == []


def test_another_workspaces_entries_are_not_listed(recorded: Producer, charlie: Producer) -> None:
    assert list_entries(charlie, "actor=ada") == []


def test_updates_have_the_values_before_and_after(alice: Producer) -> None:
    contact = alice.post("/api/contacts", {"email": "ada@example.com", "firstName": "Ada", "tags": ["lead"]}).json
    alice.request("PATCH", f"/api/contacts/{contact['contact']['id']}", json={"firstName": "Ada L.", "tags": []})
    automation = alice.create(name="Welcome")
    alice.request("PATCH", f"{alice.automations}/{automation['id']}", json={"name": "Hello", "enabled": False})
    alice.put("/api/settings/switches", {"statsInApi": False})
    alice.put("/api/settings/model", {"provider": "gemini", "model": "gemini-own", "apiKey": "g-secret"})
    alice.post("/api/queues/sending/pause")
    changes = {entry["action"]: entry["detail"] for entry in list_entries(alice)}
    sides = {name: (detail.get("before"), detail.get("after")) for name, detail in changes.items()}
    assert sides["contact.changed"] == ({"first_name": "Ada", "tags": ["lead"]}, {"first_name": "Ada L.", "tags": []})
    assert sides["automation.renamed"] == ({"name": "Welcome"}, {"name": "Hello"})
    assert sides["automation.disabled"] == ({"enabled": True}, {"enabled": False})
    assert sides["automation.published"] == ({"version": None}, {"version": 1})
    assert sides["switch.off"] == ({"stats_in_api": True}, {"stats_in_api": False})
    assert sides["queue.paused"] == ({"state": "running"}, {"state": "paused"})
    assert sides["model.changed"][1] == {
        "provider": "gemini", "model": "gemini-own", "base_url": None, "api_key": "••••",
    }  # fmt: skip
    assert "g-secret" not in str(changes)


def test_the_page_shows_each_change_in_words_with_its_object(alice: Producer, client: FlaskClient) -> None:
    automation = alice.create(name="Welcome")
    alice.request("PATCH", f"{alice.automations}/{automation['id']}", json={"name": "Hello"})
    owner = sign_in_as(client, alice, role="owner")
    page = owner.get("/audit").text
    assert f'<a href="/automations/{automation["id"]}">Hello</a>' in page
    assert "renamed an automation" in page
    assert "<del>Welcome</del>" in page
    assert "<ins>Hello</ins>" in page
    filtered = read_text(owner.get("/audit?action=automation.renamed&actorKind=api_key").text)
    assert "published a version" not in filtered.split("Changes", 1)[-1].split("Who", 1)[-1].split("To Filter", 1)[-1]
    assert owner.get("/audit?from=yesterday").status_code == 422


def test_pages_of_the_log_follow_one_another(alice: Producer, client: FlaskClient) -> None:
    for number in range(60):
        audit.record(alice.workspace_id, ADA, "contact.changed", "contact", f"c-{number}")
    owner = sign_in_as(client, alice, role="owner")
    first = owner.get("/audit?actor=ada").text
    older = re.search(r'href="([^"]+)">Older', first)
    assert older is not None
    second = owner.get(older[1].replace("&amp;", "&")).text
    entry_ids = re.findall(r'id="a-([0-9a-f-]{36})"', first + second)
    assert (len(entry_ids), len(set(entry_ids))) == (60, 60)
    assert "Older" not in second


def test_the_export_has_every_entry_and_no_formula(alice: Producer, client: FlaskClient) -> None:
    spy = AuditActor("user", new_id(), '=HYPERLINK("https://evil.example","x")')
    audit.record(
        alice.workspace_id, spy, "automation.renamed", "automation", "a-1", audit.compare({"name": 1}, {"name": 2})
    )
    owner = sign_in_as(client, alice, role="owner")
    response = owner.get("/audit/export?action=automation.")
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert (response.mimetype, len(rows)) == ("text/csv", 1)
    assert rows[0]["actor"] == "'" + spy.name
    assert (rows[0]["before"], rows[0]["after"]) == ('{"name": 1}', '{"name": 2}')


def test_only_owners_read_the_log(alice: Producer, client: FlaskClient) -> None:
    operator = sign_in_as(client, alice)
    assert [operator.get(path).status_code for path in ("/audit", "/audit/export")] == [403, 403]
    assert 'href="/audit"' not in operator.get("/automations").text


def test_a_scripting_name_is_shown_as_text(alice: Producer, client: FlaskClient) -> None:
    audit.record(alice.workspace_id, AuditActor("user", None, "<script>alert(1)</script>"), "key.issued", "key", "k",
                 {"after": {"<b>": "<i>"}})  # fmt: skip
    page = sign_in_as(client, alice, role="owner").get("/audit").text
    assert "<script>alert(1)" not in page
    assert "<b>" not in page


def test_a_paused_queue_is_an_entry_of_the_person_on_the_page(alice: Producer, client: FlaskClient) -> None:
    owner = sign_in_as(client, alice, role="owner")
    post(owner, "/settings/switches/stats_in_api", on="false")
    (entry,) = list_entries(alice, "action=switch.off")
    assert (entry["actorKind"], entry["actorName"]) == ("user", "Bob")


def _find_action_names() -> set[str]:
    """The literal names of actions in the code: the third argument of `audit.record`, or an assigned `action`."""
    names: set[str] = set()
    for folder in ("models", "tasks", "dashboard", "workers"):
        for path in (settings.ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "audit.record":
                    names |= {str(leaf.value) for leaf in ast.walk(node.args[2]) if isinstance(leaf, ast.Constant)}
    return {name for name in names if re.fullmatch(r"[a-z]+\.[a-z_]+", name)}


def test_every_action_has_words() -> None:
    names = _find_action_names()
    assert len(names) > 20
    assert names <= set(PHRASES)
