"""The automation form: templates, problems beside the text, publishing, and concurrent edits."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest

from dashboard.automation_templates import TEMPLATES
from rules.parsing import read
from rules.validation import validate
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer, definition
from tests.dashboard.test_pages import Browser, automation, bob, post, read_text, sign_in_as

__all__ = ["automation", "bob"]

TEXT = (
    "trigger: {type: lead.scored}\nsteps:\n  - id: hello\n    action: send_email\n    with: {subject: Hi, body: Hi}\n"
)
WRONG = TEXT.replace("send_email", "send_fax")


def fetch_automation(alice: Producer, automation_id: str) -> Any:
    return alice.get(f"{alice.automations}/{automation_id}").json["automation"]


def list_automations(alice: Producer) -> list[Any]:
    automations: list[Any] = alice.get(alice.automations).json["automations"]
    return automations


def read_definition(page: str) -> str:
    match = re.search(r"<textarea[^>]*>\n(.*?)</textarea>", page, re.DOTALL)
    assert match is not None
    return html.unescape(match[1])


def test_every_template_can_be_published_as_shown(bob: Browser, alice: Producer) -> None:
    gallery = bob.get("/automations/new").text
    for template in TEMPLATES:
        assert validate(template.definition, automation_type=template.type) == []
        assert f'href="/automations/new?start={template.slug}"' in gallery
        assert template.purpose
        assert template.purpose in html.unescape(gallery)
        page = bob.get(f"/automations/new?start={template.slug}&view=yaml").text
        text = read_definition(page).replace("\n", "\r\n")
        response = post(bob, "/automations/new", name=template.name, type=template.type, text=text)
        assert response.status_code in (200, 303), template.slug
    automations = {automation["name"]: automation for automation in list_automations(alice)}
    for template in TEMPLATES:
        assert (automations[template.name]["version"], automations[template.name]["enabled"]) == (1, False)
        assert fetch_automation(alice, automations[template.name]["id"])["definition"] == template.definition


def test_publishing_opens_the_automation_and_shows_its_version(bob: Browser, alice: Producer) -> None:
    response = post(bob, "/automations/new", name=" Mine ", type="workflow", enabled="true", text=TEXT)
    (automation,) = list_automations(alice)
    assert response.headers["Location"] == f"/automations/{automation['id']}"
    assert 'Version 1 of "Mine" published.' in read_text(bob.get("/automations").text)
    assert automation["enabled"] is True


def test_an_invalid_definition_is_shown_with_path_and_line_of_each_problem(bob: Browser, alice: Producer) -> None:
    response = post(bob, "/automations/new", name="", type="workflow", text=WRONG)
    assert response.status_code == 422
    text = read_text(response.text)
    assert 'steps[0].action line 4 unknown action "send_fax"' in text
    assert "name" in text
    assert read_definition(response.text) == WRONG
    assert list_automations(alice) == []


def test_a_text_that_is_not_a_definition_is_rejected(bob: Browser, alice: Producer) -> None:
    for text in ("", "a: [", "- 1", "{", "&a 1", "x" * 300_000, "é: \x07", "[" * 2000):
        assert post(bob, "/automations/new", name="Mine", type="workflow", text=text).status_code == 422, text[:9]
        assert post(bob, "/automations/check", type="workflow", text=text).status_code == 200, text[:9]
    assert list_automations(alice) == []


def test_an_unknown_type_is_rejected(bob: Browser, alice: Producer) -> None:
    assert post(bob, "/automations/new", name="Mine", type="fax", text=TEXT).status_code == 422
    assert list_automations(alice) == []


def test_the_text_is_validated_while_it_is_edited(bob: Browser) -> None:
    assert "Ready to publish" in read_text(post(bob, "/automations/check", type="workflow", text=TEXT).text)
    page = post(bob, "/automations/check", type="workflow", text=WRONG)
    assert ("<html" in page.text, "1 problem" in page.text) == (False, True)


@pytest.mark.parametrize(
    ("action", "with_", "warns"),
    [("send_email", "{subject: Hi, body: Hi}", False), ("send_sms", "{body: Hi}", True),
     ("call_webhook", "{url: 'https://example.com'}", True)],
)  # fmt: skip
def test_a_step_that_may_send_twice_is_warned_of(
    bob: Browser, alice: Producer, action: str, with_: str, warns: bool
) -> None:
    step = f"{{id: again, action: {action}, on_unknown: resend, with: {with_}}}"
    fork = f"{{id: fork, action: branch, if: 'true', then: [{step}], else: []}}"
    text = f"trigger: {{type: lead.scored}}\nsteps:\n  - {fork}"
    page = read_text(post(bob, "/automations/check", type="workflow", text=text).text)
    assert ("Ready to publish" in page, "may be sent twice" in page) == (True, warns)
    answer = alice.post(f"{alice.automations}/validate", {"definition": read(text)}).json
    assert (answer["valid"], [warning["path"] for warning in answer["warnings"]]) == (
        True, ["steps.again.on_unknown"] if warns else [],
    )  # fmt: skip


def test_a_hooks_secret_url_is_shown_once_and_works(bob: Browser, alice: Producer) -> None:
    text = TEXT.replace("lead.scored", "hook")
    page = post(bob, "/automations/new", name="Mine", type="workflow", enabled="true", text=text).text
    path = next(iter(re.findall(r"<pre>http://localhost(/api/hooks/[^<]+)</pre>", page)))
    assert bob.post(path, json={"contact": {"email": "ada@example.com"}}).status_code == 202
    (automation,) = list_automations(alice)
    assert path not in bob.get(f"/automations/{automation['id']}/edit").text


def test_an_edit_publishes_the_next_version(bob: Browser, alice: Producer, automation: dict[str, Any]) -> None:
    path = f"/automations/{automation['id']}/edit"
    page = bob.get(f"{path}?view=yaml").text
    assert "Version 1, published by" in read_text(page)
    response = post(bob, path, name="Renamed", version="1", text=TEXT)
    assert response.status_code == 303
    updated = fetch_automation(alice, automation["id"])
    assert (updated["name"], updated["version"], updated["definition"]["trigger"]["type"]) == (
        "Renamed",
        2,
        "lead.scored",
    )


def test_an_edit_that_changes_nothing_publishes_nothing(
    bob: Browser, alice: Producer, automation: dict[str, Any]
) -> None:
    path = f"/automations/{automation['id']}/edit"
    assert (
        post(
            bob, path, name="Welcome", version="1", text=read_definition(bob.get(f"{path}?view=yaml").text)
        ).status_code
        == 303
    )
    assert "No new version was published" in bob.get("/automations").text
    assert fetch_automation(alice, automation["id"])["version"] == 1


def test_a_version_published_in_the_meantime_is_not_overwritten(
    bob: Browser, alice: Producer, automation: dict[str, Any]
) -> None:
    path = f"/automations/{automation['id']}/edit"
    alice.request("PUT", f"{alice.automations}/{automation['id']}", json={"definition": definition(type="other.event")})
    for version in ("1", "nonsense", ""):
        response = post(bob, path, name="Renamed", version=version, text=TEXT)
        assert response.status_code == 409
        assert "published version 2" in read_text(response.text)
        assert read_definition(response.text) == TEXT
    current = fetch_automation(alice, automation["id"])
    assert (current["name"], current["version"]) == ("Welcome", 2)
    assert 'name="version" value="2"' in response.text
    assert post(bob, path, name="Renamed", version="2", text=TEXT).status_code == 303
    assert fetch_automation(alice, automation["id"])["version"] == 3


def test_a_stale_form_with_problems_stays_stale(bob: Browser, alice: Producer, automation: dict[str, Any]) -> None:
    path = f"/automations/{automation['id']}/edit"
    alice.request("PUT", f"{alice.automations}/{automation['id']}", json={"definition": definition(type="other.event")})
    response = post(bob, path, name="Welcome", version="1", text=WRONG)
    assert (response.status_code, 'name="version" value="1"' in response.text) == (422, True)


def test_cards_lead_to_the_form(bob: Browser, automation: dict[str, Any]) -> None:
    page = bob.get("/automations").text
    assert f'href="/automations/{automation["id"]}/edit"' in page
    assert 'href="/automations/new"' in page


def test_a_viewer_publishes_nothing(alice: Producer, client: Browser, automation: dict[str, Any]) -> None:
    viewer = sign_in_as(client, alice, "viewer")
    edit_path = f"/automations/{automation['id']}/edit"
    assert "/edit" not in viewer.get("/automations").text
    for path in ("/automations/new", edit_path):
        assert viewer.get(path).status_code == 403
        assert post(viewer, path, name="Mine", type="workflow", version="1", text=TEXT).status_code == 403
    assert post(viewer, "/automations/check", text=TEXT).status_code == 403
    assert fetch_automation(alice, automation["id"])["version"] == 1


def test_another_workspaces_automation_is_404(bob: Browser, charlie: Producer) -> None:
    theirs = f"/automations/{charlie.create()['id']}/edit"
    assert bob.get(theirs).status_code == 404
    assert post(bob, theirs, name="Mine", version="1", text=TEXT).status_code == 404
    assert bob.get("/automations/new?start=nothing").status_code == 404


def test_a_definition_is_escaped(bob: Browser, alice: Producer) -> None:
    mean = "</textarea><script>alert(1)</script>"
    response = post(bob, "/automations/new", name=mean, type="workflow", text=f"{mean}: {mean}")
    assert mean not in response.text
    automation = alice.create(name=mean)
    example_executions.create_execution(alice, automation)
    assert mean not in bob.get(f"/automations/{automation['id']}/edit").text
