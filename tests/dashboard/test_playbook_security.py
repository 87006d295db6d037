"""Security of playbooks, by every way a definition comes in: a playbook can only do its declared actions, and a site
key reads only its own workspace's active playbooks and reports only their executions."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

import settings
from models import site_key
from models.database import acting_as
from models.queries import execute, fetch_value
from rules.json_text import dump_json
from rules.serialization import write
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import Browser, post, read_text, sign_in_as
from tests.support.tracking import record_as_service

SHOP = "https://shop.example"
HARMLESS: dict[str, Any] = {
    "trigger": {"type": "page"},
    "steps": [{"id": "hide", "action": "hide", "with": {"selector": ".old"}}],
}


def build(action: str, **with_: Any) -> dict[str, Any]:
    return {"trigger": {"type": "page"}, "steps": [{"id": "x", "action": action, "with": with_}]}


def set_attribute(name: str, value: str, selector: str = "a") -> dict[str, Any]:
    return build("set_attribute", selector=selector, name=name, value=value)


#: Definitions that a browser would execute as script, or that do more than a playbook may.
HOSTILE = {
    "script through replace_text": build("replace_text", selector="script", text="alert(1)"),
    "a style sheet through replace_text": build("replace_text", selector="style", text="*{display:none}"),
    "an event handler": set_attribute("onclick", "alert(1)"),
    "an event handler in capitals": set_attribute("ONPOINTERDOWN", "alert(1)"),
    "srcdoc": set_attribute("srcdoc", "<script>alert(1)</script>", "iframe"),
    "a javascript link": set_attribute("href", "javascript:alert(1)"),
    "a javascript link with a tab": set_attribute("href", "java\tscript:alert(1)"),
    "a javascript link in capitals": set_attribute("HREF", " JAVASCRIPT:alert(1)"),
    "a data link": set_attribute("href", "data:text/html,<script>alert(1)</script>"),
    "a form that sends to a script": set_attribute("formaction", "vbscript:x", "button"),
    "the source of a script": set_attribute("src", "https://evil.example/x.js", "script"),
    "the source of a frame": set_attribute("src", "https://evil.example/", "main > iframe.video"),
    "an escaped script element": build("replace_text", selector=r"\73 cript", text="alert(1)"),
    "an SVG animation of a link": set_attribute("to", "javascript:alert(1)", "set"),
    "a framework's handler": set_attribute("data-hx-on--click", "alert(1)"),
    "a style with an expression": build("set_style", selector="a", style={"width": "expression(alert(1))"}),
    "a style with a script URL": build("set_style", selector="a", style={"background": "url(javascript:alert(1))"}),
    "a style that leaves its property": build("set_style", selector="a", style={"color": "red;behavior:url(x)"}),
    "a binding": build("set_style", selector="a", style={"-moz-binding": "url(https://evil.example/x.xml)"}),
    "an image of inline data": build("replace_image", selector="img", src="data:image/svg+xml,<svg onload=alert(1)>"),
    "a redirect to a script": build("redirect", url="javascript:alert(1)"),
    "a redirect with a hidden scheme": build("redirect", url="\u200bjavascript:alert(1)"),
    "a banner with a script link": build("insert_banner", position="top", text="x", url="JavaScript:alert(1)"),
    "a message": {**HARMLESS, "steps": [{"id": "x", "action": "send_sms", "with": {"body": "x"}}]},
    "a call": build("call_webhook", url="https://evil.example/"),
    "an action that does not exist": build("run_script", code="alert(1)"),
    "a field that does not exist": build("replace_text", selector="a", text="x", html="<script>alert(1)</script>"),
    "eligibility rules": {**HARMLESS, "rules": {"follow_ups": {"max": 3}}},
}  # fmt: skip


@pytest.fixture
def config() -> settings.Settings:
    """The dashboard's settings, with no limit on how often a page may load playbooks."""
    return settings.load().replace(site_key_rate=1_000_000)


@pytest.fixture
def playbook(alice: Producer) -> dict[str, Any]:
    """A harmless playbook of Alice's, published."""
    return alice.create(name="Offer", type="playbook", definition=HARMLESS)


@pytest.fixture
def key(alice: Producer) -> str:
    return site_key.issue(alice.workspace_id, "Shop", [SHOP]).key


@pytest.fixture
def bob(client: FlaskClient, alice: Producer) -> Browser:
    return sign_in_as(client, alice)


def load(client: FlaskClient, key: str) -> list[dict[str, Any]]:
    response = client.get(f"/api/playbooks?k={key}", headers={"Origin": SHOP})
    playbooks: list[dict[str, Any]] = response.json["playbooks"]
    return playbooks


def count_versions(alice: Producer) -> int:
    with acting_as(alice.workspace_id):
        return int(fetch_value("select count(*) from workflow_versions"))


def test_a_playbook_can_only_do_its_declared_actions_by_api(alice: Producer, playbook: dict[str, Any]) -> None:
    path = f"{alice.automations}/{playbook['id']}"
    for name, definition in HOSTILE.items():
        created = alice.post(alice.automations, {"name": name, "type": "playbook", "definition": definition})
        assert created.status_code == 422, name
        assert created.json["errors"][0]["path"].startswith("definition."), name
        for method in ("PUT", "PATCH"):
            assert alice.request(method, path, json={"definition": definition}).status_code == 422, name
        checked = alice.post(f"{alice.automations}/validate", {"type": "playbook", "definition": definition})
        assert checked.json["valid"] is False, name
    assert count_versions(alice) == 1
    assert alice.get(path).json["automation"]["definition"] == HARMLESS


def test_a_playbook_can_only_do_its_declared_actions_by_import(
    bob: Browser, alice: Producer, playbook: dict[str, Any]
) -> None:
    for name, definition in HOSTILE.items():
        text = write(definition)
        refused = post(bob, "/automations/new", name=name, type="playbook", text=text, enabled="true")
        assert refused.status_code == 422, name
        edited = post(bob, f"/automations/{playbook['id']}/edit", name=name, text=text, version="1")
        assert edited.status_code == 422, name
    assert count_versions(alice) == 1


def test_a_version_stored_before_a_rule_is_neither_served_nor_published_again(
    client: FlaskClient, alice: Producer, key: str, playbook: dict[str, Any]
) -> None:
    path = f"{alice.automations}/{playbook['id']}"
    for name, definition in HOSTILE.items():
        with acting_as(alice.workspace_id):
            execute("update workflow_versions set definition = %s::jsonb", (dump_json(definition),))
        # What evicts the cached playbooks, as a restart would.
        alice.request("PATCH", path, json={"name": name})
        assert load(client, key) == [], name
    republished = alice.request("PUT", path, json={"definition": {**definition, "frequency": {"max": 1, "per": "1d"}}})
    assert republished.status_code == 422


def test_user_authentication_only_a_known_key_reads_and_reports(client: FlaskClient, playbook: dict[str, Any]) -> None:
    for path in ("/api/playbooks", "/api/playbooks?k=", "/api/playbooks?k=sk_unknown", "/api/tracked-executions"):
        assert client.get(path, headers={"Origin": SHOP}).status_code == 401, path
    report = {"workflowId": playbook["id"]}
    assert client.post("/api/track-execution?k=sk_unknown", json=report, headers={"Origin": SHOP}).status_code == 401


def test_workflow_ownership_users_see_only_their_own_execution_data(
    client: FlaskClient, alice: Producer, charlie: Producer, key: str, playbook: dict[str, Any]
) -> None:
    charlies = charlie.create(name="Charlie's", type="playbook", definition=HARMLESS)
    assert [row["id"] for row in load(client, key)] == [playbook["id"]]
    foreign = client.post(
        f"/api/track-execution?k={key}", json={"workflowId": charlies["id"]}, headers={"Origin": SHOP}
    )
    assert foreign.status_code == 404
    assert alice.post("/api/track-execution", {"workflowId": playbook["id"]}).status_code == 201
    assert record_as_service() == 1
    (row,) = alice.get("/api/tracked-executions").json["executions"]
    assert charlie.get("/api/tracked-executions").json["executions"] == []
    assert charlie.get(f"/api/tracked-executions?automationId={playbook['id']}").json["executions"] == []
    assert charlie.get(f"/api/tracked-executions/{row['id']}").status_code == 404


def test_a_site_key_reads_nothing_but_playbooks(client: FlaskClient, alice: Producer, key: str) -> None:
    headers = {"Origin": SHOP, "X-Site-Key": key}
    for path in (alice.automations, "/api/executions", "/api/tracked-executions", "/api/contacts", "/api/site-keys"):
        assert client.get(path, headers=headers).status_code == 401, path


def test_input_validation_a_hostile_name_is_shown_as_text(client: FlaskClient, bob: Browser, alice: Producer) -> None:
    name = "<img src=x onerror=alert(1)>"
    hostile = build("replace_text", selector="h1", text="<script>alert(1)</script>")
    automation = alice.create(name=name, type="playbook", definition=hostile)
    for path in ("/automations", f"/automations/{automation['id']}", "/overview", "/executions/playbooks"):
        page = bob.get(path).text
        assert name not in page, path
        assert "<script>alert" not in page, path
    assert "<script>alert(1)</script>" in read_text(bob.get(f"/automations/{automation['id']}").text)
