"""The preview of a playbook: signed addresses, and the draft that only their pages may read."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import clock
from dashboard import preview_tokens
from dashboard.preview_tokens import Preview
from models import site_key
from tests.dashboard.producers import Producer
from tests.dashboard.test_pages import Browser, bob, post
from tests.dashboard.test_playbook_editor import FIELDS, SALE, create_playbook

__all__ = ["bob"]

SHOP = "https://shop.example"
SECRET = "s" * 40
PREVIEW = Preview("workspace", "automation", "user", "sk_1", "nonce", 1000)


@pytest.fixture
def key(alice: Producer) -> str:
    return site_key.issue(alice.workspace_id, "shop", [SHOP, "http://localhost"]).key


@pytest.fixture
def playbook(alice: Producer) -> dict[str, Any]:
    return create_playbook(alice, definition=SALE)


def start(bob: Browser, playbook: dict[str, Any], url: str = f"{SHOP}/pricing?utm_source=a", **fields: str) -> Any:
    return post(bob, f"/automations/{playbook['id']}/preview", url=url, **fields)


def read_draft(browser: Browser, key: str, token: str, origin: str | None = SHOP) -> Any:
    headers = {"Origin": origin} if origin else {}
    return browser.get("/api/playbooks/preview", query_string={"k": key, "token": token}, headers=headers)


def test_a_token_states_what_it_allows_until_it_expires() -> None:
    token = preview_tokens.sign(SECRET, PREVIEW)
    assert preview_tokens.read(SECRET, token, 999.9) == PREVIEW
    assert preview_tokens.read(SECRET, token, 1000) is None
    assert preview_tokens.read("another" * 9, token, 0) is None


@pytest.mark.parametrize("change", ["payload", "signature", "cut", "long", "empty", "letters", "other purpose"])
def test_a_forged_token_allows_nothing(change: str) -> None:
    payload, signature = preview_tokens.sign(SECRET, PREVIEW).split(".")
    forged = {
        "payload": f"{payload[:-2]}AA.{signature}", "signature": f"{payload}.{signature[:-1]}", "cut": payload,
        "long": f"{payload}.{signature}{'a' * 1000}", "empty": "", "letters": f"{payload}.{signature}é",
        "other purpose": f"bm90IGpzb24.{signature}",
    }[change]  # fmt: skip
    assert preview_tokens.read(SECRET, forged, 0) is None


def test_the_address_of_a_preview_keeps_the_parameters_of_the_page(bob: Browser, key: str, playbook: Any) -> None:
    answer = start(bob, playbook, f"{SHOP}?utm_source=a&beckon_preview=old&empty=").json
    parts = urlsplit(answer["url"])
    query = parse_qs(parts.query, keep_blank_values=True)
    assert (f"{parts.scheme}://{parts.netloc}{parts.path}", answer["origin"]) == (f"{SHOP}/", SHOP)
    assert query == {"utm_source": ["a"], "empty": [""], "beckon_preview": [answer["token"]]}
    assert 590 < answer["expiresAt"] - clock.now().timestamp() <= 600


def test_the_page_of_a_preview_reads_the_draft_in_the_form_of_playbooks(bob: Browser, key: str, playbook: Any) -> None:
    token = start(bob, playbook).json["token"]
    post(bob, f"/automations/{playbook['id']}/playbook", version="1", **{**FIELDS, "headline.text": "Draft text"})
    response = read_draft(bob, key, token)
    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == SHOP
    assert response.headers["Cache-Control"] == "no-store"
    assert response.json["tracking"] is False
    (draft,) = response.json["playbooks"]
    assert (draft["id"], draft["version"], draft["trigger"]) == (playbook["id"], 1, {"url": "/*"})
    (action,) = draft["actions"]
    assert (action["name"], action["with"]) == ("Replace Text", {"selector": "h1", "text": "Draft text"})


def test_nothing_of_a_draft_that_could_not_be_published_is_served(bob: Browser, key: str, playbook: Any) -> None:
    mean = {**FIELDS, "headline.action": "redirect", "headline.url": "javascript:alert(1)"}
    post(bob, f"/automations/{playbook['id']}/playbook", version="1", **mean)
    (draft,) = read_draft(bob, key, start(bob, playbook).json["token"]).json["playbooks"]
    assert draft["actions"] == []


def test_a_token_is_good_for_its_key_origin_and_time_alone(
    bob: Browser, alice: Producer, charlie: Producer, key: str, playbook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = start(bob, playbook).json["token"]
    other = site_key.issue(alice.workspace_id, "other shop", [SHOP]).key
    theirs = site_key.issue(charlie.workspace_id, "charlie's", [SHOP]).key
    assert read_draft(bob, key, token, "https://elsewhere.example").status_code == 403
    assert read_draft(bob, other, token).status_code == 403
    assert read_draft(bob, theirs, token).status_code == 403
    assert read_draft(bob, "sk_nothing", token).status_code == 401
    assert read_draft(bob, key, token[:-1]).status_code == 403
    later = clock.now() + timedelta(seconds=601)
    monkeypatch.setattr(clock, "now", lambda: later)
    response = read_draft(bob, key, token)
    assert (response.status_code, response.json["detail"]) == (
        403, "This preview has expired. Open it again from the editor.",
    )  # fmt: skip


def test_the_draft_of_a_deleted_playbook_is_not_served(bob: Browser, alice: Producer, key: str, playbook: Any) -> None:
    token = start(bob, playbook).json["token"]
    alice.request("DELETE", f"{alice.automations}/{playbook['id']}")
    assert read_draft(bob, key, token).status_code == 403


@pytest.mark.parametrize(
    "url", ["", "shop.example", "javascript:alert(1)", "ftp://shop.example", "https://elsewhere.example/", "http://["]
)
def test_only_pages_of_a_site_key_can_be_previewed(bob: Browser, key: str, playbook: Any, url: str) -> None:
    response = start(bob, playbook, url)
    assert response.status_code == 422
    assert response.text.count("token") == 0


def test_a_preview_is_continued_with_its_nonce(bob: Browser, key: str, playbook: Any) -> None:
    first = start(bob, playbook).json
    assert start(bob, playbook, nonce=first["nonce"]).json["nonce"] == first["nonce"]
    assert start(bob, playbook).json["nonce"] != first["nonce"]


def test_only_the_editor_may_frame_and_open_the_pages_of_site_keys(bob: Browser, key: str, playbook: Any) -> None:
    page = bob.get(f"/automations/{playbook['id']}/edit")
    policy = page.headers["Content-Security-Policy"]
    assert f"frame-src {SHOP} http://localhost:*" in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["Cross-Origin-Opener-Policy"] == "same-origin-allow-popups"
    other = bob.get("/automations")
    assert other.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "frame-src" not in other.headers["Content-Security-Policy"]


def test_the_editor_proposes_an_address_where_the_playbook_runs(bob: Browser, alice: Producer, key: str) -> None:
    definition = {**SALE, "trigger": {"type": "page", "with": {"url": "/pricing*", "utm": {"source": "news"}}}}
    playbook = create_playbook(alice, definition=definition)
    page = bob.get(f"/automations/{playbook['id']}/edit").text
    assert re.search(r'id="preview-url"[^>]*value="https://shop.example/pricing\?utm_source=news"', page)


def test_the_editor_proposes_the_newest_site_key_and_its_own_origin_last(
    bob: Browser, alice: Producer, playbook: Any
) -> None:
    (home,) = re.findall('data-home="([^"]+)"', bob.get(f"/automations/{playbook['id']}/edit").text)
    site_key.issue(alice.workspace_id, "old", [SHOP])
    site_key.issue(alice.workspace_id, "new", [home, "https://new.example"])
    page = bob.get(f"/automations/{playbook['id']}/edit").text
    assert re.search(r'id="preview-url"[^>]*value="https://new.example/', page)


def test_without_a_site_key_the_panel_says_what_is_missing(bob: Browser, playbook: Any) -> None:
    page = bob.get(f"/automations/{playbook['id']}/edit").text
    assert "No site key yet" in page
    assert "Ask an owner" in page
    assert start(bob, playbook).status_code == 422
