"""The browser script: its current version, its versions that never change, and how a page installs it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from dashboard import browser_script
from models import site_key
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import read_text, sign_in_as

SCRIPT = b"/* built */ void 0;" * 100
INTEGRITY = "sha384-" + base64.b64encode(hashlib.sha384(SCRIPT).digest()).decode()


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two versions of the script and a preview script."""
    for name in ("beckon-1.0.0-aa.js", "beckon-1.1.0-bb.js", "beckon-preview-1.1.0-bb.js"):
        (tmp_path / name).write_bytes(SCRIPT)
    manifest = {"script": {"file": "beckon-1.1.0-bb.js", "integrity": INTEGRITY}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setattr(browser_script, "FOLDER", tmp_path)
    return tmp_path


def test_any_page_may_load_the_current_version(client: FlaskClient, built: Path) -> None:
    response = client.get("/beckon.js", headers={"Origin": "https://shop.example"})
    assert (response.status_code, response.data, response.mimetype) == (200, SCRIPT, "text/javascript")
    assert response.headers["Cache-Control"] == "public, max-age=300"
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert response.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert client.get("/beckon.js", headers={"If-None-Match": response.headers["ETag"]}).status_code == 304


@pytest.mark.parametrize("name", ["beckon-1.0.0-aa.js", "beckon-1.1.0-bb.js", "beckon-preview-1.1.0-bb.js"])
def test_a_version_is_kept_by_browsers_for_ever(client: FlaskClient, built: Path, name: str) -> None:
    response = client.get(f"/browser/{name}")
    assert (response.status_code, response.data) == (200, SCRIPT)
    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"


def test_another_site_gets_the_script_compressed(client: FlaskClient, built: Path) -> None:
    headers = {"Accept-Encoding": "gzip", "Sec-Fetch-Site": "cross-site"}
    response = client.get("/browser/beckon-1.1.0-bb.js", headers=headers)
    assert (response.headers["Content-Encoding"], gzip.decompress(response.data)) == ("gzip", SCRIPT)
    assert "Accept-Encoding" in response.headers["Vary"]


@pytest.mark.parametrize(
    "name", ["beckon-9.9.9.js", "manifest.json", "..%2fcopy.js", "beckon-..%2f..%2fcopy.js", "beckon-.js", "x.js"]
)
def test_no_other_file_is_served(client: FlaskClient, built: Path, name: str) -> None:
    assert client.get(f"/browser/{name}").status_code == 404


def test_an_installation_without_the_script_says_so(
    client: FlaskClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser_script, "FOLDER", tmp_path / "nothing")
    response = client.get("/beckon.js", headers={"Accept": "application/json"})
    assert (response.status_code, "make web" in response.json["detail"]) == (404, True)


def test_settings_show_how_a_page_installs_the_script(client: FlaskClient, alice: Producer, built: Path) -> None:
    key = site_key.issue(alice.workspace_id, "Shop", ["https://shop.example"]).key
    page = read_text(sign_in_as(client, alice, role="owner").get("/settings/keys").text)
    assert (
        f'<script src="http://localhost/browser/beckon-1.1.0-bb.js" integrity="{INTEGRITY}" crossorigin="anonymous" '
        f'data-site-key="{key}" defer></script>'
    ) in page
    assert "connect-src http://localhost" in page
