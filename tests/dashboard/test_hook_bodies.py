"""Bodies of hooks: JSON in its usual forms, forms, and none; each within the bounds of every other body."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import TestResponse

from models.database import acting_as
from models.queries import fetch_value
from tests.dashboard.producers import Producer, definition

BOM = b"\xef\xbb\xbf"
FORM = "application/x-www-form-urlencoded"
Hook = Callable[..., TestResponse]


@pytest.fixture
def call_hook(alice: Producer) -> Hook:
    automation = alice.create(definition=definition(type="hook"))
    path = automation["hookUrl"].removeprefix("http://localhost")
    return lambda data=b"", **options: alice.client.post(path, data=data, **options)


def read_payload(producer: Producer) -> Any:
    with acting_as(producer.workspace_id):
        return fetch_value("select payload from triggers")


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "application/cloudevents+json", None]
)
@pytest.mark.parametrize("mark", [b"", BOM])
def test_a_hook_takes_json_by_any_of_its_names(
    call_hook: Hook, alice: Producer, content_type: str, mark: bytes
) -> None:
    assert call_hook(mark + b'{"amount": 3}', content_type=content_type).status_code == 202
    assert read_payload(alice) == {"amount": 3}


@pytest.mark.parametrize("content_type", ["application/json", FORM, "text/plain", None])
@pytest.mark.parametrize("body", [b"", b" \r\n", BOM])
def test_an_empty_body_is_an_empty_payload(call_hook: Hook, alice: Producer, content_type: str, body: bytes) -> None:
    assert call_hook(body, content_type=content_type).status_code == 202
    assert read_payload(alice) == {}


def test_a_form_is_a_payload_whose_contact_it_names(call_hook: Hook, alice: Producer) -> None:
    response = call_hook(b"amount=3&tag=a&tag=b&list%5B%5D=x&contact%5Bemail%5D=ada%40example.com", content_type=FORM)
    assert (response.status_code, bool(response.json["contactId"])) == (202, True)
    contact = {"email": "ada@example.com"}
    assert read_payload(alice) == {"amount": "3", "tag": ["a", "b"], "list": ["x"], "contact": contact}


def test_a_multipart_form_is_a_payload_without_its_files(call_hook: Hook, alice: Producer) -> None:
    with_file = {"name": "Zoë", "photo": (io.BytesIO(b"x"), "photo.png")}
    assert call_hook(with_file, content_type="multipart/form-data").status_code == 202
    assert read_payload(alice) == {"name": "Zoë"}


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{}", "text/plain", 415),
        (b"<a/>", "application/xml", 415),
        (b"{", "application/problem+json", 400),
        (b"{}" + BOM, "application/json", 400),
        (b"[1]", "application/json", 422),
        (b"a=%00", FORM, 422),
        (b"a=1&a%5Bb%5D=2", FORM, 422),
        (b"a%5Bb%5D=2&a=1", FORM, 422),
        (b"a=1&" * 1001, FORM, 413),
        (b"a=" + b"x" * 1024 * 1024, FORM, 413),
        (json.dumps([0] * 30_000).encode(), "application/vnd.api+json", 413),
    ],
)
def test_a_hook_refuses_other_and_unbounded_bodies(
    call_hook: Hook, body: bytes, content_type: str, status: int
) -> None:
    assert call_hook(body, content_type=content_type).status_code == status


def test_a_large_form_is_parsed_like_a_small_one(call_hook: Hook, alice: Producer) -> None:
    assert call_hook(b"text=" + b"x" * 900_000, content_type=FORM).status_code == 202
    assert read_payload(alice) == {"text": "x" * 900_000}


def test_brackets_that_name_no_field_stay_in_the_name(call_hook: Hook, alice: Producer) -> None:
    deep = "a" + "[b]" * 9
    assert call_hook(f"{deep}=1&[x]=2&y[=3&z[]]=4", content_type=FORM).status_code == 202
    assert read_payload(alice) == {deep: "1", "[x]": "2", "y[": "3", "z[]]": "4"}


def test_a_byte_order_mark_is_skipped_in_every_body(alice: Producer) -> None:
    headers = {"Content-Type": "application/json"}
    response = alice.request("POST", "/api/triggers", data=BOM + b'{"type": "a"}', headers=headers)
    assert response.status_code == 202
