"""Forms beyond their bounds: refused before anything of them is parsed."""

from __future__ import annotations

import urllib.parse
from typing import Any

import flask
import pytest
from flask.testing import FlaskClient
from werkzeug import formparser
from werkzeug.sansio import multipart

from dashboard import form_parser
from dashboard.form_parser import MAX_BOUNDARY_LENGTH, MAX_HEADER_BYTES, MAX_PART_HEADER_BYTES, PUBLIC_FORM_LIMIT
from tests.dashboard.producers import Producer
from tests.dashboard.test_access import add_person, read_token, sign_in
from tests.dashboard.test_inbound import build_mail, fetch_events

MAIL = "/api/webhooks/mailgun/inbound"
MULTIPART = "multipart/form-data; boundary=b"
URLENCODED = "application/x-www-form-urlencoded"


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The forms and headers of parts that were parsed."""
    calls: list[str] = []

    def record(name: str, function: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            calls.append(name)
            return function(*arguments, **options)

        return call

    decoder = multipart.MultipartDecoder
    monkeypatch.setattr(formparser, "parse_qsl", record("pairs", urllib.parse.parse_qsl))
    monkeypatch.setattr(decoder, "_parse_headers", record("header", decoder._parse_headers))
    return calls


def build_part(header: bytes, line_break: bytes = b"\r\n") -> bytes:
    return b"--b" + line_break + header + line_break * 2 + b"x" + line_break


PARTS = {
    "one long header": build_part(b'Content-Disposition: form-data; name="a"; x="%s"' % (b"y" * MAX_PART_HEADER_BYTES)),
    "a header that never ends": b"--b\r\nX: " + b"y" * MAX_PART_HEADER_BYTES,
    "a header with boundaries in it": b"--b\r\nX: 1\r\n" * MAX_PART_HEADER_BYTES,
    "many header lines": build_part(b"X:\r" * MAX_PART_HEADER_BYTES, b"\n"),
    "many headers": build_part(b"X: " + b"y" * 4000) * (MAX_HEADER_BYTES // 4000 + 1),
    "many parts": build_part(b"X: 1") * 1001,
    "many parts with bare line breaks": build_part(b"X: 1", b"\r") * 1001,
}


@pytest.mark.parametrize("raw", PARTS.values(), ids=PARTS)
def test_a_multipart_form_beyond_its_bounds_is_413_unparsed(app: flask.Flask, parsed: list[str], raw: bytes) -> None:
    with app.test_request_context("/", method="POST", data=raw, content_type=MULTIPART):
        flask.request.max_content_length = len(raw)
        with pytest.raises(form_parser.ProblemError) as refused:
            assert flask.request.form
    assert (refused.value.status, parsed) == (413, [])


def test_a_form_of_too_many_fields_is_413_unparsed(app: flask.Flask, parsed: list[str]) -> None:
    context = app.test_request_context("/", method="POST", data=b"a=1&" * 1000, content_type=URLENCODED)
    with context, pytest.raises(form_parser.ProblemError) as refused:
        assert flask.request.form
    assert (refused.value.status, parsed) == (413, [])


def test_a_boundary_that_is_too_long_is_400(client: FlaskClient) -> None:
    content_type = f"multipart/form-data; boundary={'-' * (MAX_BOUNDARY_LENGTH + 1)}"
    assert client.post(MAIL, data=b"-" * 100_000, content_type=content_type).status_code == 400


@pytest.mark.parametrize(
    ("content_type", "raw", "status"),
    [
        (URLENCODED, b"&" * 600_000, 413),
        (URLENCODED, b"%41" * 1_500_000, 403),
        (MULTIPART, PARTS["many header lines"], 413),
        (MULTIPART, PARTS["many parts"], 413),
        (MULTIPART, build_part(b'Content-Disposition: form-data; name="token"') * 3, 403),
    ],
    ids=["fields", "escapes", "header", "parts", "signature"],
)
def test_an_unsigned_mail_is_refused_before_it_is_parsed(
    client: FlaskClient, parsed: list[str], content_type: str, raw: bytes, status: int
) -> None:
    assert client.post(MAIL, data=raw, content_type=content_type).status_code == status
    assert (parsed, fetch_events()) == ([], [])


@pytest.mark.parametrize("content_type", [URLENCODED, "multipart/form-data"])
def test_a_signed_field_that_is_repeated_is_refused(client: FlaskClient, content_type: str) -> None:
    mail = build_mail()
    for name in ("timestamp", "token", "signature"):
        form = {**mail, name: [mail[name], mail[name]]}
        assert client.post(MAIL, data=form, content_type=content_type).status_code == 403
    assert client.post(MAIL, data=mail, content_type=content_type).status_code == 200


def test_a_long_signed_mail_is_stored(client: FlaskClient) -> None:
    mail = {**build_mail(), "body-plain": "long & " * 40_000, **{f"h-{number}": "x" for number in range(900)}}
    assert client.post(MAIL, data=mail, content_type="multipart/form-data").status_code == 200
    assert fetch_events()[0]["body"]["h-899"] == "x"


@pytest.mark.parametrize("path", ["/sign-in", "/theme", "/password-resets/t", "/invitations/t/account"])
def test_a_form_without_a_session_has_at_most_16_kib(client: FlaskClient, parsed: list[str], path: str) -> None:
    assert client.post(path, data={"email": "x" * PUBLIC_FORM_LIMIT}).status_code == 413
    assert parsed == []


def test_the_form_of_a_signed_in_person_may_be_longer(alice: Producer, client: FlaskClient) -> None:
    add_person(alice.workspace_id, "operator")
    sign_in(client)
    form = {"csrf_token": read_token(client.get("/contacts/new").text), "name": "x" * 4 * PUBLIC_FORM_LIMIT}
    assert client.post("/contacts/new", data=form).status_code == 422
