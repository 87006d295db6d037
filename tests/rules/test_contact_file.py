"""Files of contacts as spreadsheets write them: encodings, separators, line ends and the usual names of columns."""

from __future__ import annotations

from typing import Any

import pytest

from rules.body_json import BodyError
from rules.contact_columns import Column
from rules.contact_file import ContactFile, format_rejected, parse_contact_file
from rules.csv_text import decode


def parse(text: str, **choices: str) -> ContactFile:
    return parse_contact_file(text, choices)


def list_fields(contact_file: ContactFile) -> list[dict[str, Any]]:
    return [row.fields for row in contact_file.list_first(10)]


@pytest.mark.parametrize(
    "text",
    [
        "firstName,email\nJosé,a@example.com\n",
        "firstName;email\r\nJosé;a@example.com\r\n",
        "firstName\temail\rJosé\ta@example.com\r",
        'sep=;\r\n"First Name";"E-mail"\r\nJosé;a@example.com',
        "sep=|,\nFirst Name|E-mail\nJosé|a@example.com",
        "\ufefffirst_name,E-Mail Address,,\nJosé,a@example.com,,,\n,,,\n",
        "\n;\nFIRST NAME;EMAIL;\nJosé;a@example.com;\n",
        "firstName|email\nJosé|a@example.com\n",
        '\ufeff"FIRSTNAME","Email"\n"José","a@example.com"\n',
        "\ufeff\ufeffsep=,\n\u00a0First\u00a0name ,EMAIL_ADDRESS\nJosé,a@example.com\n\n\n",
        'firstName,email\n"=""José""",="a@example.com"\n',
    ],
)
def test_files_of_spreadsheets_are_read(text: str) -> None:
    contact_file = parse(text)
    assert contact_file.header_problems == []
    assert list_fields(contact_file) == [{"first_name": "José", "email": "a@example.com"}]
    assert contact_file.bad == []


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["имя;почта\nАнна;a@example.com\n", "名前,メール\n愛,a@example.com\n", "a\n"])
def test_utf_16_in_any_script_needs_no_mark(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == (text, None)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_unicode_is_read_without_a_warning(encoding: str) -> None:
    assert decode("email,firstName\nx,Łukasz €\n".encode(encoding)) == ("email,firstName\nx,Łukasz €\n", None)


def test_windows_1252_is_read_with_a_warning() -> None:
    text, warning = decode("name\nJosé – €".encode("cp1252"))
    assert text == "name\nJosé – €"
    assert warning is not None


@pytest.mark.parametrize(("raw", "words"), [(b"PK\x03\x04\x14", "workbook"), (b"a\x81\xff", "not text")])
def test_other_files_are_refused(raw: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        decode(raw)


def test_the_line_of_a_row_counts_the_separators_line() -> None:
    assert [row["line"] for row in parse("sep=;\nemail\nnonsense\n").bad] == [3]


def test_usual_names_are_fields_and_others_are_attributes() -> None:
    columns = parse("Phone Number,Mobile,Surname,Company name,plan,Größe (cm)\n").columns
    assert columns == [
        Column("Phone Number", "phone"),
        Column("Mobile", "attribute", "Mobile"),
        Column("Surname", "lastName"),
        Column("Company name", "attribute", "company_name"),
        Column("plan", "attribute", "plan"),
        Column("Größe (cm)", "attribute", "groe_cm"),
    ]


def test_the_exact_name_of_a_field_comes_before_a_usual_one() -> None:
    assert [column.target for column in parse("E-mail,email\n").columns] == ["attribute", "email"]


def test_choices_come_before_names() -> None:
    contact_file = parse("Correo,email,Notes\na@example.com,b,x\n", Correo="email", Notes="ignore", Other="phone")
    assert list_fields(contact_file) == [{"email": "a@example.com", "attributes": {"email": "b"}}]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("colour,size", "the first line must have field names"),
        ("email,email", '"email" is repeated'),
        ("email,Plan!,Plan?", '"Plan!" and "Plan?" both become the attribute plan'),
        ("email,名前", '"名前" cannot name an attribute'),
        ("email,", "column 2 has values but no name"),
        ("email,,plan", "column 2 has values but no name"),
        (",".join(["email", *map(str, range(200))]), "at most 200 columns, not 201"),
        (",".join(["email", *map(str, range(2999))]), "at most 200 columns, not 3,000"),
    ],
)
def test_a_problem_of_the_header_is_reported_once(header: str, words: str) -> None:
    row = ",".join(["a@example.com", *"xyz"][: header.count(",") + 1]) + "\n"
    contact_file = parse(f"{header}\n{row * 3}")
    (problem,) = contact_file.header_problems
    assert words in problem
    assert contact_file.bad == []


def list_problems(text: str) -> list[tuple[int, str, str]]:
    return [(row["line"], row["field"], row["message"]) for row in parse(text).list_rejected()]


@pytest.mark.parametrize(
    ("row", "field", "words"),
    [
        ('"Ada" Byron,a@example.com,,', "", "quotation mark within a quoted cell"),
        ("Ada,a@example.com", "", "has 2 cells where the first line has 4"),
        ("Ada,a@example.com,,,x", "", "has 5 cells where the first line has 4"),
        ("Ada\0,a@example.com,,", "firstName", "control characters"),
        (f"{'x' * 5_000_000},a@example.com,,", "firstName", "at most 200 characters"),
        ("Ada,,1.55501E+10,", "phone", "has lost digits: a spreadsheet wrote it as the number 1.55501E+10"),
        ('Ada,,"1,55501e+10",', "phone", "has lost digits"),
        ("Ada,,+1.6E+10,", "phone", "has lost digits"),
        ("Ada,,,1.78414E+16", "instagramId", "has lost digits"),
    ],
)
def test_a_bad_row_is_reported_and_the_others_are_read(row: str, field: str, words: str) -> None:
    text = f"firstName,email,phone,instagramId\nBob,b@example.com,,\n{row}\nCleo,c@example.com,,\n"
    ((line, path, message),) = list_problems(text)
    assert (line, path) == (3, field)
    assert words in message
    assert [fields["first_name"] for fields in list_fields(parse(text))] == ["Bob", "Cleo"]


def test_a_row_without_an_imported_value_is_reported() -> None:
    assert parse("email,Notes\n,x\n", Notes="ignore").bad == [
        {"line": 2, "field": "", "message": "has no value in a column that is imported"}
    ]


def test_a_quotation_mark_that_is_not_closed_is_reported_with_its_line() -> None:
    with pytest.raises(BodyError) as raised:
        parse('email,firstName\na@example.com,Ada\n"b@example.com,Bob\nc@example.com,Cleo\n')
    assert "line 3: a quotation mark opens a cell and is not closed" in raised.value.problems[0].message


def test_cells_keep_line_breaks_zeros_and_signs_of_formulas() -> None:
    rows = '"c-1\nc-2","=""00123""",\'=1+1,@x,-5\n'
    contact_file = parse(f"externalId,zip,formula,handle,score\n{rows}", handle="username")
    assert list_fields(contact_file) == [
        {"external_id": "c-1\nc-2", "username": "@x", "attributes": {"zip": "00123", "formula": "=1+1", "score": "-5"}}
    ]


def test_rejected_rows_are_read_again_as_they_were() -> None:
    contact_file = parse('email,note,phone\nbad,"=HYPERLINK(""x"")",+15550100\n')
    rejected = "".join(format_rejected(contact_file.header, contact_file.list_rejected_rows()))
    (row,) = parse(rejected.replace("bad", "a@example.com"), line="ignore", field="ignore", reason="ignore").list_first(
        9
    )
    assert row.fields == {
        "email": "a@example.com", "phone": "+15550100", "attributes": {"note": '=HYPERLINK("x")'},
    }  # fmt: skip


def test_a_file_has_at_most_50_000_rows() -> None:
    with pytest.raises(BodyError) as raised:
        parse("email\n" + "x\n" * 50_001)
    assert raised.value.problems[0].message == "must have at most 50,000 rows"
