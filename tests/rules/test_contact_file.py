"""Files of contacts as spreadsheets write them: encodings, separators, line ends and the usual names of columns."""

from __future__ import annotations

from typing import Any

import pytest

from rules.contact_columns import Column
from rules.contact_file import ContactFile, parse_contact_file
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
    ],
)
def test_files_of_spreadsheets_are_read(text: str) -> None:
    contact_file = parse(text)
    assert contact_file.header_problems == []
    assert list_fields(contact_file) == [{"first_name": "José", "email": "a@example.com"}]
    assert contact_file.bad == []


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
    ],
)
def test_a_problem_of_the_header_is_reported_once(header: str, words: str) -> None:
    row = ",".join(["a@example.com", *"xyz"][: header.count(",") + 1]) + "\n"
    contact_file = parse(f"{header}\n{row * 3}")
    (problem,) = contact_file.header_problems
    assert words in problem
    assert contact_file.bad == []
