"""The playbook editor: the form's definition, drafts, conflicts, versions, publishing."""

from __future__ import annotations

import re
from typing import Any

import pytest
from werkzeug.datastructures import MultiDict

from dashboard.automation_templates import TEMPLATES
from dashboard.pages import playbook_form
from rules.validation import validate
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import Browser, bob, post, read_text, sign_in_as
from tests.support.html_forms import read_fields

__all__ = ["bob"]

PLAYBOOK = {
    "trigger": {
        "type": "page",
        "with": {
            "url": "/pricing*", "device": ["desktop", "mobile"], "utm": {"source": "newsletter"}, "scroll_depth": 50,
            "time_on_page": "10s", "exit_intent": True, "returning": False, "event": "cart.opened",
            "frequency": {"max": 1, "per": "7d"},
        },
    },
    "steps": [
        {"id": "headline", "action": "replace_text", "with": {"selector": "h1.title", "text": "Welcome back"}},
        {"id": "banner", "action": "insert_banner", "with": {"position": "top", "text": "20% off"}},
        {"id": "button", "action": "set_style", "with": {"selector": "a", "style": {"opacity": 0.5, "color": "#fff"}}},
        {"id": "hint", "action": "set_attribute", "with": {"selector": "a.cta", "name": "title", "value": ""}},
    ],
}  # fmt: skip
#: The fields of the form of a playbook that replaces one text on every page.
FIELDS = {
    "name": "Sale", "when": "url", "url": "/*", "step": "headline", "headline.action": "replace_text",
    "headline.selector": "h1", "headline.text": "Sale",
}  # fmt: skip
#: The definition of `FIELDS`.
SALE = {
    "trigger": {"type": "page", "with": {"url": "/*"}},
    "steps": [{"id": "headline", "action": "replace_text", "with": {"selector": "h1", "text": "Sale"}}],
}


def create_playbook(alice: Producer, **overrides: Any) -> dict[str, Any]:
    fields = {"name": "Newsletter", "type": "playbook", "definition": PLAYBOOK, **overrides}
    return alice.create(**fields)


def fetch(alice: Producer, automation_id: str) -> dict[str, Any]:
    automation: dict[str, Any] = alice.get(f"{alice.automations}/{automation_id}").json["automation"]
    return automation


def test_a_form_filled_from_a_definition_describes_the_same_definition(bob: Browser, alice: Producer) -> None:
    playbook = create_playbook(alice)
    page = bob.get(f"/automations/{playbook['id']}/edit").text
    fields = read_fields(page, "playbook")
    assert playbook_form.read_definition(fields, PLAYBOOK) == PLAYBOOK
    assert validate(PLAYBOOK, automation_type="playbook") == []


def test_a_definition_keeps_what_the_form_has_no_field_for() -> None:
    base = {**SALE, "note": 1, "trigger": {"type": "page", "with": {"url": "/", "later": 1}, "where": "x"}}
    base["steps"] = [{**SALE["steps"][0], "retry": {"max": 1}}]
    document = playbook_form.read_definition(MultiDict(FIELDS), base)
    assert (document["note"], document["trigger"]["where"], document["trigger"]["with"]["later"]) == (1, "x", 1)
    assert document["steps"][0]["retry"] == {"max": 1}


@pytest.mark.parametrize("draft", [None, 1, [], {"steps": {}}, {"trigger": 1, "steps": [1, {}, {"with": 2}, {}]}])
def test_any_draft_can_be_opened_in_the_form(draft: Any) -> None:
    document = playbook_form.normalize(draft)
    assert isinstance(document["trigger"]["with"], dict)
    ids = [step["id"] for step in document["steps"]]
    assert len(set(ids)) == len(ids)


def test_event_and_frequency_beside_the_conditions_are_read_too() -> None:
    document = {"trigger": {"type": "page", "event": "opened"}, "frequency": {"max": 2, "per": "1d"}, "steps": []}
    normalized = playbook_form.normalize(document)
    assert normalized["trigger"]["with"] == {"event": "opened", "frequency": {"max": 2, "per": "1d"}}
    assert "frequency" not in normalized


@pytest.mark.parametrize(
    ("operation", "ids"),
    [
        ("up:banner", ["banner", "headline", "button", "hint"]),
        ("down:banner", ["headline", "button", "banner", "hint"]),
        ("up:headline", ["headline", "banner", "button", "hint"]),
        ("down:hint", ["headline", "banner", "button", "hint"]),
        ("remove:banner", ["headline", "button", "hint"]),
        ("remove:nothing", ["headline", "banner", "button", "hint"]),
        ("add_action:hide", ["headline", "banner", "button", "hint", "hide"]),
        ("add_action:send_email", ["headline", "banner", "button", "hint"]),
        ("nonsense", ["headline", "banner", "button", "hint"]),
    ],
)
def test_a_button_changes_the_order_of_actions(operation: str, ids: list[str]) -> None:
    document = playbook_form.apply_operation(playbook_form.normalize(PLAYBOOK), operation)
    assert [step["id"] for step in document["steps"]] == ids


def test_a_button_adds_and_removes_a_condition() -> None:
    document = playbook_form.apply_operation(playbook_form.EMPTY, "add_condition:scroll_depth")
    assert document["trigger"]["with"] == {"url": "/*", "scroll_depth": 50}
    assert playbook_form.apply_operation(document, "remove_condition:url")["trigger"]["with"] == {"scroll_depth": 50}
    assert playbook_form.apply_operation(document, "add_condition:nothing") == document


def test_a_new_playbook_is_saved_as_a_draft_that_runs_nothing(bob: Browser, alice: Producer) -> None:
    assert "New playbook" in bob.get("/automations/new?type=playbook").text
    response = post(bob, "/automations/playbooks", version="0", do="save", **FIELDS)
    (row,) = alice.get(alice.automations).json["automations"]
    assert response.headers["Location"] == f"/automations/{row['id']}/edit"
    playbook = fetch(alice, row["id"])
    assert (playbook["draft"], playbook["definition"], playbook["enabled"]) == (SALE, None, False)
    assert "Draft saved" in read_text(bob.get(response.headers["Location"]).text)


def test_a_new_playbook_is_published_and_turned_on_at_once(bob: Browser, alice: Producer) -> None:
    response = post(
        bob, "/automations/playbooks", version="0", do="publish", turn_on="true", note="First sale", **FIELDS
    )
    assert response.status_code == 303
    (row,) = alice.get(alice.automations).json["automations"]
    playbook = fetch(alice, row["id"])
    assert (playbook["version"], playbook["enabled"], playbook["definition"], playbook["draft"]) == (
        1, True, SALE, None,
    )  # fmt: skip
    assert playbook["versions"][0]["note"] == "First sale"
    assert 'Version 1 of "Sale" published' in read_text(bob.get(response.headers["Location"]).text)


def test_a_template_of_a_playbook_opens_in_the_editor_and_becomes_a_draft(bob: Browser, alice: Producer) -> None:
    for template in (template for template in TEMPLATES if template.type == "playbook"):
        fields = read_fields(bob.get(f"/automations/new?start={template.slug}").text, "playbook")
        assert bob.post("/automations/playbooks", data={**fields.to_dict(flat=False), "do": "save"}).status_code == 303
        row = alice.get(alice.automations).json["automations"][0]
        assert (row["name"], fetch(alice, row["id"])["draft"]) == (template.name, template.definition)


def test_problems_stand_at_their_fields_and_nothing_is_published(bob: Browser, alice: Producer) -> None:
    playbook = create_playbook(alice)
    wrong = {**FIELDS, "headline.selector": "h1[", "when": "scroll_depth", "scroll_depth": "101"}
    path = f"/automations/{playbook['id']}/playbook"
    response = post(bob, path, version="1", do="publish", **wrong)
    assert response.status_code == 422
    for place in ("trigger.with.scroll_depth", "steps[0].with.selector"):
        assert re.search(rf'id="faults-{re.escape(place)}" data-live><span>\w', response.text), place
    assert "2 problems Nothing was published." in read_text(response.text)
    saved = fetch(alice, playbook["id"])
    assert (saved["version"], saved["draft"]["trigger"]["with"]) == (1, {"scroll_depth": 101})


def test_a_fragment_has_the_form_alone_with_the_time_of_the_draft(bob: Browser, alice: Producer) -> None:
    playbook = create_playbook(alice)
    fields = {
        "csrf_token": read_fields(bob.get(f"/automations/{playbook['id']}/edit").text, "playbook")["csrf_token"],
        **FIELDS,
    }
    path, headers = f"/automations/{playbook['id']}/playbook", {"HX-Request": "true"}
    response = bob.post(path, data={**fields, "version": "1"}, headers=headers)
    assert (response.status_code, "<html" in response.text) == (200, False)
    draft = read_fields(response.text, "playbook")["draft"]
    assert draft
    again = bob.post(path, data={**fields, "headline.text": "2", "version": "1", "draft": draft}, headers=headers)
    assert again.status_code == 200
    stale = bob.post(path, data={**fields, "headline.text": "3", "version": "1", "draft": draft}, headers=headers)
    assert stale.status_code == 409
    assert "Bob saved another draft in the meantime." in read_text(stale.text)
    assert fetch(alice, playbook["id"])["draft"]["steps"][0]["with"]["text"] == "2"


def test_a_version_published_in_the_meantime_is_not_overwritten_unasked(bob: Browser, alice: Producer) -> None:
    playbook = create_playbook(alice)
    alice.put(f"{alice.automations}/{playbook['id']}", {"definition": SALE})
    path = f"/automations/{playbook['id']}/playbook"
    mine = {**FIELDS, "headline.text": "Mine"}
    response = post(bob, path, version="1", do="publish", **mine)
    assert response.status_code == 409
    assert "published version 2, " in read_text(response.text)
    assert read_fields(response.text, "playbook")["headline.text"] == "Mine"
    assert (fetch(alice, playbook["id"])["version"], fetch(alice, playbook["id"])["draft"]) == (2, None)
    assert post(bob, path, version="1", do="overwrite", **mine).status_code == 303
    assert fetch(alice, playbook["id"])["draft"]["steps"][0]["with"]["text"] == "Mine"


def test_publishing_what_is_published_makes_no_version(bob: Browser, alice: Producer) -> None:
    playbook = create_playbook(alice, definition=SALE)
    post(bob, f"/automations/{playbook['id']}/playbook", version="1", do="publish", **FIELDS)
    assert fetch(alice, playbook["id"])["version"] == 1
    assert "No version was published" in bob.get("/automations").text


def test_a_publication_is_in_the_audit_log(bob: Browser, alice: Producer) -> None:
    playbook = create_playbook(alice)
    post(bob, f"/automations/{playbook['id']}/playbook", version="1", do="publish", **FIELDS)
    actions = [row["action"] for row in alice.get("/api/audit").json["entries"]]
    assert actions[:2].count("automation.published") == 1
    assert "automation.renamed" in actions[:2]


def test_a_version_is_compared_with_the_one_before_and_restored_as_a_draft(bob: Browser, alice: Producer) -> None:
    playbook = create_playbook(alice)
    alice.put(f"{alice.automations}/{playbook['id']}", {"definition": SALE})
    page = bob.get(f"/automations/{playbook['id']}/versions/2").text
    assert re.search(r'<span class="added">\+ *text: Sale', page)
    assert "Restore as draft" not in page
    assert "Restore as draft" in bob.get(f"/automations/{playbook['id']}/versions/1").text
    assert post(bob, f"/automations/{playbook['id']}/versions/1/restore").status_code == 303
    assert (fetch(alice, playbook["id"])["draft"], fetch(alice, playbook["id"])["version"]) == (PLAYBOOK, 2)
    assert "Unpublished draft" in bob.get(f"/automations/{playbook['id']}").text
    assert post(bob, f"/automations/{playbook['id']}/playbook", do="discard").status_code == 303
    assert "Unpublished draft" not in bob.get(f"/automations/{playbook['id']}").text
    assert fetch(alice, playbook["id"])["draft"] is None
    for version in ("0", "3", "x", "9" * 30, "-1"):
        assert bob.get(f"/automations/{playbook['id']}/versions/{version}").status_code == 404
    workflow = alice.create()
    assert post(bob, f"/automations/{workflow['id']}/versions/1/restore").status_code == 303
    assert fetch(alice, workflow["id"])["hasDraft"] is True


def test_the_yaml_view_shows_and_saves_the_same_draft(bob: Browser, alice: Producer) -> None:
    playbook = create_playbook(alice, definition=SALE)
    path = f"/automations/{playbook['id']}/edit"
    post(bob, f"/automations/{playbook['id']}/playbook", version="1", **{**FIELDS, "headline.text": "Draft text"})
    page = bob.get(f"{path}?view=yaml").text
    assert "text: Draft text" in page
    assert "Draft, saved" in read_text(page)
    draft = re.search(r'name="draft" value="([^"]+)"', page)
    assert draft is not None
    form = {"name": "Sale", "version": "1", "draft": draft[1], "do": "draft"}
    assert post(bob, path, text="trigger: {type: page}\nsteps: []\n", **form).status_code == 303
    assert fetch(alice, playbook["id"])["draft"] == {"trigger": {"type": "page"}, "steps": []}
    assert post(bob, path, text="- a", **form).status_code == 422
    assert post(bob, path, text="steps: []", **form).status_code == 409
    assert fetch(alice, playbook["id"])["draft"]["trigger"] == {"type": "page"}


def test_texts_of_a_draft_are_escaped(bob: Browser, alice: Producer) -> None:
    mean = '"></textarea><script>alert(1)</script>'
    fields = {**FIELDS, "name": mean, "url": mean, "headline.selector": mean, "headline.text": mean}
    location = post(bob, "/automations/playbooks", version="0", do="save", **fields).headers["Location"]
    assert mean not in bob.get(location).text


def test_hostile_fields_are_refused_without_an_error(bob: Browser, alice: Producer) -> None:
    playbook = create_playbook(alice)
    path = f"/automations/{playbook['id']}/playbook"
    for fields in (
        {}, {"name": ""}, {"name": "x" * 300, "step": "a"}, {"name": "n", "step": ["a"] * 500, "version": "9" * 40},
        {"name": "n", "when": ["utm", "frequency", "nothing"], "draft": "yesterday", "version": "1"},
        {"name": "n", "frequency": "x/y/z", "version": "1"}, {"name": "n", "step": "\x00", "version": "1"},
        {**FIELDS, "headline.text": "a\x00b", "version": "1"},
    ):  # fmt: skip
        assert post(bob, path, **fields).status_code in (303, 409, 422), fields
    assert fetch(alice, playbook["id"])["version"] == 1


def test_a_viewer_and_another_workspace_edit_nothing(bob: Browser, alice: Producer, charlie: Producer) -> None:
    theirs = create_playbook(charlie)
    for path in (f"/automations/{theirs['id']}/playbook", f"/automations/{theirs['id']}/versions/1/restore"):
        assert post(bob, path, version="1", **FIELDS).status_code == 404
    assert bob.get(f"/automations/{theirs['id']}/versions/1").status_code == 404
    assert post(bob, f"/automations/{alice.create()['id']}/playbook", version="1", **FIELDS).status_code == 422


def test_a_viewer_sees_versions_and_changes_nothing(client: Browser, alice: Producer) -> None:
    playbook = create_playbook(alice)
    viewer = sign_in_as(client, alice, "viewer")
    assert viewer.get(f"/automations/{playbook['id']}/versions/1").status_code == 200
    for path in (
        "/automations/playbooks",
        *(f"/automations/{playbook['id']}/{end}" for end in ("playbook", "preview")),
    ):
        assert post(viewer, path, version="1", **FIELDS).status_code == 403
