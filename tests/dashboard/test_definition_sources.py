"""The text of a definition comes back as its author wrote it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rules.parsing import read
from tests.dashboard.producers import Producer, definition
from tests.dashboard.test_automation_form import read_definition
from tests.dashboard.test_pages import Browser, bob, post

__all__ = ["bob"]

TEXT = """\
# Ada owns this one
trigger:   {type: contact.created}
steps:
  - id: hello      # greets
    action: send_email
    with:
      subject: 'Hello'
      body: |
        Hi,

        it's us
"""
SOURCES = {
    "comments": TEXT,
    "crlf": TEXT.replace("\n", "\r\n"),
    "old Mac line ends": TEXT.replace("\n", "\r"),
    "byte order mark": "\ufeff" + TEXT,
    "tabs and blanks": TEXT.replace("# greets", "#\tgreets \t  ").replace("steps:", "steps:   ") + "\n\n  \n",
    "no last line end": TEXT.rstrip("\n"),
    "anchor": TEXT.replace("'Hello'", "&greeting 'Hello'"),
    "document marks": "---\n" + TEXT + "...\n",
    "json": json.dumps(definition(), indent=3) + "\n",
    "json with a byte order mark": "\ufeff" + json.dumps(definition()),
    "json with escapes": json.dumps(definition()).replace("Hello there", "\\u00e9\\/\\ud83d\\ude00"),
    "other characters": TEXT.replace("Ada", "Zoë 😀 e\u0301"),
}


def get(producer: Producer, automation_id: str) -> Any:
    return producer.get(f"{producer.automations}/{automation_id}").json["automation"]


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_a_source_comes_back_byte_for_byte(alice: Producer, source: str) -> None:
    created = alice.post(alice.automations, {"name": "Welcome", "source": source})
    assert created.status_code == 201, created.json
    automation = get(alice, created.json["automation"]["id"])
    assert (automation["source"], automation["definition"]) == (source, read(source))
    path = f"{alice.automations}/{automation['id']}"
    exported = alice.get(f"{path}/export")
    assert exported.data.decode() == source
    assert exported.mimetype == ("application/json" if source.lstrip("\ufeff")[0] == "{" else "application/yaml")
    assert alice.put(path, {"source": source}).json["automation"]["version"] == 1
    again = alice.post(alice.automations, {"name": "Copy", "source": exported.data.decode()})
    assert again.json["automation"]["source"] == source


def test_a_comment_alone_is_a_new_version(alice: Producer) -> None:
    created = alice.post(alice.automations, {"name": "Welcome", "source": TEXT}).json["automation"]
    path = f"{alice.automations}/{created['id']}"
    changed = TEXT.replace("Ada owns", "Ben owns")
    assert alice.put(path, {"source": changed}).json["automation"]["version"] == 2
    assert get(alice, created["id"])["source"] == changed
    assert alice.get(f"{path}/export?version=1").data.decode() == TEXT
    assert alice.get(f"{path}/export?version=3").status_code == 404


def test_a_definition_sent_as_an_object_keeps_the_comments_of_the_text(alice: Producer) -> None:
    created = alice.post(alice.automations, {"name": "Welcome", "source": TEXT}).json["automation"]
    document = created["definition"]
    document["steps"][0]["with"]["subject"] = "Good day"
    changed = alice.put(f"{alice.automations}/{created['id']}", {"definition": document}).json["automation"]
    assert changed["source"] == TEXT.replace("'Hello'", "'Good day'")
    assert changed["definition"] == document


def test_a_definition_sent_as_an_object_has_a_text_that_is_parsed_to_it(alice: Producer) -> None:
    automation = alice.create()
    assert read(automation["source"]) == definition()
    same = alice.put(f"{alice.automations}/{automation['id']}", {"source": automation["source"]}).json["automation"]
    assert same["version"] == 1


def test_a_body_has_one_definition(alice: Producer) -> None:
    for body, path in (
        ({"name": "n"}, "definition"),
        ({"name": "n", "definition": None}, "definition"),
        ({"name": "n", "definition": definition(), "source": TEXT}, "source"),
    ):
        response = alice.post(alice.automations, body)
        assert (response.status_code, response.json["errors"][0]["path"]) == (422, path)
    automation = alice.create()
    both = alice.put(f"{alice.automations}/{automation['id']}", {"definition": definition(), "source": TEXT})
    assert both.status_code == 422
    assert alice.post(f"{alice.automations}/validate", {}).status_code == 422


@pytest.mark.parametrize(
    ("source", "line", "column"),
    [(TEXT.replace("send_email", "send_fax"), 5, 5), (TEXT + "steps: [", 12, 9), ("{", 1, 2), ("a: [", 1, 5),
     (TEXT.replace("\n", "\r\n").replace("send_email", "send_fax"), 5, 5),
     ('{"trigger": {"type": "a"},\n "steps": [{"id": "a",\n  "action": "fax"}]}', 3, 3)],
)  # fmt: skip
def test_a_problem_of_a_source_has_its_line_and_column(alice: Producer, source: str, line: int, column: int) -> None:
    refused = alice.post(alice.automations, {"name": "n", "source": source})
    assert refused.status_code == 422
    validated = alice.post(f"{alice.automations}/validate", {"source": source}).json
    assert validated["valid"] is False
    for errors in (refused.json["errors"], validated["errors"]):
        assert (errors[0]["line"], errors[0]["column"]) == (line, column)


def test_another_type_or_trigger_is_validated_at_once(alice: Producer) -> None:
    path = f"{alice.automations}/validate"
    assert alice.post(path, {"source": TEXT, "type": "workflow"}).json["valid"] is True
    wrong = alice.post(path, {"source": TEXT, "type": "comment_to_dm"}).json["errors"]
    assert [(error["path"], error["line"]) for error in wrong] == [("trigger.type", 2)]
    right = {"source": TEXT, "type": "comment_to_dm", "trigger": "instagram.comment"}
    assert alice.post(path, right).json["valid"] is True
    for body in ({"source": TEXT}, {"definition": definition()}):
        schedule = alice.post(path, {**body, "trigger": "schedule"}).json["errors"]
        assert [error["path"] for error in schedule] == ["trigger.with"]
        assert alice.post(path, {**body, "trigger": {"type": "schedule", "with": {"cron": "0 9 * * *"}}}).json["valid"]
    assert alice.post(path, {"source": TEXT, "type": "playbook"}).json["valid"] is False


def test_the_form_shows_the_text_and_publishes_it_as_it_is_written(bob: Browser, alice: Producer) -> None:
    crlf = TEXT.replace("\n", "\r\n")
    created = alice.post(alice.automations, {"name": "Welcome", "source": crlf}).json["automation"]
    path = f"/automations/{created['id']}/edit"
    page_text = read_definition(bob.get(f"{path}?view=yaml").text)
    assert page_text.replace("\r\n", "\n") == TEXT
    unchanged = post(bob, path, name="Welcome", version="1", text=crlf)
    assert (unchanged.status_code, get(alice, created["id"])["version"]) == (303, 1)
    edited = crlf.replace("'Hello'", "'Bye'")
    assert post(bob, path, name="Welcome", version="1", text=edited).status_code == 303
    assert get(alice, created["id"])["source"] == edited


def test_another_workspace_s_definition_is_not_exported(alice: Producer, charlie: Producer) -> None:
    automation = alice.create()
    assert charlie.get(f"{charlie.automations}/{automation['id']}/export").status_code == 404
