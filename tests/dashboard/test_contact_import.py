"""Contacts from CSV."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import psycopg2
import pytest

from dashboard.api.contact_import import MIN_ANALYZED
from models.database import acting_as
from models.queries import fetch_value
from tests.dashboard.producers import Producer
from tests.support import servers as real

FILE = """externalId,firstName,email,tags,plan
c-1,Ada,ada@example.com,"lead, vip",pro
c-2,Bob,nonsense,,

c-3,Cleo,cleo@example.com
c-4,"Dan, the man",,lead;new,free
"""


def load(producer: Producer, csv: str = FILE, **more: Any) -> Any:
    return producer.post("/api/contacts/import", {"csv": csv, **more})


def test_a_preview_reports_invalid_rows_and_writes_nothing(alice: Producer) -> None:
    result = load(alice).json
    assert (result["imported"], result["valid"], result["attributes"]) == (0, 2, ["plan"])
    assert [(rejection["line"], rejection["field"]) for rejection in result["rejected"]] == [(3, "email"), (5, "")]
    assert result["preview"][0]["attributes"] == {"plan": "pro"}
    assert alice.get("/api/contacts").json["contacts"] == []


def test_valid_rows_are_imported_beside_invalid_ones(alice: Producer) -> None:
    assert load(alice, confirm=True).json["imported"] == 2
    contacts = {contact["externalId"]: contact for contact in alice.get("/api/contacts").json["contacts"]}
    assert contacts["c-1"]["tags"] == ["lead", "vip"]
    assert contacts["c-4"]["firstName"] == "Dan, the man"
    assert load(alice, confirm=True).json["imported"] == 2
    assert len(alice.get("/api/contacts").json["contacts"]) == 2


def test_an_address_of_another_contact_is_reported_with_its_line(alice: Producer) -> None:
    alice.post("/api/contacts", {"externalId": "z", "email": "ada@example.com"})
    result = load(alice, confirm=True).json
    assert (result["imported"], result["rejected"][0]["line"], result["rejected"][0]["field"]) == (1, 2, "email")


def test_a_row_with_the_addresses_of_two_contacts_names_both(alice: Producer) -> None:
    alice.post(
        "/api/contacts", {"externalId": "a", "email": "ada@example.com", "firstName": "Ada", "lastName": "Byron"}
    )
    alice.post("/api/contacts", {"externalId": "b", "phone": "+15550199", "firstName": "Bob"})
    (rejection,) = load(alice, "email,phone\nada@example.com,+1 555 0199\n", confirm=True).json["rejected"]
    message = "+15550199 belongs to Bob (externalId b), not to Ada Byron (externalId a)"
    assert set(rejection.pop("merge")) == {"contactId", "into"}
    assert rejection == {"line": 2, "field": "phone", "message": message}


def test_a_file_without_contacts_is_rejected(alice: Producer) -> None:
    for csv in ("colour,size\nred,1", "email,email\na,b", "email,\na,b", 'email\n"broken', " "):
        response = load(alice, csv)
        assert (response.status_code, response.json["errors"][0]["path"]) == (422, "csv"), csv


def test_columns_become_what_the_request_says(alice: Producer) -> None:
    csv = "Correo;E-Mail;Notes\r\nada@example.com;other;x\r\n"
    result = load(alice, csv, columns={"Correo": "email", "Notes": "ignore"}).json
    assert result["preview"] == [{"email": "ada@example.com", "attributes": {"E-Mail": "other"}}]
    errors = load(alice, csv, columns={"Nope": "email", "Notes": "colour"}).json["errors"]
    assert [error["path"] for error in errors] == ["columns.Notes"]
    errors = load(alice, csv, columns={"Nope": "email"}).json["errors"]
    assert errors == [{"path": "columns.Nope", "message": "is not a column of the file"}]


def test_repeated_rows_count_as_one_person(alice: Producer) -> None:
    alice.post("/api/contacts", {"email": "bob@example.com"})
    file = "email,phone,firstName\nada@example.com,,Ada\nbob@example.com,,Bob\nADA@example.com,+15550123,Ada L.\n"
    file += ",+15550123,Ada\nbad,,\n,,Nobody\n"
    preview = alice.post("/api/contacts/import", {"csv": file}).json
    assert (preview["valid"], preview["repeated"], preview["imported"]) == (5, 2, 0)
    result = alice.post("/api/contacts/import", {"csv": file, "confirm": True}).json
    counts = {name: result[name] for name in ("imported", "created", "updated", "repeated")}
    assert counts == {"imported": 3, "created": 2, "updated": 1, "repeated": 2}
    assert len(result["rejected"]) == 1
    (entry,) = alice.get("/api/audit?action=contacts.imported").json["entries"]
    assert entry["detail"] == {"created": 2, "updated": 1, "repeated": 2, "rejected": 1}


MANY = "email\n" + "\n".join(f"person-{number}@example.com" for number in range(MIN_ANALYZED))


def estimate_contacts(workspace_id: str) -> int:
    """How many contacts PostgreSQL believes the workspace to have."""
    with acting_as(workspace_id):
        (plan,) = fetch_value("explain (format json) select * from contacts where workspace_id = %s", (workspace_id,))
    return int(plan["Plan"]["Plan Rows"])


def test_postgresql_knows_how_many_contacts_an_import_made(alice: Producer, database_urls: Any) -> None:
    load(alice, confirm=True)
    real.run_sql(database_urls.owner, "analyze contacts")
    assert estimate_contacts(alice.workspace_id) < 10

    assert load(alice, MANY, confirm=True).json["created"] == MIN_ANALYZED

    assert fetch_value("select reltuples from pg_class where relname = 'contacts'") == MIN_ANALYZED + 2
    assert estimate_contacts(alice.workspace_id) > MIN_ANALYZED / 2


@pytest.mark.slow
def test_an_import_does_not_wait_for_who_holds_the_contacts(alice: Producer, database_urls: Any) -> None:
    with closing(psycopg2.connect(database_urls.owner)) as other, other.cursor() as cursor:
        cursor.execute("lock table contacts in share update exclusive mode")
        assert load(alice, MANY, confirm=True).json["created"] == MIN_ANALYZED
