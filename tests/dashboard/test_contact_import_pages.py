"""The import of contacts on the page: the preview, the import, and invalid files."""

from __future__ import annotations

import csv
import html
import io
import re
from typing import Any

import pytest
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.test import encode_multipart

from dashboard.api.contact_import import IMPORT_LIMIT
from tasks.operators import contact_import
from tests.dashboard.producers import Producer
from tests.dashboard.test_contact_import import FILE
from tests.dashboard.test_pages import Browser, bob, post, read_text, read_token, sign_in_as

__all__ = ["bob"]


def send(browser: Browser, fields: dict[str, Any]) -> Any:
    # Encoded in memory: the client would leave the temporary file of a large body open.
    boundary, body = encode_multipart(MultiDict(fields))
    return browser.post("/contacts/import", data=body, content_type=f"multipart/form-data; boundary={boundary}")


def upload(browser: Browser, raw: bytes) -> Any:
    file = FileStorage(io.BytesIO(raw), "list.csv", content_type="text/csv")
    return send(browser, {"csrf_token": read_token(browser.get("/contacts").text), "file": file})


def confirm(browser: Browser, preview: str, **columns: str) -> Any:
    fields = {name: html.unescape(text) for name, text in re.findall(r'name="(\w+)" value="([^"]*)"', preview)}
    return send(browser, {**fields, "confirm": "1", **columns})


def list_names(alice: Producer) -> list[str]:
    return [contact["firstName"] for contact in alice.get("/api/contacts").json["contacts"]]


def test_a_preview_shows_valid_and_invalid_rows_and_writes_nothing(bob: Browser, alice: Producer) -> None:
    page = upload(bob, FILE.encode())
    assert page.status_code == 200
    text = read_text(page.text)
    for words in ("Import 2 contacts?", "2 rows skipped", "3 email must be an e-mail address", "plan attribute",
                  "ada@example.com lead, vip pro"):  # fmt: skip
        assert words in text
    assert list_names(alice) == []


def test_the_import_takes_exactly_what_the_preview_showed(bob: Browser, alice: Producer) -> None:
    response = confirm(bob, upload(bob, b"\xef\xbb\xbf" + FILE.replace("\n", "\r\n").encode()).text)
    assert "2 contacts imported" in read_text(response.text)
    assert "2 rows were skipped" in read_text(response.text)
    assert sorted(list_names(alice)) == ["Ada", "Dan, the man"]


def test_a_row_rejected_by_the_database_is_reported_with_its_line(bob: Browser, alice: Producer) -> None:
    alice.post("/api/contacts", {"externalId": "z", "email": "ada@example.com"})
    response = confirm(bob, upload(bob, FILE.encode()).text)
    assert "1 contact imported" in read_text(response.text)
    assert re.search(r"<td>2</td><td class=\"mono\">email</td><td>ada@example.com belongs to", response.text)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "Choose a CSV file"),
        (b"PK\x03\x04", "The file is a workbook"),
        (b"colour,size\nred,1", "the first line must have field names"),
        (b'email\n"broken', "line 2"),
        (b"email\n" + b"a@example.com\n" * 50_001, "at most 50,000 rows"),
    ],
)
def test_a_file_without_contacts_is_rejected_with_a_message(bob: Browser, raw: bytes, words: str) -> None:
    response = upload(bob, raw)
    assert response.status_code == 422
    assert words in response.text


def test_a_file_that_is_too_large_is_rejected_with_a_message(bob: Browser, alice: Producer) -> None:
    response = upload(bob, b"email\n" + b"x" * (IMPORT_LIMIT + 100_000))
    assert response.status_code == 413
    assert "larger than 10 MiB" in response.text


def test_the_largest_allowed_file_is_imported_by_a_worker(bob: Browser, alice: Producer) -> None:
    rows = "".join(f'c-{number},"{"x" * 2500}"\n' for number in range(4_000))
    preview = upload(bob, f"externalId,note\n{rows}bad\n".encode())
    assert "Import 4,000 contacts?" in preview.text
    assert "4,000 new, 0 existing" in read_text(preview.text)
    response = confirm(bob, preview.text)
    path = response.headers["Location"]
    running = read_text(bob.get(path).text)
    for words in ("Import 4,001 rows", "1 of 4,001 rows done", "Skipped rows 1", "4002 Row has 1 cells"):
        assert words in running
    while contact_import.run_next_batch(alice.workspace_id, path.removeprefix("/operations/")):
        pass
    finished = bob.get(path).text
    assert "4,000 contacts imported" in read_text(finished)
    assert f'href="{path}/rejected"' in finished
    assert bob.get(f"{path}/rejected").text == (
        "line,field,reason,externalId,note\r\n4002,,has 1 cells where the first line has 2,bad\r\n"
    )
    assert alice.get(f"/api{path}/rejected").text == bob.get(f"{path}/rejected").text
    assert "every 1s" not in bob.get(path, headers={"HX-Request": "true"}).text


def test_an_unknown_operation_has_no_rejected_rows(bob: Browser) -> None:
    for part in ("nonsense", "00000000-0000-0000-0000-000000000000"):
        assert bob.get(f"/operations/{part}/rejected").status_code == 404


def test_columns_are_mapped_on_the_page_and_remembered(bob: Browser, alice: Producer) -> None:
    file = "Correo;Secret;Company name\r\njosé@example.com;x;Éclair".encode("cp1252")
    preview = upload(bob, file)
    assert preview.status_code == 422
    assert "the first line must have field names" in preview.text
    assert "was read as Windows-1252" in preview.text
    mapped = confirm(bob, preview.text, **{"column:Correo": "email", "column:Secret": "ignore"})
    assert "Import 1 contact?" in mapped.text
    assert "E-mail company_name attribute" in read_text(mapped.text)
    assert confirm(bob, mapped.text, **{"column:Secret": "attribute"}).text.count("The columns have changed") == 1
    choices = {"column:Correo": "email", "column:Secret": "ignore"}
    assert "1 contact imported" in confirm(bob, mapped.text, **choices).text
    (contact,) = alice.get("/api/contacts").json["contacts"]
    assert (contact["email"], contact["attributes"]) == ("josé@example.com", {"company_name": "Éclair"})
    assert "Import 1 contact?" in upload(bob, b"Correo,Secret\neve@example.com,x").text


def test_a_viewer_imports_nothing(alice: Producer, client: Browser) -> None:
    viewer = sign_in_as(client, alice, "viewer")
    assert viewer.get("/contacts/import").status_code == 403
    fields = {"csrf_token": read_token(viewer.get("/contacts").text), "file": (io.BytesIO(FILE.encode()), "list.csv")}
    assert viewer.post("/contacts/import", data=fields).status_code == 403


def test_another_site_imports_nothing(bob: Browser, alice: Producer) -> None:
    fields = {"csrf_token": "0" * 64, "confirm": "1", "csv": FILE}
    assert bob.post("/contacts/import", data=fields).status_code == 403
    assert list_names(alice) == []


def test_the_content_of_a_file_is_escaped(bob: Browser) -> None:
    page = upload(bob, b'externalId,"<b>x"\n"c-1","<script>alert(1)</script>"\nc-2\n').text
    assert "<script>alert" not in page
    assert "<b>x" not in page


def test_the_rejected_rows_can_be_downloaded(bob: Browser) -> None:
    file = 'email,firstName\nada@example.com,Ada\nbad,"=HYPERLINK(""x"")"\nworse,"two, lines"\n'
    preview = upload(bob, file.encode())
    assert "Import 1 contact?" in read_text(preview.text)
    for page in (preview, confirm(bob, preview.text)):
        carried = re.search(r"<textarea name=\"csv\"[^>]*>\n(.*?)</textarea>", page.text, re.DOTALL)
        assert carried is not None
        response = post(bob, "/contacts/import/rejected", csv=html.unescape(carried[1]))
        assert response.headers["Content-Disposition"] == 'attachment; filename="rejected-rows.csv"'
        rows = list(csv.reader(io.StringIO(response.text)))
        assert rows[0] == ["line", "field", "reason", "email", "firstName"]
        assert [(row[0], row[1], row[3], row[4]) for row in rows[1:]] == [
            ("3", "email", "bad", "'=HYPERLINK(\"x\")"), ("4", "email", "worse", "two, lines"),
        ]  # fmt: skip


def test_the_preview_says_how_many_rows_repeat_a_person(bob: Browser) -> None:
    preview = upload(bob, b"email\nada@example.com\nADA@example.com\nbob@example.com\n")
    assert "Import 2 contacts?" in read_text(preview.text)
    assert "1 row repeats a person of an earlier row" in read_text(preview.text)
    assert "2 contacts imported" in read_text(confirm(bob, preview.text).text)
