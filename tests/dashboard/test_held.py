"""What holds executions is told on every page, with what to do, and ended there by who may."""

from __future__ import annotations

from flask.testing import FlaskClient

from models import pause
from models.database import acting_as, changed, value
from models.ids import new_id
from tests.dashboard.cast import Producer
from tests.dashboard.test_pages import post, signed_in, words_of

REFUSED = "Instagram refused the request (the session has expired). Renew META_PAGE_ACCESS_TOKEN."


def refuse(alice: Producer) -> None:
    """As a worker does, whose call was refused."""
    with acting_as(alice.workspace_id):
        changed(
            "insert into pauses (id, workspace_id, kind, name, reason, message, retry_at) values "
            "(%s, %s, 'provider', 'instagram', 'configuration', %s, beckon_now() + interval '40 minutes')",
            (new_id(), alice.workspace_id, REFUSED),
        )


def test_refused_credentials_are_told_wherever_an_operator_looks(alice: Producer, client: FlaskClient) -> None:
    bob = signed_in(client, alice)
    assert "Nothing goes through" not in bob.get("/automations").text
    refuse(alice)

    for path in ("/automations", "/executions", "/summary"):
        told = words_of(bob.get(path).text)
        assert "Nothing goes through Instagram" in told
        assert REFUSED in told

    done = post(bob, "/pauses/provider/instagram/end")
    assert done.status_code == 303
    assert "It is tried again: nothing waited for it." in words_of(bob.get("/executions").text)
    with acting_as(alice.workspace_id):
        assert pause.every(alice.workspace_id) == []
        assert value("select action from audit order by id desc limit 1") == "provider.resumed"
    assert post(bob, "/pauses/provider/instagram/end").status_code == 404


def test_who_only_looks_sees_what_an_operator_holds_and_cannot_end_it(alice: Producer, client: FlaskClient) -> None:
    with acting_as(alice.workspace_id):
        pause.hold("queue", "sending", alice.workspace_id)
    viewer = signed_in(client, alice, role="viewer")

    page = viewer.get("/executions").text

    assert "An operator holds the queue sending" in words_of(page)
    assert "/pauses/" not in page
    assert post(viewer, "/pauses/queue/sending/end").status_code == 403
