"""Compression: which responses are compressed, for whom, and what browsers keep."""

from __future__ import annotations

import gzip
import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.dashboard import example_executions
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import Browser, sign_in_as

GZIP = {"Accept-Encoding": "gzip, deflate, br"}


@pytest.fixture
def bob(alice: Producer, client: FlaskClient) -> Browser:
    """Bob's browser."""
    return sign_in_as(client, alice)


def test_a_page_is_compressed_for_who_accepts_it(bob: Browser) -> None:
    plain, packed = bob.get("/contacts/new"), bob.get("/contacts/new", headers=GZIP)
    assert (packed.headers["Content-Encoding"], packed.headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert int(packed.headers["Content-Length"]) == len(packed.data) < len(plain.data) / 2
    assert "<h1>New contact</h1>" in gzip.decompress(packed.data).decode()
    assert "Content-Encoding" not in plain.headers
    assert plain.headers["Vary"] == "Accept-Encoding"
    assert "Content-Encoding" not in bob.get("/contacts/new", headers={"Accept-Encoding": "gzip;q=0"}).headers


@pytest.mark.parametrize(
    ("site", "encoding"), [("cross-site", None), ("same-site", None), ("same-origin", "gzip"), ("none", "gzip")]
)
def test_what_another_site_asks_for_has_its_plain_length(bob: Browser, site: str, encoding: str | None) -> None:
    headers = {**GZIP, "Sec-Fetch-Site": site}
    assert bob.get("/contacts?q=guess", headers=headers).headers.get("Content-Encoding") == encoding


def test_json_is_compressed_if_it_is_long(alice: Producer) -> None:
    for number in range(5):
        example_executions.create_contact(alice, f"Ada {number}")
    packed = alice.get("/api/contacts", headers=GZIP)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert b'"firstName":"Ada 4"' in gzip.decompress(packed.data)
    assert "Content-Encoding" not in alice.get("/api/contacts?q=nobody", headers=GZIP).headers


def test_a_stream_is_not_compressed(alice: Producer) -> None:
    automation = alice.create()
    with alice.get(f"/api/ai-automations/{automation['id']}/monitor", headers=GZIP) as response:
        assert response.mimetype == "text/event-stream"
        assert "Content-Encoding" not in response.headers
        assert next(iter(response.response)).startswith(b"retry: 2000")


def test_a_static_file_is_kept_under_its_version(bob: Browser) -> None:
    page = bob.get("/contacts/new").text
    address = re.findall(r'href="(/static/beckon\.css\?v=[0-9a-f]{12})"', page)[0]
    for _ in range(2):
        with bob.get(address, headers=GZIP) as response:
            assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            assert b".frame" in gzip.decompress(response.data)
            etag = response.headers["ETag"]
    with bob.get(address, headers={**GZIP, "If-None-Match": etag}) as response:
        assert (response.status_code, response.data) == (304, b"")
    for other in ("/static/beckon.css", "/static/beckon.css?v=0123456789ab"):
        with bob.get(other) as response:
            assert "immutable" not in response.headers.get("Cache-Control", "")
            assert b".frame" in response.data


def test_a_font_is_not_compressed_and_kept(client: Any) -> None:
    with client.get("/static/vendor/inter-latin-variable-5.3.0.woff2", headers=GZIP) as response:
        assert "Content-Encoding" not in response.headers
        assert "immutable" in response.headers["Cache-Control"]
