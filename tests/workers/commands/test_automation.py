"""`beckon automation`: definitions as files."""

from __future__ import annotations

import json

import pytest
import yaml
from jsonschema import Draft202012Validator

from models.reports import automations
from tests.support.factories import HELLO, execution, wait_until_finished
from tests.support.rows import fetch_rows

DEFINITION = {"trigger": {"type": "contact.created"}, "steps": HELLO}


@pytest.fixture
def file(tmp_path):
    """A definition that can be published."""
    path = tmp_path / "say-hello.yaml"
    path.write_text(yaml.safe_dump(DEFINITION))
    return path


def test_a_file_becomes_an_automation_that_works(alice, alice_beckon, alice_json, file):
    automation = alice_json("automation", "import", str(file))
    assert automation["version"] == 1
    assert wait_until_finished(alice.trigger())["automation_id"] == automation["id"]
    assert "Say hello" in alice_beckon("automation", "list").stdout


def test_an_exported_definition_can_be_published_again(alice, alice_beckon, alice_json, file, tmp_path):
    automation_id = alice.automation()
    exported = tmp_path / "exported.yaml"
    exported.write_text(alice_beckon("automation", "export", automation_id).stdout)
    assert "is identical" in alice_beckon("automation", "publish", automation_id, str(exported)).stderr
    exported.write_text(exported.read_text().replace("Hi!", "Hello!"))
    assert alice_json("automation", "publish", automation_id, str(exported))["version"] == 2
    assert alice_json("automation", "export", automation_id)["steps"][0]["with"]["body"] == "Hello!"


def test_a_publication_reaches_the_workers_at_once(alice, alice_beckon, file):
    automation_id = alice.automation(name="Old")
    alice.trigger()
    file.write_text(yaml.safe_dump({**DEFINITION, "steps": [{"id": "end", "action": "stop"}]}))
    alice_beckon("automation", "publish", automation_id, str(file))
    assert execution(alice.trigger())["version"] == 2


def test_a_hook_s_secret_url_is_shown_once(alice_beckon, alice_json, file):
    file.write_text(yaml.safe_dump({**DEFINITION, "trigger": {"type": "hook"}}))
    automation = alice_json("automation", "import", str(file), "--name", "By hook")
    assert "/api/hooks/" in automation["hookUrl"]


def test_every_problem_is_named_by_its_path(beckon, tmp_path):
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps({**DEFINITION, "steps": [{"id": "a", "action": "notify", "with": {"channel": "fax"}}]}))
    result = beckon("automation", "validate", str(file), code=1)
    assert 'steps[0].with.channel: unknown channel "fax"' in result.stdout
    paths = {
        problem["path"]
        for problem in json.loads(beckon("automation", "validate", str(file), "--json", code=1).stdout)["errors"]
    }
    assert "steps[0].with.channel" in paths


def test_an_invalid_definition_is_not_imported(alice, alice_beckon, beckon, tmp_path):
    file = tmp_path / "wrong.yaml"
    file.write_text("steps: [")
    assert "line 1" in alice_beckon("automation", "import", str(file), code=1).stderr
    file.write_text("steps: []")
    assert "trigger: is required" in alice_beckon("automation", "import", str(file), code=1).stderr
    assert automations.fetch_page(alice.workspace_id, limit=10) == []


def test_a_valid_file_can_be_published(beckon, file):
    assert beckon("automation", "validate", str(file)).stdout == f"{file} can be published.\n"
    assert beckon("automation", "validate", "-", stdin=file.read_text()).returncode == 0


def test_an_editor_s_schema_accepts_a_valid_definition_and_no_other(beckon):
    schema = Draft202012Validator(json.loads(beckon("automation", "schema").stdout))
    assert schema.is_valid(DEFINITION)
    assert not schema.is_valid({**DEFINITION, "steps": [{"id": "a", "action": "dance"}]})


def test_an_automation_is_turned_off_and_on(alice, alice_beckon):
    automation_id = alice.automation()
    assert alice_beckon("automation", "disable", automation_id).stdout == '"Welcome" is off.\n'
    assert alice.trigger().executions == []
    alice_beckon("automation", "enable", automation_id)
    assert len(alice.trigger().executions) == 1
    assert "no automation with that id" in alice_beckon("automation", "disable", "nonsense", code=1).stderr


def test_a_webhook_to_a_private_network_is_published_only_where_allowed(beckon, alice_beckon, tmp_path):
    path = tmp_path / "call.yaml"
    step = {"id": "call", "action": "call_webhook", "with": {"url": "http://10.0.0.7/in"}}
    path.write_text(yaml.safe_dump({**DEFINITION, "steps": [step]}))
    assert "steps[0].with.url" in beckon("automation", "validate", str(path), code=1).stdout
    assert "steps[0].with.url" in alice_beckon("automation", "import", str(path), code=1).stderr
    allowed = {"WEBHOOK_ALLOWED_NETWORKS": "10.0.0.0/8"}
    beckon("automation", "validate", str(path), **allowed)
    alice_beckon("automation", "import", str(path), **allowed)


def test_a_test_uses_sample_contacts_and_a_sample_event(alice, alice_beckon, alice_json, sandbox):
    automation_id = alice.automation(trigger={"type": "invoice.overdue", "where": "payload.amount > 100"})
    assert alice_json("automation", "test", automation_id, "--show") == {"amount": 101}
    assert fetch_rows("select 1 from executions") == []
    started = alice_json("automation", "test", automation_id, "--sample", "2")
    assert (len(started["executions"]), started["payload"]) == (2, {"amount": 101})
    for execution_row in started["executions"]:
        assert wait_until_finished(execution_row["executionId"])["status"] == "succeeded"
    assert {message["to"] for message in sandbox.list_messages()} == {
        "ada.byron@sample.example", "ben.okafor@sample.example",
    }  # fmt: skip
    assert "succeeded" in alice_beckon("automation", "test", automation_id, "--payload", "{}", "--follow").stdout


def test_a_test_is_refused_without_a_sandbox_and_for_an_unknown_id(alice, alice_beckon):
    automation_id = alice.automation()
    assert "is off" in alice_beckon("automation", "test", automation_id, BECKON_SANDBOX="off", code=1).stderr
    assert "no automation" in alice_beckon("automation", "test", "nonsense", code=1).stderr
    assert "no published automation" in alice_beckon("automation", "test", alice.workspace_id, code=1).stderr
    alice_beckon("automation", "test", automation_id, "--sample", "1", "--contact-id", "x", code=2)


def test_a_file_becomes_a_playbook_and_a_hostile_one_is_refused(alice, beckon, alice_beckon, alice_json, tmp_path):
    file = tmp_path / "offer.yaml"
    title = {"id": "title", "action": "replace_text", "with": {"selector": "h1", "text": "Welcome"}}
    file.write_text(yaml.safe_dump({"trigger": {"type": "page"}, "steps": [title]}))
    automation_id = alice_json("automation", "import", str(file))["id"]
    assert automations.find(alice.workspace_id, automation_id)["type"] == "playbook"
    link = {"id": "link", "action": "set_attribute", "with": {"selector": "a", "name": "onclick", "value": "alert(1)"}}
    file.write_text(yaml.safe_dump({"trigger": {"type": "page"}, "steps": [link]}))
    assert "steps[0].with.name" in beckon("automation", "validate", str(file), code=1).stdout
    for arguments in (("import", str(file)), ("publish", automation_id, str(file))):
        assert "a browser executes its value" in alice_beckon("automation", *arguments, code=1).stderr
    assert automations.find(alice.workspace_id, automation_id)["version"] == 1


SOURCE = (
    b"# Ada owns it\r\ntrigger: {type: contact.created}\r\nsteps:\r\n- id: end # at once\r\n  action: stop\r\n\r\n \r\n"
)


def test_a_file_is_imported_published_and_exported_byte_for_byte(alice, alice_beckon, alice_json, tmp_path):
    file = tmp_path / "own.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + SOURCE)
    automation_id = alice_json("automation", "import", str(file))["id"]
    row = automations.find(alice.workspace_id, automation_id)
    assert row["source"].encode() == file.read_bytes()
    assert "is identical" in alice_beckon("automation", "publish", automation_id, str(file)).stderr
    file.write_bytes(SOURCE.replace(b"Ada", b"Ben"))
    assert alice_json("automation", "publish", automation_id, str(file), "--note", "A new owner")["version"] == 2
    versions = alice_json("automation", "versions", automation_id)["versions"]
    assert [version["note"] for version in versions] == ["A new owner", None]
    assert "+ # Ben owns it" in alice_beckon("automation", "diff", automation_id, "1").stdout
    alice_beckon("automation", "restore", automation_id, "1")
    assert "saved a draft" in alice_beckon("automation", "restore", automation_id, "1", code=1).stderr
    restored = automations.find(alice.workspace_id, automation_id)
    assert (restored["draft_source"].encode(), restored["version"]) == (b"\xef\xbb\xbf" + SOURCE, 2)
    assert "Draft saved by" in alice_beckon("automation", "versions", automation_id).stdout


def test_a_file_is_validated_for_a_type_with_lines(beckon, tmp_path):
    file = tmp_path / "own.yaml"
    file.write_bytes(SOURCE)
    answer = beckon("automation", "validate", str(file), "--type", "comment_to_dm", "--json", code=1).stdout
    (error,) = json.loads(answer)["errors"]
    assert (error["path"], error["line"], error["column"]) == ("trigger.type", 2, 11)
