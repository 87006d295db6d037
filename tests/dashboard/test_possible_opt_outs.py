"""Messages that may be opt-outs over HTTP and on their page: listed, counted, suppressed and dismissed."""

from __future__ import annotations

import pytest

import clock
from models import conversation, possible_opt_out
from models.database import acting_as
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import Browser, bob, post, read_text

__all__ = ["bob"]

PATH = "/api/possible-opt-outs"


def receive(producer: Producer, contact_id: str, text: str, channel: str = "sms") -> str:
    """List a message of a contact; return its id."""
    with acting_as(producer.workspace_id):
        row = conversation.record_received(
            producer.workspace_id, contact_id, channel, text, kind="message", text=text, at=clock.now()
        )
        possible_opt_out.record(producer.workspace_id, contact_id, channel, row["id"])
    possible_opt_out.count_open.forget(producer.workspace_id)
    return str(possible_opt_out.fetch_page(producer.workspace_id, 1, None)[0]["id"])


@pytest.fixture
def ada(alice: Producer) -> str:
    return example_executions.create_contact(alice, "Ada", phone="+15550100")


def test_a_message_is_listed_suppressed_and_audited(alice: Producer, charlie: Producer, ada: str) -> None:
    row_id = receive(alice, ada, "please no more")
    (row,) = alice.get(PATH).json["possibleOptOuts"]
    assert {name: row[name] for name in ("id", "contactId", "channel", "address", "text", "resolvedAs")} == {
        "id": row_id, "contactId": ada, "channel": "sms", "address": "+15550100", "text": "please no more",
        "resolvedAs": None,
    }  # fmt: skip
    assert charlie.get(PATH).json["possibleOptOuts"] == []
    assert charlie.post(f"{PATH}/{row_id}/resolve", {"as": "suppress"}).status_code == 404
    assert alice.post(f"{PATH}/{row_id}/resolve", {"as": "ignore"}).json["errors"][0]["path"] == "as"

    resolved = alice.post(f"{PATH}/{row_id}/resolve", {"as": "suppress"})

    assert (resolved.status_code, resolved.json["possibleOptOut"]["resolvedAs"]) == (200, "suppress")
    assert alice.post(f"{PATH}/{row_id}/resolve", {"as": "dismiss"}).status_code == 409
    assert alice.get(f"/api/contacts/{ada}").json["contact"]["suppressed"] == [{"channel": "sms", "reason": "stopped"}]
    assert [row["id"] for row in alice.get(f"{PATH}?status=resolved").json["possibleOptOuts"]] == [row_id]
    assert alice.get("/api/audit?action=possible_opt_out.suppressed").json["entries"][0]["objectId"] == row_id


def test_a_dismissed_message_changes_nothing_else(alice: Producer, ada: str) -> None:
    row_id = receive(alice, ada, "not interested")
    assert alice.post(f"{PATH}/{row_id}/resolve", {"as": "dismiss"}).status_code == 200
    assert alice.get(PATH).json["possibleOptOuts"] == []
    assert alice.get(f"/api/contacts/{ada}").json["contact"]["suppressed"] == []


def test_mail_is_suppressed_as_an_unsubscription(alice: Producer) -> None:
    ada = example_executions.create_contact(alice, "Ada", email="ada@example.com")
    row_id = receive(alice, ada, "no more", "email")
    alice.post(f"{PATH}/{row_id}/resolve", {"as": "suppress"})
    assert alice.get("/api/suppressions").json["suppressions"][0]["reason"] == "unsubscribed"


def test_the_list_is_paged(alice: Producer, ada: str) -> None:
    for number in range(3):
        receive(alice, ada, f"no more {number}")
    first = alice.get(f"{PATH}?limit=2").json
    rest = alice.get(f"{PATH}?limit=2&cursor={first['nextCursor']}").json
    texts = [row["text"] for row in [*first["possibleOptOuts"], *rest["possibleOptOuts"]]]
    assert (texts, rest["nextCursor"]) == (["no more 2", "no more 1", "no more 0"], None)


def test_a_person_judges_messages_on_the_page(bob: Browser, alice: Producer, ada: str) -> None:
    assert "No possible opt-outs" in bob.get("/suppressions/possible").text
    rows = [receive(alice, ada, text) for text in ("<b>no more</b>", "not interested")]
    page = bob.get("/suppressions/possible").text
    assert "&lt;b&gt;no more&lt;/b&gt;" in page
    assert 'data-badge="contacts">2<' in page
    for path in ("/suppressions", "/contacts"):
        assert "Possible opt-outs 2" in read_text(bob.get(path).text)
    assert post(bob, f"/suppressions/possible/{rows[1]}/dismiss").status_code == 303
    assert post(bob, f"/suppressions/possible/{rows[0]}/suppress").status_code == 303
    assert "SMS suppressed." in bob.get("/suppressions/possible").text
    post(bob, f"/suppressions/possible/{rows[0]}/dismiss")
    assert "already resolved" in bob.get("/suppressions/possible").text
    resolved = read_text(bob.get("/suppressions/possible?status=resolved").text)
    assert "suppressed by Bob" in resolved
    assert "dismissed by Bob" in resolved
