"""Form fields as multipart/form-data, as a standard parser reads them."""

from __future__ import annotations

from email.message import Message
from email.parser import BytesParser
from typing import cast

from providers.multipart import encode_fields


def parse(body: bytes, content_type: str) -> list[tuple[str | None, str]]:
    parsed = BytesParser().parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    parts = cast(list[Message], parsed.get_payload())
    return [
        (cast(str, part.get_param("name", header="content-disposition")), part.get_payload(decode=True).decode())  # type: ignore[union-attr]
        for part in parts
    ]


def test_fields_are_read_as_they_were_written() -> None:
    fields = [("to", "Zoë <z@example.com>"), ("text", "two\r\nlines\r\n--x"), ("v:key", ""), ("to", "again")]
    assert parse(*encode_fields(fields)) == fields


def test_a_name_ends_neither_its_quotes_nor_its_line() -> None:
    assert parse(*encode_fields([('a"; filename="x\r\nb', "value")])) == [("a%22; filename=%22x%0D%0Ab", "value")]


def test_no_two_bodies_have_the_same_boundary() -> None:
    assert encode_fields([])[1] != encode_fields([])[1]
