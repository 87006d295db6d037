"""The contact pages: the list, the form, one contact with its conversation, and permissions."""

from __future__ import annotations

import html
import re
from typing import Any

import clock
from dashboard.pages.contact_fields import parse_originals
from models import contact, conversation, suppression
from models.audit import SYSTEM
from models.database import acting_as
from models.ids import new_id
from models.queries import execute, fetch_value
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import Browser, automation, bob, post, read_text, sign_in_as

__all__ = ["automation", "bob"]


def list_names(browser: Browser, query: str = "") -> list[str]:
    page = browser.get(f"/contacts?{query}").text
    return re.findall(r'<a class="row contact-row".*?<span class="who">([^<]*)<', page, re.DOTALL)


def read_form(browser: Browser, contact_id: str) -> dict[str, Any]:
    page = browser.get(f"/contacts/{contact_id}?edit").text
    fields: dict[str, Any] = {}
    for name, text in re.findall(r'name="([\w-]+)"[^>]*? value="([^"]*)"', page):
        fields.setdefault(name, []).append(html.unescape(text))
    return {name: texts if name.startswith("attribute") else texts[-1] for name, texts in fields.items()}


def fetch_contact(alice: Producer, contact_id: str) -> Any:
    return alice.get(f"/api/contacts/{contact_id}").json["contact"]


def create_task(alice: Producer, contact_id: str, execution_id: str) -> str:
    task_id = new_id()
    with acting_as(alice.workspace_id):
        execute(
            "insert into contact_tasks (id, workspace_id, contact_id, execution_id, step_id, title) "
            "values (%s, %s, %s, %s, 'call', 'Call Ada')",
            (task_id, alice.workspace_id, contact_id, execution_id),
        )
    return task_id


def test_an_empty_list_shows_how_to_add_contacts(bob: Browser) -> None:
    page = read_text(bob.get("/contacts").text)
    assert "No contacts yet" in page
    assert "Import CSV" in page


def test_contacts_are_filtered_by_the_url_with_a_chip_per_filter(bob: Browser, alice: Producer) -> None:
    ada = example_executions.create_contact(alice, "Ada", email="ada@example.com", tags=["lead"])
    example_executions.create_contact(alice, "Grace", tags=["lead"])
    suppression.add(alice.workspace_id, ada, "email", SYSTEM)
    assert list_names(bob) == ["Grace", "Ada"]
    assert list_names(bob, "q=ADA@example.com") == list_names(bob, "suppressed=email&tag=lead") == ["Ada"]
    assert list_names(bob, "tag=lead&time=today&suppressed=") == ["Grace", "Ada"]
    page = bob.get("/contacts?q=nobody&tag=lead").text
    assert "No matching contacts" in page
    assert 'href="/contacts?q=nobody" aria-label="Remove filter: tag lead"' in page
    assert bob.get("/contacts?suppressed=fax").status_code == 422


def test_older_contacts_follow_without_gaps(bob: Browser, alice: Producer) -> None:
    for number in range(53):
        example_executions.create_contact(alice, f"Person{number}")
    first = bob.get("/contacts?q=person").text
    older = html.unescape(re.findall(r'href="/contacts\?([^"]+)">Older', first)[0])
    assert [*list_names(bob, "q=person"), *list_names(bob, older)] == [
        f"Person{number}" for number in range(52, -1, -1)
    ]


def test_a_new_contact_is_created_and_opened(bob: Browser, alice: Producer) -> None:
    response = post(bob, "/contacts/new", firstName="Ada", email="ADA@example.com", tags="lead, vip",
                  **{"attribute-name": "seats", "attribute-value": "3"})  # fmt: skip
    assert response.status_code == 303
    created = fetch_contact(alice, response.headers["Location"].rsplit("/", 1)[1])
    assert (created["firstName"], created["email"], created["tags"]) == ("Ada", "ada@example.com", ["lead", "vip"])
    assert created["attributes"] == {"seats": 3}


def test_an_existing_contact_is_linked_and_not_changed(bob: Browser, alice: Producer) -> None:
    ada = example_executions.create_contact(alice, "Ada", email="ada@example.com")
    response = post(bob, "/contacts/new", email="ada@example.com", lastName="Other")
    assert response.status_code == 409
    assert f'href="/contacts/{ada}"' in response.text
    assert fetch_contact(alice, ada)["lastName"] is None


def test_problems_of_a_new_contact_are_shown_beside_their_fields(bob: Browser, alice: Producer) -> None:
    response = post(bob, "/contacts/new", email="nonsense", phone="12", firstName="Ada")
    assert response.status_code == 422
    assert "must be an e-mail address" in response.text
    assert "must be a phone number" in response.text
    assert 'name="firstName" type="text" value="Ada"' in response.text
    assert post(bob, "/contacts/new").status_code == 422
    assert alice.get("/api/contacts").json["contacts"] == []


def test_only_changed_fields_are_written(bob: Browser, alice: Producer) -> None:
    ada = example_executions.create_contact(alice, "Ada", phone="+15550100", tags=["lead", "old"],
                          attributes={"plan": "pro", "seats": 3, "zip": "0123"})  # fmt: skip
    form = read_form(bob, ada)
    contact.change(alice.workspace_id, ada, {"phone": "+15550199", "tags": ["lead", "old", "new"]}, SYSTEM)
    form.update(lastName="Byron", tags="lead, vip")
    form["attribute-value"][form["attribute-name"].index("seats")] = ""
    assert bob.post(f"/contacts/{ada}", data=form).status_code == 303
    updated = fetch_contact(alice, ada)
    assert (updated["lastName"], updated["phone"], updated["tags"]) == ("Byron", "+15550199", ["lead", "new", "vip"])
    assert updated["attributes"] == {"plan": "pro", "zip": "0123"}


def test_an_unchanged_form_and_an_invalid_form_write_nothing(bob: Browser, alice: Producer) -> None:
    example_executions.create_contact(alice, "Grace", email="grace@example.com")
    ada = example_executions.create_contact(
        alice, "Ada", attributes={"text": '"quoted"', "deep": {"a": [1]}, "zip": "0123"}
    )
    form = read_form(bob, ada)
    assert bob.post(f"/contacts/{ada}", data=form).status_code == 303
    assert "No changes." in bob.get(f"/contacts/{ada}").text
    taken = bob.post(f"/contacts/{ada}", data={**form, "email": "grace@example.com"})
    assert (taken.status_code, "belongs to another contact" in taken.text) == (409, True)
    wrong = bob.post(f"/contacts/{ada}", data={**form, "lastName": "Byron", "timezone": "Mars/North"})
    assert (wrong.status_code, fetch_contact(alice, ada)["lastName"]) == (422, None)
    assert bob.post(f"/contacts/{ada}", data={**form, "was": "[1"}).status_code == 303
    assert parse_originals('{"a":"' + "x" * 64 * 1024 + '"}') == {}


def test_the_conversation_shows_both_directions_in_order(
    bob: Browser, alice: Producer, automation: dict[str, Any]
) -> None:
    ada = example_executions.create_contact(alice, "Ada")
    execution_id = example_executions.create_execution(alice, automation, contact_id=ada)
    example_executions.create_message(
        alice, automation, execution_id, contact_id=ada, sent_at=clock.now(), status="delivered", body="Our offer"
    )
    with acting_as(alice.workspace_id):
        conversation.record_received(
            alice.workspace_id, ada, "email", "m-1", kind="message", text="Tell me more", at=clock.now()
        )
    page = read_text(bob.get(f"/contacts/{ada}").text)
    section = page[page.index("Conversation") :]
    assert section.index("Our offer") < section.index("delivered") < section.index("Tell me more")
    assert "Welcome" in section


def test_the_page_shows_the_contacts_executions_and_local_time(
    bob: Browser, alice: Producer, automation: dict[str, Any]
) -> None:
    ada = example_executions.create_contact(alice, "Ada", timezone="Asia/Kolkata")
    for _ in range(11):
        example_executions.create_execution(alice, automation, contact_id=ada)
    page = bob.get(f"/contacts/{ada}").text
    assert f'href="/executions?contactId={ada}">Show all' in page
    assert "local time (Asia/Kolkata)" in page
    assert f'href="/contacts/{ada}"' in bob.get(find_execution_path(bob, ada)).text


def find_execution_path(browser: Browser, contact_id: str) -> str:
    return re.findall(r'href="(/executions/[0-9a-f-]{36})"', browser.get(f"/contacts/{contact_id}").text)[0]


def test_a_channel_is_suppressed_and_lifted_after_confirmation(bob: Browser, alice: Producer) -> None:
    ada = example_executions.create_contact(alice, "Ada", email="ada@example.com")
    path = f"/contacts/{ada}/channels/email"
    assert "Suppress E-mail for Ada?" in read_text(bob.get(path).text)
    assert post(bob, path, suppress="true").status_code == 303
    assert "Suppressed: by an operator" in read_text(bob.get(f"/contacts/{ada}").text)
    assert "Lift the suppression of E-mail for Ada?" in read_text(bob.get(path).text)
    post(bob, path, suppress="true")
    assert "already suppressed" in bob.get(f"/contacts/{ada}").text
    for reason in ("", "  "):
        assert post(bob, path, suppress="false", reason=reason).status_code == 422
    assert post(bob, path, suppress="false", reason="asked by phone").status_code == 303
    assert fetch_contact(alice, ada)["suppressed"] == []
    with acting_as(alice.workspace_id):
        assert fetch_value("select actor_name from audit order by id desc limit 1") == "Bob"
        assert fetch_value("select detail ->> 'because' from audit order by id desc limit 1") == "asked by phone"
    assert bob.get(f"/contacts/{ada}/channels/fax").status_code == 404


def test_a_task_is_marked_as_done_and_reopened(bob: Browser, alice: Producer, automation: dict[str, Any]) -> None:
    ada = example_executions.create_contact(alice, "Ada")
    task_id = create_task(alice, ada, example_executions.create_execution(alice, automation, contact_id=ada))
    assert "Call Ada" in bob.get(f"/contacts/{ada}").text
    assert post(bob, f"/contacts/{ada}/tasks/{task_id}", done="true").status_code == 303
    assert 'class="done"' in bob.get(f"/contacts/{ada}").text
    post(bob, f"/contacts/{ada}/tasks/{task_id}", done="false")
    assert 'class="done"' not in bob.get(f"/contacts/{ada}").text
    for unknown_id in ("nonsense", new_id()):
        assert post(bob, f"/contacts/{ada}/tasks/{unknown_id}").status_code == 404


def test_deleting_asks_first_with_the_number_of_active_executions(
    bob: Browser, alice: Producer, automation: dict[str, Any]
) -> None:
    ada = example_executions.create_contact(alice, "Ada")
    for _ in range(2):
        example_executions.create_execution(alice, automation, status="pending", stage="queued", contact_id=ada)
    assert "2 active executions" in read_text(bob.get(f"/contacts/{ada}/delete").text)
    assert post(bob, f"/contacts/{ada}/delete").headers["Location"] == "/contacts"
    assert "2 active executions cancelled" in read_text(bob.get("/contacts").text)
    assert bob.get(f"/contacts/{ada}").status_code == 404


def test_a_viewer_reads_contacts_and_changes_nothing(alice: Producer, client: Browser) -> None:
    viewer = sign_in_as(client, alice, "viewer")
    ada = example_executions.create_contact(alice, "Ada", email="ada@example.com")
    for path in ("/contacts", f"/contacts/{ada}", f"/contacts/{ada}?edit"):
        page = viewer.get(path)
        assert page.status_code == 200
        assert not re.search(
            r'(action|href)="/contacts/[^"]*(new|import|edit|delete|channels)|<form[^>]+"/contacts/', page.text
        )
    for path in ("/contacts/new", f"/contacts/{ada}", f"/contacts/{ada}/delete", f"/contacts/{ada}/channels/email",
                 f"/contacts/{ada}/tasks/{ada}"):  # fmt: skip
        assert (path, post(viewer, path, firstName="X").status_code) == (path, 403)


def test_another_workspaces_contact_is_404(bob: Browser, charlie: Producer) -> None:
    theirs = example_executions.create_contact(charlie, "Secret", email="secret@example.com")
    assert list_names(bob) == list_names(bob, "q=secret@example.com") == []
    for path in ("", "/delete", "/channels/email"):
        assert (path, bob.get(f"/contacts/{theirs}{path}").status_code) == (path, 404)
        assert (path, post(bob, f"/contacts/{theirs}{path}", firstName="X").status_code) == (path, 404)
    assert bob.get("/contacts/nonsense").status_code == 404


def test_messages_of_contacts_are_escaped(bob: Browser, alice: Producer) -> None:
    mean = "<script>alert(1)</script>"
    ada = example_executions.create_contact(alice, "Ada", last_name=mean, tags=[mean], attributes={"x": mean})
    with acting_as(alice.workspace_id):
        conversation.record_received(alice.workspace_id, ada, "sms", "m-1", kind="message", text=mean, at=clock.now())
    for path in ("", f"/{ada}", f"/{ada}?edit", f"/{ada}/delete"):
        page = bob.get(f"/contacts{path}").text
        assert mean not in page
        assert "&lt;script&gt;" in page
