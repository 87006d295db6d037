"""Drafts over HTTP: one text for all, saved while it is edited, published with a note, restored and compared."""

from __future__ import annotations

from typing import Any

import pytest

from rules.parsing import read
from tests.dashboard.producers import Producer
from tests.dashboard.test_definition_sources import TEXT, get
from tests.dashboard.test_pages import Browser, bob, post

__all__ = ["bob"]

OTHER = TEXT.replace("'Hello'", "'Good day'  # warmer")


@pytest.fixture
def path(alice: Producer) -> str:
    """The path of an automation with comments in its text."""
    created = alice.post(alice.automations, {"name": "Welcome", "source": TEXT}).json["automation"]
    return f"{alice.automations}/{created['id']}"


def save(producer: Producer, path: str, source: str, revision: int = 0, base: int = 1) -> Any:
    return producer.put(f"{path}/draft", {"source": source, "baseVersion": base, "revision": revision})


def test_an_automation_without_a_draft_says_what_one_begins_from(alice: Producer, path: str) -> None:
    answer = alice.get(f"{path}/draft").json
    assert answer == {"success": True, "draft": None, "revision": 0, "version": 1, "source": TEXT}


@pytest.mark.parametrize(
    "source", [OTHER, "", "steps: [", TEXT.replace("send_email", "fax"), "- a", OTHER[:-3] + "\r\n "]
)
def test_a_draft_is_saved_as_it_is_written_with_its_problems(alice: Producer, path: str, source: str) -> None:
    saved = save(alice, path, source)
    assert saved.status_code == 200, saved.json
    assert (saved.json["draft"]["source"], saved.json["revision"]) == (source, 1)
    assert saved.json["valid"] is (saved.json["errors"] == [])
    assert saved.json["valid"] is (source in (OTHER, OTHER[:-3] + "\r\n "))
    draft = alice.get(f"{path}/draft").json["draft"]
    assert (draft["source"], draft["savedBy"], draft["baseVersion"]) == (source, "alice's shop", 1)
    automation = get(alice, path.rpartition("/")[2])
    assert (automation["source"], automation["version"], automation["hasDraft"]) == (TEXT, 1, True)


def test_the_second_of_two_people_gets_the_text_of_the_first(alice: Producer, path: str) -> None:
    assert save(alice, path, OTHER).status_code == 200
    late = save(alice, path, "mine: 1")
    assert late.status_code == 409
    assert (late.json["draft"]["source"], late.json["revision"], late.json["source"]) == (OTHER, 1, TEXT)
    assert "saved another draft" in late.json["detail"]
    assert save(alice, path, "mine: 1", revision=1).json["revision"] == 2
    assert save(alice, path, "mine: 1", revision=1).json["revision"] == 2
    assert save(alice, path, "mine: 2", revision=1).status_code == 409


def test_a_draft_of_an_older_version_is_refused(alice: Producer, path: str) -> None:
    alice.put(path, {"source": OTHER})
    revision = alice.get(f"{path}/draft").json["revision"]
    late = save(alice, path, TEXT, revision=revision)
    assert (late.status_code, late.json["version"], late.json["source"]) == (409, 2, OTHER)
    assert save(alice, path, TEXT, revision=revision, base=2).status_code == 200


def test_a_draft_is_published_with_its_note(alice: Producer, path: str) -> None:
    revision = save(alice, path, OTHER).json["revision"]
    published = alice.post(f"{path}/publish", {"revision": revision, "note": " Warmer "})
    assert published.status_code == 200, published.json
    automation = published.json["automation"]
    assert (automation["version"], automation["source"], automation["hasDraft"]) == (2, OTHER, False)
    assert automation["versions"][0]["note"] == "Warmer"
    version = alice.get(f"{path}/versions/2").json["version"]
    assert (version["source"], version["note"], version["definition"]) == (OTHER, "Warmer", read(OTHER))
    assert alice.get("/api/audit").json["entries"][0]["action"] == "automation.published"
    assert alice.post(f"{path}/publish", {"revision": revision}).status_code == 409
    assert alice.get(f"{path}/draft").json["revision"] == revision + 1


def test_only_the_revision_that_was_read_is_published_and_errors_stop_it(alice: Producer, path: str) -> None:
    assert alice.post(f"{path}/publish", {"revision": 0}).status_code == 409
    save(alice, path, OTHER)
    save(alice, path, TEXT.replace("send_email", "fax"), revision=1)
    stale = alice.post(f"{path}/publish", {"revision": 1})
    assert (stale.status_code, stale.json["revision"]) == (409, 2)
    refused = alice.post(f"{path}/publish", {"revision": 2})
    assert (refused.status_code, refused.json["errors"][0]["line"]) == (422, 5)
    assert get(alice, path.rpartition("/")[2])["version"] == 1
    assert alice.get(f"{path}/draft").json["draft"] is not None


def test_warnings_stop_no_publication(alice: Producer, path: str) -> None:
    text = (
        TEXT.replace("    with:", "    on_unknown: resend\n    with:")
        .replace("send_email", "send_sms")
        .replace("      subject: 'Hello'\n", "")
    )
    saved = save(alice, path, text).json
    assert (saved["valid"], [warning["line"] for warning in saved["warnings"]]) == (True, [6])
    published = alice.post(f"{path}/publish", {"revision": 1, "enabled": False}).json
    assert (published["automation"]["version"], len(published["warnings"])) == (2, 1)
    assert published["automation"]["enabled"] is False


def test_a_draft_is_discarded_by_its_revision(alice: Producer, path: str) -> None:
    save(alice, path, OTHER)
    assert alice.request("DELETE", f"{path}/draft?revision=0").status_code == 409
    assert alice.request("DELETE", f"{path}/draft").status_code == 422
    discarded = alice.request("DELETE", f"{path}/draft?revision=1").json
    assert (discarded["draft"], discarded["revision"]) == (None, 2)
    assert save(alice, path, OTHER, revision=0).status_code == 409


def test_a_version_is_restored_as_a_draft_and_publishes_nothing(alice: Producer, path: str) -> None:
    alice.put(path, {"source": OTHER})
    restored = alice.post(f"{path}/versions/1/restore")
    assert restored.status_code == 200, restored.json
    assert restored.json["draft"]["source"] == TEXT
    assert get(alice, path.rpartition("/")[2])["version"] == 2
    assert alice.post(f"{path}/versions/1/restore").status_code == 409
    again = alice.post(f"{path}/versions/2/restore", {"revision": restored.json["revision"]})
    assert again.json["draft"]["source"] == OTHER
    for version in ("3", "0", "x", "9" * 30):
        assert alice.post(f"{path}/versions/{version}/restore").status_code == 404
        assert alice.get(f"{path}/versions/{version}").status_code == 404


def test_two_versions_are_compared_in_words_and_in_lines(alice: Producer, path: str) -> None:
    alice.put(path, {"source": OTHER})
    diff = alice.get(f"{path}/diff?from=1&to=2").json
    assert [change["sentence"] for change in diff["changes"]] == [
        'Step "hello": subject changed from "Hello" to "Good day"'
    ]
    assert [(line["kind"], line["text"]) for line in diff["lines"] if line["kind"] in ("added", "removed")] == [
        ("removed", "      subject: 'Hello'"), ("added", "      subject: 'Good day'  # warmer"),
    ]  # fmt: skip
    revision = alice.get(f"{path}/draft").json["revision"]
    save(alice, path, OTHER + "rules: {daily_limit: 5}\n", revision=revision, base=2)
    assert [change["sentence"] for change in alice.get(f"{path}/diff?from=2").json["changes"]] == [
        "Daily limit added: 5"
    ]
    assert alice.get(f"{path}/diff?from=2&to=1").json["from"] == "2"
    assert alice.get(f"{path}/diff?from=7").status_code == 404
    save(alice, path, "steps: [", revision=revision + 1, base=2)
    assert alice.get(f"{path}/diff?from=1&to=draft").status_code == 422


def test_another_workspace_has_no_part_in_a_draft(charlie: Producer, path: str, alice: Producer) -> None:
    save(alice, path, OTHER)
    theirs = f"{charlie.automations}/{path.rpartition('/')[2]}"
    for response in (
        charlie.get(f"{theirs}/draft"), save(charlie, theirs, TEXT), charlie.get(f"{theirs}/diff?from=1"),
        charlie.post(f"{theirs}/publish", {"revision": 1}), charlie.request("DELETE", f"{theirs}/draft?revision=1"),
        charlie.post(f"{theirs}/versions/1/restore"),
    ):  # fmt: skip
        assert response.status_code == 404


def test_a_text_is_edited_without_being_saved(alice: Producer) -> None:
    edits = [{"op": "set", "path": "steps[0].with.subject", "value": "Bye"},
             {"op": "insert", "path": ["steps", 1], "value": {"id": "end", "action": "stop"}}]  # fmt: skip
    edited = alice.post(f"{alice.automations}/edit", {"source": TEXT, "edits": edits}).json
    assert edited["source"] == TEXT.replace("'Hello'", "'Bye'") + "  - id: end\n    action: stop\n"
    assert (edited["valid"], edited["definition"]) == (True, read(edited["source"]))
    wrong = alice.post(f"{alice.automations}/edit", {"source": TEXT, "edits": [{"op": "delete", "path": "steps[4]"}]})
    assert (wrong.status_code, wrong.json["errors"][0]["path"]) == (422, "steps[4]")
    broken = alice.post(f"{alice.automations}/edit", {"source": "a: [", "edits": edits})
    assert (broken.status_code, broken.json["errors"][0]["path"]) == (422, "source")
    for path in ("steps[", "[x]", "a..b"):
        refused = alice.post(f"{alice.automations}/edit", {"source": TEXT, "edits": [{"op": "set", "path": path}]})
        assert (refused.status_code, refused.json["errors"][0]["path"]) == (422, "edits[0].path")


def test_the_variables_of_a_place_are_offered_with_samples(alice: Producer) -> None:
    text = """
trigger: {type: order.paid, where: "payload.amount > 100"}
steps:
  - {id: write, action: generate_message, with: {prompt: "For {{ contact.attributes.plan }}"}}
  - id: fork
    action: branch
    if: "true"
    then: [{id: mail, action: send_email, with: {subject: s, body: b}}]
    else: [{id: follow, action: check_follow}]
  - {id: last, action: send_sms, with: {body: b}}
"""

    def offer(path: str, **fields: Any) -> dict[str, Any]:
        answer = alice.post(f"{alice.automations}/variables", {"source": text, "path": path, **fields})
        assert answer.status_code == 200, answer.json
        return {variable["name"]: variable for variable in answer.json["variables"]}

    mail = offer("steps[1].then[0].with.body")
    assert mail["steps.write.text"]["step"] == "write"
    assert mail["steps.fork.taken"]["type"] == "string"
    assert "unsubscribe_url" in mail
    assert "steps.follow.following" not in mail
    last = offer("steps[2].with.body")
    assert {"steps.follow.following", "steps.write.text", "contact.attributes.plan"} <= set(last)
    assert "unsubscribe_url" not in last
    assert (last["payload.amount"]["sample"], last["payload.amount"]["type"]) == (101, "number")
    assert not any(name.startswith("steps.") for name in offer("rules.where"))
    assert offer("steps[0].with.prompt", payload={"amount": 7})["payload.amount"]["sample"] == 7
    contact = alice.post("/api/contacts", {"firstName": "Zoe", "email": "zoe@example.com"}).json["contact"]["id"]
    assert offer("steps[0].with.prompt", contactId=contact)["contact.first_name"]["sample"] == "Zoe"
    unknown = {"source": text, "path": "steps[0]", "contactId": "01a00000-0000-7000-8000-000000000000"}
    assert alice.post(f"{alice.automations}/variables", unknown).status_code == 422


def test_the_form_opens_the_draft(bob: Browser, alice: Producer, path: str) -> None:
    save(alice, path, OTHER)
    page = bob.get(f"/automations/{path.rpartition('/')[2]}/edit").text
    assert "# warmer" in page
    assert post(bob, f"/automations/{path.rpartition('/')[2]}/versions/1/restore").status_code == 303
    assert alice.get(f"{path}/draft").json["draft"]["source"] == TEXT
