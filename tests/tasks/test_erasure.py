"""An erased contact leaves nothing that names it, stays suppressed, and takes no count with it."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg2.sql import SQL, Identifier

from models import address_key, contact, erasure, suppression
from models.audit import SYSTEM, AuditActor
from models.database import acting_as, db
from models.errors import NotFound
from models.ids import new_id
from models.queries import execute, fetch_value
from models.reports import contact_export
from models.suppression import Entry
from rules.contact_file import parse_contact_file
from rules.json_text import dump_json, load_json
from sandbox.server import RunningSandbox
from tasks.intake.callbacks import process_event
from tasks.operators import contact_import
from tasks.operators.contacts import erase_contact
from tasks.runtime.engine import Engine
from tests.support.concurrency import assert_consistent, count_provider_calls
from tests.support.factories import HELLO, Alice, counters, execution, messages, wait_for_status, wait_until_finished
from tests.support.rows import fetch_row, fetch_rows
from tests.support.webhooks import store_event

#: Occurs in every field of the contact that has one.
MARK = "zqxmark"
ADDRESSES = {"email": f"{MARK}@example.com", "phone": "+15559871234", "instagram_id": "99887766554433221"}
FORBIDDEN = (MARK, "5559871234", "99887766554433221")
CONTACT: dict[str, Any] = {
    **ADDRESSES, "external_id": f"{MARK}-1", "facebook_id": f"{MARK}fb", "first_name": MARK, "last_name": MARK,
    "username": MARK, "timezone": "UTC", "tags": [MARK], "attributes": {"plan": MARK, MARK: 1},
}  # fmt: skip
ACTOR = AuditActor("user", None, "Alice")
EVERYTHING: list[dict[str, Any]] = [
    {"id": "write", "action": "generate_message", "with": {"prompt": "Write to {{ contact.first_name }}"}},
    {"id": "task", "action": "create_task", "with": {"title": "Call {{ contact.first_name }}"}},
    {"id": "tag", "action": "update_contact", "with": {"set": {"seen": "{{ contact.email }}"}}},
    {
        "id": "hello", "action": "send_email",
        "with": {
            "subject": "For {{ contact.first_name }}", "track_clicks": True,
            "body": "{{ contact.email }} https://shop.example/?who={{ contact.email }} {{ payload.note }}",
        },
    },
    {"id": "sms", "action": "send_sms", "with": {"body": "Hi {{ contact.username }}"}},
]  # fmt: skip
SMS_THEN_WAIT = [
    {"id": "sms", "action": "send_sms", "with": {"body": "Hi {{ contact.username }}"}},
    {"id": "rest", "action": "wait", "with": {"for": "2d"}},
]


@pytest.fixture
def alice(engine: Engine) -> Alice:
    return Alice()


def find_text(text: str) -> list[str]:
    """The tables of which a row contains a text, in whatever column and case."""
    tables = fetch_rows(
        "select table_name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'"
    )
    tables_with_text = []
    for name in sorted(row["table_name"] for row in tables):
        query = SQL("select count(*) from {table} t where t::text ilike %s").format(table=Identifier(name))
        with db.connection().cursor() as cursor:
            cursor.execute(query, (f"%{text}%",))
            if cursor.fetchone()[0]:
                tables_with_text.append(name)
    return tables_with_text


def plant(alice: Alice) -> str:
    """Leave the mark wherever a contact leaves something; return the contact's id."""
    alice.automation(EVERYTHING, trigger="everything")
    alice.automation(SMS_THEN_WAIT, trigger="waits", name="Waits")
    alice.automation(HELLO, trigger="skipped", name="Skipped", rules={"where": "contact.attributes.plan == 'pro'"})
    broken = [{"id": "hello", "action": "send_email", "with": {"subject": "x", "body": "{{ payload.missing }}"}}]
    alice.automation(broken, trigger="fails", name="Fails")
    fields = {"contact": CONTACT, "payload": {"note": f"From {MARK}"}}
    finished = alice.trigger("everything", **fields, idempotency_key=f"order-{ADDRESSES['email']}")
    for accepted in (finished, alice.trigger("skipped", **fields), alice.trigger("fails", **fields)):
        wait_until_finished(accepted)
    wait_for_status(alice.trigger("waits", **fields))
    contact_id = str(finished.contact_id)
    _plant_around(alice, contact_id, execution(finished)["automation_id"])
    return contact_id


def _plant_around(alice: Alice, contact_id: str, automation_id: str) -> None:
    workspace_id = alice.workspace_id
    contact.change(workspace_id, contact_id, {"last_name": f"{MARK} Byron"}, ACTOR)
    with acting_as(workspace_id):
        suppression.add_for_contact(workspace_id, contact_id, "email", ADDRESSES["email"], "complained")
    inserts: tuple[tuple[str, tuple[Any, ...]], ...] = (
        ("insert into received_messages (id, workspace_id, contact_id, channel, provider_message_id, kind, text, at) "
         "values (%s, %s, %s, 'sms', 'in-1', 'message', %s, beckon_now())",
         (new_id(), workspace_id, contact_id, f"I am {MARK}")),
        ("insert into possible_opt_outs (id, workspace_id, contact_id, channel, received_message_id, resolved_as, "
         "resolved_at, resolved_by) select %s, %s, contact_id, channel, id, 'dismiss', beckon_now(), %s "
         "from received_messages",
         (new_id(), workspace_id, f"{MARK} operator")),
        ("insert into help_replies (id, workspace_id, to_address, address_hash, body, error) "
         "values (%s, %s, %s, %s, 'Help', %s)",
         (new_id(), workspace_id, ADDRESSES["phone"],
          address_key.hash_addresses(workspace_id, {"sms": ADDRESSES["phone"]})["sms"],
          f"{ADDRESSES['phone']} is {MARK}")),
        ("insert into inbound_events (id, provider, event_id, workspace_id, body, processed_at) "
         "values (%s, 'mailgun', 'e-1', %s, %s, beckon_now())",
         (new_id(), workspace_id, dump_json({"text": f"Hi,\n{ADDRESSES['email'].upper()}\n{MARK}"}))),
        ("insert into operations (id, workspace_id, kind, filters, status, matched, actor_name) "
         "values (%s, %s, 'retry', %s, 'finished', 1, 'Alice')",
         (new_id(), workspace_id, dump_json({"q": ADDRESSES["email"]}))),
        ("insert into audit (id, workspace_id, actor_kind, actor_name, action, object_kind, object_id, detail) "
         "values (%s, %s, 'user', 'Alice', 'suppression.lifted', 'suppression', 'sms', %s)",
         (new_id(), workspace_id, dump_json({"because": f"{ADDRESSES['email']} called"}))),
        ("insert into workflow_executions (id, workspace_id, workflow_id, user_id, status, page_url, session_id) "
         "values (%s, %s, %s, %s, 'success', %s, %s)",
         (new_id(), workspace_id, automation_id, f"{MARK}-1", f"https://shop.example/?u={MARK}", MARK)),
        ("insert into tracking_intake (id, workspace_id, execution_id, body) values (%s, %s, 'x-1', %s)",
         (new_id(), workspace_id, dump_json({"userId": f"{MARK}-1", "pageUrl": f"/{MARK}"}))),
    )  # fmt: skip
    for statement, parameters in inserts:
        execute(statement, parameters)
    suppression.add_address(workspace_id, Entry("email", ADDRESSES["email"], "operator", "news"), ACTOR)
    _plant_imports(workspace_id)


def _plant_imports(workspace_id: str) -> None:
    """Leave the mark in a row of an import that waits, and in a rejected one."""
    rows = "".join(f"p{number}@example.com,,\n" for number in range(1_001))
    people = f"{rows}{ADDRESSES['email']},,{MARK}\n,{ADDRESSES['phone']},\n,1,{ADDRESSES['email']}\n"
    contact_import.start(workspace_id, parse_contact_file(f"email,phone,note\n{people}", {}), ACTOR)


def test_nothing_that_is_kept_names_an_erased_contact(alice: Alice) -> None:
    contact_id = plant(alice)
    planted = find_text(MARK)
    before = fetch_row("select executions, succeeded, failed, skipped from automations where name = 'Welcome'")

    result = erase_contact(alice.workspace_id, contact_id, ACTOR)

    assert {
        "audit", "contacts", "contact_tasks", "messages", "message_links", "received_messages", "steps", "triggers",
        "suppressed_addresses", "email_recipients", "inbound_events", "operations", "workflow_executions",
        "tracking_intake", "idempotency_keys", "possible_opt_outs", "help_replies", "contact_import_batches",
    } <= set(planted)  # fmt: skip
    assert {text: find_text(text) for text in FORBIDDEN} == {text: [] for text in FORBIDDEN}
    assert result.cancelled == 1
    assert result.erased["executions"] == 4
    assert fetch_row("select executions, succeeded, failed, skipped from automations where name = 'Welcome'") == before
    execute("delete from tracking_intake")
    execute("delete from workflow_executions")
    assert_consistent()


def test_an_erased_address_that_comes_back_is_still_suppressed(alice: Alice, sandbox: RunningSandbox) -> None:
    alice.automation(HELLO)
    erased = plant_suppressed(alice, "unsubscribed")
    calls = count_provider_calls(sandbox)

    result = wait_until_finished(alice.trigger(contact={"email": ADDRESSES["email"]}))

    assert result["contact_id"] != erased
    assert (result["status"], result["skipped_rule"]) == ("skipped", "suppressed")
    assert count_provider_calls(sandbox) == calls
    row = fetch_row("select address, reason, address_hash is not null as hashed from suppressed_addresses")
    assert row == {"address": None, "reason": "unsubscribed", "hashed": True}


def plant_suppressed(alice: Alice, reason: Any) -> str:
    """Suppress the contact at one address, give it another, and erase it; return its id."""
    contact_id = str(alice.trigger("nothing", contact={**CONTACT, "email": "old@example.com"}).contact_id)
    with acting_as(alice.workspace_id):
        suppression.add_for_contact(alice.workspace_id, contact_id, "email", None, reason)
    contact.change(alice.workspace_id, contact_id, {"email": ADDRESSES["email"]}, ACTOR)
    erase_contact(alice.workspace_id, contact_id, ACTOR)
    return contact_id


def test_an_address_that_another_contact_has_by_now_is_kept(alice: Alice) -> None:
    first = str(alice.trigger("nothing", contact={"external_id": "a", "email": "shared@example.com"}).contact_id)
    with acting_as(alice.workspace_id):
        suppression.add_for_contact(alice.workspace_id, first, "email", "shared@example.com", "bounced")
        suppression.add_for_contact(alice.workspace_id, first, "email", "shared@example.com", "stopped")
    contact.change(alice.workspace_id, first, {"email": "first@example.com"}, ACTOR)
    second = str(alice.trigger("nothing", contact={"external_id": "b", "email": "shared@example.com"}).contact_id)

    erase_contact(alice.workspace_id, first, ACTOR)

    addresses = fetch_rows("select distinct address from suppressed_addresses order by 1")
    assert [row["address"] for row in addresses] == ["shared@example.com", None]
    kept = contact.get(alice.workspace_id, second)
    assert kept is not None
    assert kept["email"] == "shared@example.com"


def test_a_deleted_contact_is_erased_and_an_erased_one_once_more(alice: Alice) -> None:
    deleted = str(alice.trigger("nothing", contact=CONTACT).contact_id)
    contact.delete(alice.workspace_id, deleted, SYSTEM, lambda: 0)
    again = str(alice.trigger("nothing", contact=CONTACT).contact_id)

    erase_contact(alice.workspace_id, again, ACTOR)
    erase_contact(alice.workspace_id, again, ACTOR)

    assert deleted != again
    assert [find_text(text) for text in FORBIDDEN] == [[], [], []]
    assert contact_export.find(alice.workspace_id, deleted) is None
    with pytest.raises(NotFound):
        erasure.erase(Alice(name="charlie").workspace_id, again, ACTOR, lambda _: 0)


def test_a_longer_address_is_not_erased_with_a_shorter_one(alice: Alice) -> None:
    contact_id = str(alice.trigger("nothing", contact={"email": "ada@example.com"}).contact_id)
    for number, text in enumerate(
        ("bada@example.com", "ada@example.community", "x.ada@example.com", "ada@example.com.")
    ):
        execute(
            "insert into inbound_events (id, provider, event_id, workspace_id, body, processed_at) "
            "values (%s, 'mailgun', %s, %s, %s, beckon_now())",
            (new_id(), f"e-{number}", alice.workspace_id, dump_json({"to": text})),
        )

    result = erase_contact(alice.workspace_id, contact_id, ACTOR)

    assert result.erased["callbacks"] == 1


def test_a_worker_that_holds_an_erased_contact_writes_nothing_of_it(alice: Alice) -> None:
    alice.automation(SMS_THEN_WAIT)
    accepted = alice.trigger(contact=CONTACT)
    wait_for_status(accepted)

    erase_contact(alice.workspace_id, str(accepted.contact_id), ACTOR)

    row = execution(accepted)
    assert (row["status"], row["skipped_rule"]) == ("cancelled", "contact_erased")
    assert [find_text(text) for text in FORBIDDEN] == [[], [], []]


@pytest.mark.parametrize(("event", "reason"), [("complained", "complained"), ("unsubscribed", "unsubscribed")])
def test_a_report_that_comes_after_the_erasure_suppresses_the_hash_and_is_not_kept(
    alice: Alice, event: str, reason: str
) -> None:
    alice.automation(HELLO)
    accepted = alice.trigger(contact=CONTACT)
    wait_until_finished(accepted)
    (sent,) = messages(accepted.executions[0]["executionId"])
    erase_contact(alice.workspace_id, str(accepted.contact_id), ACTOR)
    body = {
        "event-data": {
            "event": event, "id": "late", "timestamp": 1_790_000_000, "recipient": ADDRESSES["email"],
            "message": {"headers": {"message-id": str(sent["provider_message_id"]).strip("<>")}},
            "user-variables": {"beckon_key": sent["key"]},
        }
    }  # fmt: skip

    process_event(str(store_event("mailgun", "late", None, body)))

    assert fetch_value("select reason from suppressed_addresses where address_hash is not null") == reason
    assert find_text(MARK) == []


def test_an_export_has_everything_and_reads_as_json(alice: Alice) -> None:
    contact_id = plant(alice)
    exported = contact_export.find(alice.workspace_id, contact_id)
    assert exported is not None

    document = load_json("".join(contact_export.write_json(alice.workspace_id, exported)))

    assert document["contact"]["attributes"]["plan"] == MARK
    assert {name: len(rows) for name, rows in document.items() if isinstance(rows, list)} == {
        "mergedContacts": 0, "suppressions": 1, "suppressedAddresses": 1, "emailTopics": 1, "conversations": 0,
        "receivedMessages": 1,
        "suppressedTopics": 1, "possibleOptOuts": 1, "helpReplies": 1, "messages": 3,
        "executions": 4, "triggers": 4, "runs": 2, "tasks": 1,
        "trackedExecutions": 1, "auditEntries": 1,
    }  # fmt: skip
    texts = [step["output"].get("text") for row in document["executions"] for step in row["steps"] if step["output"]]
    assert any(texts)
    assert all(row["stages"] for row in document["executions"])
    assert [link["url"] for row in document["messages"] for link in row["links"]] == [
        f"https://shop.example/?who={ADDRESSES['email']}"
    ]
    assert document["messages"][0]["createdAt"].endswith("Z")


def test_an_export_of_many_rows_is_read_in_batches(alice: Alice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact_export, "BATCH_SIZE", 2)
    accepted = [alice.trigger("nothing", contact=CONTACT) for _ in range(5)]
    exported = contact_export.find(alice.workspace_id, str(accepted[0].contact_id))
    assert exported is not None

    document = load_json("".join(contact_export.write_json(alice.workspace_id, exported)))

    assert [row["id"] for row in document["triggers"]] == sorted(trigger.trigger_id for trigger in accepted)


def test_counters_of_cancelled_executions_move(alice: Alice) -> None:
    automation_id = alice.automation(SMS_THEN_WAIT)
    accepted = alice.trigger(contact=CONTACT)
    wait_for_status(accepted)
    erase_contact(alice.workspace_id, str(accepted.contact_id), ACTOR)
    assert counters(alice.workspace_id, automation_id)["cancelled"] == 1
    assert_consistent()
