"""The navigation: every place answers, is marked as the current one, and shows its badge."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from dashboard.pages import navigation
from dashboard.pages.navigation import PLACES, Badge, Place
from tests.dashboard.producers import Producer
from tests.dashboard.test_design import STATIC
from tests.dashboard.test_pages import Browser, sign_in_as


@pytest.fixture
def bob(alice: Producer, client: Browser) -> Browser:
    """Bob's browser; he owns Alice's workspace."""
    return sign_in_as(client, alice, "owner")


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.section)
def test_every_place_answers_and_is_the_current_one(bob: Browser, place: Place) -> None:
    response = bob.get(place.path)
    assert response.status_code == 200
    current = re.findall(r'<a class="nav-link" href="([^"]+)" aria-current="page">', response.text)
    assert current == [place.path, place.path]


def test_every_place_has_an_icon_and_five_at_most_are_on_a_phones_bar() -> None:
    icons = set(re.findall(r'<symbol id="(\w+)"', (STATIC / "icons.svg").read_text(encoding="utf-8")))
    assert {place.icon for place in PLACES} <= icons
    assert len([place for place in PLACES if place.on_bar]) <= 5


def test_a_badge_shows_its_count_and_nothing_for_zero(bob: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    counted, empty = (Badge(lambda *_, count=count: count, "need a decision") for count in (1_234, 0))
    places = (replace(PLACES[0], badge=counted), replace(PLACES[1], badge=empty))
    monkeypatch.setattr(navigation, "PLACES", places)
    page = bob.get(PLACES[0].path).text
    badges = re.findall(r'<span class="nav-badge"[^>]*data-badge="(\w+)"( hidden)?>([\d,]+)<', page)
    assert badges == [(PLACES[0].section, "", "1,234"), (PLACES[1].section, " hidden", "0")] * 2
    refresh = bob.get("/summary", headers={"HX-Request": "true"}).text
    assert refresh.count('hx-swap-oob="true"') == 4
