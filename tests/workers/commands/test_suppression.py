"""`beckon suppression`: suppressed addresses, listed and changed."""

from __future__ import annotations

import json

from models import audit


def list_addresses(alice_json, *options):
    return [(row["address"], row["reason"], row["topic"]) for row in alice_json(
        "suppression", "list", *options)["suppressions"]]  # fmt: skip


def test_an_address_and_a_topic_are_suppressed_and_lifted_with_a_reason(alice, alice_beckon, alice_json):
    topic = ("email", "ada@example.com", "--topic", "News")
    assert "is suppressed" in alice_beckon("suppression", "add", "email", "Ada@Example.com").stdout
    alice_beckon("suppression", "add", *topic, "--reason", "unsubscribed")
    assert list_addresses(alice_json) == [
        ("ada@example.com", "unsubscribed", "News"), ("ada@example.com", "operator", None),
    ]  # fmt: skip
    assert "already suppressed" in alice_beckon("suppression", "add", *topic, "--reason", "unsubscribed", code=1).stderr

    alice_beckon("suppression", "lift", *topic[:2], code=2)
    alice_beckon("suppression", "lift", *topic[:2], "--reason", " ", code=2)
    assert "operator" in alice_beckon("suppression", "lift", *topic[:2], "--reason", "asked by phone").stdout
    assert list_addresses(alice_json) == [("ada@example.com", "unsubscribed", "News")]
    alice_beckon("suppression", "lift", *topic, "--reason", "asked by phone")
    assert alice_beckon("suppression", "lift", *topic, "--reason", "again", code=1).stderr
    assert alice_beckon("suppression", "list").stdout == "No suppressed addresses.\n"
    entry = audit.fetch_page(alice.workspace_id, 1)[0]
    assert (entry["actor_kind"], entry["action"], entry["detail"]["because"], entry["detail"]["topic"]) == (
        "command", "suppression.lifted", "asked by phone", "News",
    )  # fmt: skip


def test_an_exported_file_is_imported(alice_beckon, alice_json):
    rows = ("channel,address,reason,topic", "sms,+15550100,stopped,", "email,ada@example.com,,News", "sms,nobody,,",
            "sms,+15550100,,x")  # fmt: skip
    file = "\n".join(rows)
    imported = json.loads(alice_beckon("suppression", "import", "-", "--json", stdin=file).stdout)
    assert (imported["imported"], [(row["line"], row["field"]) for row in imported["rejected"]]) == (
        2, [(4, "address"), (5, "topic")],
    )  # fmt: skip
    exported = alice_beckon("suppression", "export").stdout
    again = json.loads(alice_beckon("suppression", "import", "-", "--json", stdin=exported).stdout)
    assert (again["imported"], again["repeated"], again["rejected"]) == (0, 2, [])
    assert alice_json("suppression", "export") == alice_json("suppression", "list")
    assert list_addresses(alice_json, "--channel", "sms", "--query", "+1555") == [("+15550100", "stopped", None)]
    assert "address" in alice_beckon("suppression", "import", "-", stdin="name\nada", code=1).stderr
