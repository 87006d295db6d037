"""What holds executions is told on every page, with what to do, and ended there by who may."""

from __future__ import annotations

from flask.testing import FlaskClient

from models import pause
from models.database import acting_as, execute, fetch_value
from models.ids import new_id
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import post, read_text, sign_in_as

REFUSED = "Instagram refused the request (the session has expired). Renew META_PAGE_ACCESS_TOKEN."


def record_refusal(alice: Producer) -> None:
    """As a worker does, whose call was refused."""
    with acting_as(alice.workspace_id):
        execute(
            "insert into pauses (id, workspace_id, kind, name, reason, message, retry_at) values "
            "(%s, %s, 'provider', 'instagram', 'configuration', %s, beckon_now() + interval '40 minutes')",
            (new_id(), alice.workspace_id, REFUSED),
        )


def test_refused_credentials_are_told_wherever_an_operator_looks(alice: Producer, client: FlaskClient) -> None:
    bob = sign_in_as(client, alice)
    assert "is paused" not in bob.get("/automations").text
    record_refusal(alice)

    for path in ("/automations", "/executions", "/summary"):
        text = read_text(bob.get(path).text)
        assert "Instagram is paused" in text
        assert REFUSED in text

    response = post(bob, "/pauses/provider/instagram/end")
    assert response.status_code == 303
    assert "Instagram resumed: nothing was waiting." in read_text(bob.get("/executions").text)
    with acting_as(alice.workspace_id):
        assert pause.list_all(alice.workspace_id) == []
        assert fetch_value("select action from audit order by id desc limit 1") == "provider.resumed"
    assert post(bob, "/pauses/provider/instagram/end").status_code == 404


def test_who_only_looks_sees_what_an_operator_holds_and_cannot_end_it(alice: Producer, client: FlaskClient) -> None:
    with acting_as(alice.workspace_id):
        pause.start("queue", "sending", alice.workspace_id)
    viewer = sign_in_as(client, alice, role="viewer")

    page = viewer.get("/executions").text

    assert "Queue sending is paused by an operator" in read_text(page)
    assert "/pauses/" not in page
    assert post(viewer, "/pauses/queue/sending/end").status_code == 403
