"""The form of an automation: starts, problems beside the text, publishing, and versions that changed meanwhile."""

from __future__ import annotations

import html
import re
from typing import Any

from dashboard.pages.starts import STARTS
from rules.validation import validate
from tests.dashboard import stories
from tests.dashboard.cast import Producer, definition
from tests.dashboard.test_pages import Browser, automation, bob, post, signed_in, words_of

__all__ = ["automation", "bob"]

TEXT = (
    "trigger: {type: lead.scored}\nsteps:\n  - id: hello\n    action: send_email\n    with: {subject: Hi, body: Hi}\n"
)
WRONG = TEXT.replace("send_email", "send_fax")


def told(alice: Producer, automation_id: str) -> Any:
    return alice.get(f"{alice.automations}/{automation_id}").json["automation"]


def all_of(alice: Producer) -> list[Any]:
    found: list[Any] = alice.get(alice.automations).json["automations"]
    return found


def text_in(page: str) -> str:
    found = re.search(r"<textarea[^>]*>\n(.*?)</textarea>", page, re.DOTALL)
    assert found is not None
    return html.unescape(found[1])


def test_every_start_can_be_published_as_the_form_shows_it(bob: Browser, alice: Producer) -> None:
    offered = bob.get("/automations/new").text
    for start in STARTS:
        assert validate(start.definition, automation_type=start.type) == []
        assert f'href="/automations/new?start={start.slug}"' in offered
        assert start.purpose
        assert start.purpose in html.unescape(offered)
        text = text_in(bob.get(f"/automations/new?start={start.slug}").text).replace("\n", "\r\n")
        answer = post(bob, "/automations/new", name=start.name, type=start.type, text=text)
        assert answer.status_code in (200, 303), start.slug
    made = {one["name"]: one for one in all_of(alice)}
    for start in STARTS:
        assert (made[start.name]["version"], made[start.name]["enabled"]) == (1, False)
        assert told(alice, made[start.name]["id"])["definition"] == start.definition


def test_publishing_opens_the_automation_and_says_its_version(bob: Browser, alice: Producer) -> None:
    answer = post(bob, "/automations/new", name=" Mine ", type="workflow", enabled="true", text=TEXT)
    (made,) = all_of(alice)
    assert answer.headers["Location"] == f"/automations/{made['id']}"
    assert 'Version 1 of "Mine" is published.' in words_of(bob.get("/automations").text)
    assert made["enabled"] is True


def test_a_definition_with_problems_is_shown_again_with_the_path_and_the_line_of_each(
    bob: Browser, alice: Producer
) -> None:
    answer = post(bob, "/automations/new", name="", type="workflow", text=WRONG)
    assert answer.status_code == 422
    said = words_of(answer.text)
    assert 'steps[0].action line 4 unknown action "send_fax"' in said
    assert "name" in said
    assert text_in(answer.text) == WRONG
    assert all_of(alice) == []


def test_what_is_no_definition_is_refused_in_words(bob: Browser, alice: Producer) -> None:
    for text in ("", "a: [", "- 1", "{", "&a 1", "x" * 300_000, "é: \x07", "[" * 2000):
        assert post(bob, "/automations/new", name="Mine", type="workflow", text=text).status_code == 422, text[:9]
        assert post(bob, "/automations/check", type="workflow", text=text).status_code == 200, text[:9]
    assert all_of(alice) == []


def test_an_unknown_type_is_refused(bob: Browser, alice: Producer) -> None:
    assert post(bob, "/automations/new", name="Mine", type="fax", text=TEXT).status_code == 422
    assert all_of(alice) == []


def test_the_text_is_judged_while_it_is_written(bob: Browser) -> None:
    assert "It can be published" in words_of(post(bob, "/automations/check", type="workflow", text=TEXT).text)
    page = post(bob, "/automations/check", type="workflow", text=WRONG)
    assert ("<html" in page.text, "1 problem" in page.text) == (False, True)


def test_a_hooks_secret_address_is_shown_once_and_works(bob: Browser, alice: Producer) -> None:
    text = TEXT.replace("lead.scored", "hook")
    page = post(bob, "/automations/new", name="Mine", type="workflow", enabled="true", text=text).text
    path = next(iter(re.findall(r"<pre>http://localhost(/api/hooks/[^<]+)</pre>", page)))
    assert bob.post(path, json={"contact": {"email": "ada@example.com"}}).status_code == 202
    (made,) = all_of(alice)
    assert path not in bob.get(f"/automations/{made['id']}/edit").text


def test_an_edit_publishes_the_next_version(bob: Browser, alice: Producer, automation: dict[str, Any]) -> None:
    path = f"/automations/{automation['id']}/edit"
    page = bob.get(path).text
    assert "version 1, published by" in words_of(page)
    answer = post(bob, path, name="Renamed", version="1", text=TEXT)
    assert answer.status_code == 303
    found = told(alice, automation["id"])
    assert (found["name"], found["version"], found["definition"]["trigger"]["type"]) == ("Renamed", 2, "lead.scored")


def test_an_edit_that_changes_nothing_publishes_nothing(
    bob: Browser, alice: Producer, automation: dict[str, Any]
) -> None:
    path = f"/automations/{automation['id']}/edit"
    assert post(bob, path, name="Welcome", version="1", text=text_in(bob.get(path).text)).status_code == 303
    assert "no new version was published" in bob.get("/automations").text
    assert told(alice, automation["id"])["version"] == 1


def test_a_version_that_somebody_else_published_is_not_overwritten_unknowingly(
    bob: Browser, alice: Producer, automation: dict[str, Any]
) -> None:
    path = f"/automations/{automation['id']}/edit"
    alice.ask("PUT", f"{alice.automations}/{automation['id']}", json={"definition": definition(type="other.event")})
    for version in ("1", "nonsense", ""):
        answer = post(bob, path, name="Renamed", version=version, text=TEXT)
        assert answer.status_code == 409
        assert "Version 2 was published by" in words_of(answer.text)
        assert text_in(answer.text) == TEXT
    found = told(alice, automation["id"])
    assert (found["name"], found["version"]) == ("Welcome", 2)
    assert 'name="version" value="2"' in answer.text
    assert post(bob, path, name="Renamed", version="2", text=TEXT).status_code == 303
    assert told(alice, automation["id"])["version"] == 3


def test_a_stale_form_with_problems_stays_stale(bob: Browser, alice: Producer, automation: dict[str, Any]) -> None:
    path = f"/automations/{automation['id']}/edit"
    alice.ask("PUT", f"{alice.automations}/{automation['id']}", json={"definition": definition(type="other.event")})
    answer = post(bob, path, name="Welcome", version="1", text=WRONG)
    assert (answer.status_code, 'name="version" value="1"' in answer.text) == (422, True)


def test_cards_lead_to_the_form(bob: Browser, automation: dict[str, Any]) -> None:
    page = bob.get("/automations").text
    assert f'href="/automations/{automation["id"]}/edit"' in page
    assert 'href="/automations/new"' in page


def test_a_viewer_publishes_nothing(alice: Producer, client: Browser, automation: dict[str, Any]) -> None:
    viewer = signed_in(client, alice, "viewer")
    one = f"/automations/{automation['id']}/edit"
    assert "/edit" not in viewer.get("/automations").text
    for path in ("/automations/new", one):
        assert viewer.get(path).status_code == 403
        assert post(viewer, path, name="Mine", type="workflow", version="1", text=TEXT).status_code == 403
    assert post(viewer, "/automations/check", text=TEXT).status_code == 403
    assert told(alice, automation["id"])["version"] == 1


def test_another_workspaces_automation_is_not_there(bob: Browser, charlie: Producer) -> None:
    theirs = f"/automations/{charlie.create()['id']}/edit"
    assert bob.get(theirs).status_code == 404
    assert post(bob, theirs, name="Mine", version="1", text=TEXT).status_code == 404
    assert bob.get("/automations/new?start=nothing").status_code == 404


def test_what_a_definition_says_is_text_and_nothing_else(bob: Browser, alice: Producer) -> None:
    mean = "</textarea><script>alert(1)</script>"
    answer = post(bob, "/automations/new", name=mean, type="workflow", text=f"{mean}: {mean}")
    assert mean not in answer.text
    made = alice.create(name=mean)
    stories.execution(alice, made)
    assert mean not in bob.get(f"/automations/{made['id']}/edit").text
