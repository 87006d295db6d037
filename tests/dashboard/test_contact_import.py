"""Contacts from CSV."""

from __future__ import annotations

from contextlib import closing
from io import BytesIO
from typing import Any

import psycopg2
import pytest
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.test import encode_multipart

from dashboard.api.contact_import import IMPORT_LIMIT
from models.database import acting_as
from models.queries import fetch_value
from tasks.operators import contact_import
from tasks.operators.contact_import import MIN_ANALYZED
from tests.dashboard.producers import Producer
from tests.support import servers as real
from tests.support.rows import fetch_rows

FILE = """externalId,firstName,email,tags,plan
c-1,Ada,ada@example.com,"lead, vip",pro
c-2,Bob,nonsense,,

c-3,Cleo,cleo@example.com
c-4,"Dan, the man",,lead;new,free
"""


PATH = "/api/contacts/import"


def load(producer: Producer, csv: str = FILE, **more: Any) -> Any:
    return producer.post(PATH, {"csv": csv, **more})


def test_a_preview_reports_invalid_rows_and_writes_nothing(alice: Producer) -> None:
    result = load(alice, confirm=False).json
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
    csv = "email,phone\nada@example.com,+1 555 0199\nnew@example.com,\nnew@example.com,+15550199\n"
    rejected = load(alice, csv, dryRun=True).json["rejected"]
    assert [("merge" in row, row["line"]) for row in rejected] == [(True, 2), (False, 4)]


def test_a_file_without_contacts_is_rejected(alice: Producer) -> None:
    for csv in ("colour,size\nred,1", "email,email\na,b", "email,\na,b", 'email\n"broken', " "):
        response = load(alice, csv)
        assert (response.status_code, response.json["errors"][0]["path"]) == (422, "csv"), csv


def test_columns_become_what_the_request_says(alice: Producer) -> None:
    csv = "Correo;E-Mail;Notes\r\nada@example.com;other;x\r\n"
    result = load(alice, csv, columns={"Correo": "email", "Notes": "ignore"}, dryRun=True).json
    assert result["preview"] == [{"email": "ada@example.com", "attributes": {"E-Mail": "other"}}]
    errors = load(alice, csv, columns={"Nope": "email", "Notes": "colour"}).json["errors"]
    assert [error["path"] for error in errors] == ["columns.Notes"]
    errors = load(alice, csv, columns={"Nope": "email"}).json["errors"]
    assert errors == [{"path": "columns.Nope", "message": "is not a column of the file"}]


def test_repeated_rows_count_as_one_person(alice: Producer) -> None:
    alice.post("/api/contacts", {"email": "bob@example.com"})
    file = "email,phone,firstName\nada@example.com,,Ada\nbob@example.com,,Bob\nADA@example.com,+15550123,Ada L.\n"
    file += ",+15550123,Ada\nbad,,\n,,Nobody\n"
    preview = load(alice, file, dryRun=True).json
    assert (preview["valid"], preview["repeated"], preview["imported"]) == (5, 2, 0)
    assert (preview["created"], preview["updated"]) == (2, 1)
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


def read_rows(producer: Producer, sql: str = "select * from contacts order by id") -> list[dict[str, Any]]:
    with acting_as(producer.workspace_id):
        return fetch_rows(sql)


def send_form(producer: Producer, fields: dict[str, Any]) -> Any:
    """Send a form that is encoded in memory: the client would leave the temporary file of a large one open."""
    files = {name: FileStorage(BytesIO(value), "list.csv") if isinstance(value, bytes) else value
             for name, value in fields.items()}  # fmt: skip
    boundary, data = encode_multipart(MultiDict(files))
    return producer.request("POST", PATH, data=data, content_type=f"multipart/form-data; boundary={boundary}")


@pytest.mark.parametrize(
    "request_",
    [
        {"json": {"csv": FILE, "dryRun": True}},
        {"json": {"csv": FILE}, "query_string": {"dryRun": "true"}},
        {"data": FILE, "content_type": "text/csv; charset=utf-8", "query_string": {"dryRun": "1"}},
        {"form": {"file": FILE.encode(), "dryRun": "true"}},
        {"form": {"csv": FILE, "dryRun": "1", "columns": "{}"}},
    ],
)
def test_a_dry_run_says_what_an_import_would_do(alice: Producer, request_: dict[str, Any]) -> None:
    alice.post("/api/contacts", {"externalId": "c-1", "firstName": "Eve"})
    before = read_rows(alice)
    response = send_form(alice, request_["form"]) if "form" in request_ else alice.request("POST", PATH, **request_)
    assert response.status_code == 200, response.json
    result = response.json
    counts = [result[name] for name in ("created", "updated", "repeated", "imported", "valid", "rejectedRows")]
    assert counts == [1, 1, 0, 0, 2, 2]
    assert [(row["line"], row["field"]) for row in result["rejected"]] == [(3, "email"), (5, "")]
    assert read_rows(alice) == before
    assert read_rows(alice, "select 1 from operations") == []


def test_a_dry_run_and_the_import_agree(alice: Producer) -> None:
    alice.post("/api/contacts", {"externalId": "z", "email": "ada@example.com"})
    alice.post("/api/contacts", {"externalId": "y", "email": "bob@example.com", "tags": [f"t{n}" for n in range(100)]})
    rows = ["x,ada@example.com,,", "y,,new,", "new,new@example.com,,", ",NEW@example.com,,+15550123", ",,,+15550123"]
    csv = "\n".join(["externalId,email,tags,phone", *rows * 120]) + "\n"
    names = ("created", "updated", "repeated", "rejectedRows", "rejected")
    preview = load(alice, csv, dryRun=True).json
    assert [preview[name] for name in names[:4]] == [1, 0, 359, 240]
    result = load(alice, csv).json
    assert [result[name] for name in names] == [preview[name] for name in names]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("is_form", [False, True])
def test_a_file_is_sent_as_it_is(alice: Producer, encoding: str, is_form: bool) -> None:
    raw = "First Name;E-mail\r\nJosé;jose@example.com\r\n".encode(encoding)
    response = send_form(alice, {"file": raw}) if is_form else alice.request(
        "POST", PATH, data=raw, content_type="text/csv")  # fmt: skip
    result = response.json
    assert (result["imported"], len(result["warnings"])) == (1, encoding == "cp1252")
    assert alice.get("/api/contacts").json["contacts"][0]["firstName"] == "José"


@pytest.mark.parametrize("text", ["", "email,email\na@example.com,", 'email\n\x00"', "email,\na@example.com,x"])
def test_a_refused_file_has_a_detail_and_its_problems(alice: Producer, text: str) -> None:
    answer = send_form(alice, {"csv": text}).json
    assert (answer["status"], answer["detail"]) == (422, "The request is not valid.")
    assert {problem["path"] for problem in answer["errors"]} == {"csv"}


def test_columns_of_a_form_are_json(alice: Producer) -> None:
    fields = {"csv": "Correo\nada@example.com\n", "columns": '{"Correo": "email"}'}
    assert send_form(alice, fields).json["created"] == 1
    for columns in ("{", "[]", '{"Correo": "colour"}'):
        response = send_form(alice, {**fields, "columns": columns})
        assert response.status_code == 422
        assert response.json["errors"][0]["path"].startswith("columns")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"data": b"email\nx", "content_type": "application/octet-stream"}, 415),
        ({"data": b"", "content_type": "text/csv"}, 422),
        ({"data": b"PK\x03\x04", "content_type": "text/csv"}, 422),
        ({"form": {"other": "1"}}, 422),
        ({"form": {"file": b""}}, 422),
        ({"data": b"email\n", "content_type": "text/csv", "query_string": {"dryRun": "maybe"}}, 422),
        ({"data": b"email\n" + b"x" * IMPORT_LIMIT, "content_type": "text/csv"}, 413),
        ({"json": {"csv": "email\n" + "x" * IMPORT_LIMIT}}, 413),
        ({"form": {"file": b"email\n" + b"x" * IMPORT_LIMIT}}, 413),
        ({"form": {"csv": "email\n" + "x" * IMPORT_LIMIT}}, 413),
    ],
)
def test_what_is_no_file_or_too_large_is_refused(alice: Producer, body: dict[str, Any], status: int) -> None:
    response = send_form(alice, body["form"]) if "form" in body else alice.request("POST", PATH, **body)
    assert response.status_code == status


def test_a_file_of_more_than_50_000_rows_is_refused(alice: Producer) -> None:
    response = load(alice, "email\n" + "x\n" * 50_001, dryRun=True)
    assert (response.status_code, response.json["errors"][0]) == (
        422, {"path": "csv", "message": "must have at most 50,000 rows"},
    )  # fmt: skip


LARGE = "email,note\n" + "".join(f"p{n}@example.com,n{n}\n" for n in range(1_000)) + "bad,x\nP1@example.com,again\n"


def read_operation(producer: Producer, operation_id: str) -> Any:
    return producer.get(f"/api/operations/{operation_id}").json["operation"]


def test_a_large_file_is_written_batch_by_batch(alice: Producer) -> None:
    assert load(alice, LARGE, dryRun=True).json["created"] == 1_000
    response = load(alice, LARGE)
    assert response.status_code == 202, response.json
    result = response.json
    assert (result["matched"], result["imported"], result["valid"]) == (1_002, 0, 1_001)
    assert read_rows(alice) == []
    operation_id = result["operationId"]
    problem = {"line": 1002, "field": "email", "message": 'must be an e-mail address such as "ada@example.com"'}
    waiting = read_operation(alice, operation_id)
    assert (waiting["status"], waiting["matched"], waiting["done"], waiting["conflicts"]) == (
        "running", 1_002, 0, [problem],
    )  # fmt: skip

    steps = []
    while contact_import.run_next_batch(alice.workspace_id, operation_id):
        steps.append(read_operation(alice, operation_id)["done"])

    assert steps == [500, 1000]
    row = read_operation(alice, operation_id)
    assert (row["status"], row["done"], row["conflictCount"]) == ("finished", 1_001, 1)
    assert row["counts"] == {"created": 1_000, "updated": 0, "repeated": 1}
    assert len(read_rows(alice)) == 1_000
    assert not contact_import.run_next_batch(alice.workspace_id, operation_id)
    assert len(read_rows(alice)) == 1_000
    (entry,) = alice.get("/api/audit?action=contacts.imported").json["entries"]
    assert entry["detail"] == {"created": 1_000, "updated": 0, "repeated": 1, "rejected": 1}


def test_a_batch_that_is_not_committed_leaves_nothing(alice: Producer, monkeypatch: pytest.MonkeyPatch) -> None:
    operation_id = load(alice, LARGE).json["operationId"]
    with monkeypatch.context() as patch:
        patch.setattr(contact_import.contact_import, "record_batch", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            contact_import.run_next_batch(alice.workspace_id, operation_id)
    assert read_rows(alice) == []
    while contact_import.run_next_batch(alice.workspace_id, operation_id):
        pass
    assert len(read_rows(alice)) == 1_000


def test_a_row_that_the_database_rejects_is_a_conflict_of_the_operation(alice: Producer) -> None:
    alice.post("/api/contacts", {"externalId": "z", "email": "p7@example.com"})
    csv = "externalId,email\n" + "".join(f"x{n},p{n}@example.com\n" for n in range(1_001))
    operation_id = load(alice, csv).json["operationId"]
    while contact_import.run_next_batch(alice.workspace_id, operation_id):
        pass
    row = read_operation(alice, operation_id)
    assert (row["done"], row["conflictCount"]) == (1_000, 1)
    assert row["conflicts"] == [
        {"line": 9, "field": "email", "message": "p7@example.com belongs to the contact with externalId z"}
    ]


def test_a_thousand_rows_are_imported_at_once_and_one_more_by_a_worker(alice: Producer) -> None:
    csv = "email\n" + "".join(f"p{n}@example.com\n" for n in range(1_000))
    assert load(alice, csv).status_code == 200
    assert load(alice, f"{csv}bad\n").status_code == 202
