"""The gallery of templates: search, filters by channel and goal, previews, and the drawings of the flows."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest

from dashboard.automation_templates import CHANNELS, GOALS, TEMPLATES
from dashboard.pages.flow_drawing import draw
from tests.dashboard.test_pages import Browser, bob, read_text

__all__ = ["bob"]

CASES: Any = [
    ("", {template.name for template in TEMPLATES}),
    ("channel=page", {"Newsletter banner", "Mobile call to action", "Exit offer"}),
    ("goal=get_paid", {"Overdue invoice reminder", "Invoice overdue"}),
    ("channel=sms&goal=get_paid", {"Overdue invoice reminder", "Invoice overdue"}),
    ("channel=slack", {"Hot lead alert"}),
    ("channel=facebook", {"Price question follow-up"}),
    ("q=BIRTH+code", {"Birthday"}),
    ("q=invo&channel=sms", {"Overdue invoice reminder", "Invoice overdue"}),
    ("q=irthday", set()),
    ("q=%3Cscript%3E", set()),
    ("goal=reviews&channel=webhook", set()),
]


def list_names(page: str) -> set[str]:
    return {html.unescape(name) for name in re.findall(r'<h2 id="template-[^"]*"><a href="[^"]*">([^<]*)</a>', page)}


@pytest.mark.parametrize(("query", "names"), CASES, ids=[query or "everything" for query, _ in CASES])
def test_templates_are_filtered_by_channel_goal_and_words(bob: Browser, query: str, names: set[str]) -> None:
    assert list_names(bob.get(f"/automations/new?{query}").text) == names


def test_an_unknown_filter_and_an_unknown_template_are_refused(bob: Browser) -> None:
    for query, status in (("channel=fax", 422), ("goal=money", 422), ("preview=nothing", 404), ("start=nothing", 404)):
        assert bob.get(f"/automations/new?{query}").status_code == status, query


def test_chips_keep_the_other_filters(bob: Browser) -> None:
    page = bob.get("/automations/new?channel=sms&q=rem").text
    assert 'href="/automations/new?channel=sms&amp;q=rem&amp;goal=remind"' in page
    assert 'href="/automations/new?q=rem"' in page
    assert re.findall(r'aria-current="true">([^<]*)<', page) == ["SMS 6"]
    filtered = bob.get("/automations/new?goal=remind&channel=slack").text
    assert re.findall(r'aria-current="true">([^<]*)<', filtered) == ["Slack 1", "Remind"]
    assert 'href="/automations/new?channel=slack" aria-current="true">Remind' in filtered


def test_every_template_has_a_channel_or_connects_systems_and_a_goal() -> None:
    assert all(template.channels or template.goal == "connect" for template in TEMPLATES)
    assert {template.goal for template in TEMPLATES} == set(GOALS)
    assert {channel for template in TEMPLATES for channel in template.channels} == set(CHANNELS) - {"discord"}


def test_a_preview_shows_every_step_and_the_text(bob: Browser) -> None:
    for template in TEMPLATES:
        page = bob.get(f"/automations/new?preview={template.slug}")
        assert (page.status_code, f'href="/automations/new?start={template.slug}"' in page.text) == (200, True)
        assert page.text.count('class="tile') == template.step_count + 2, template.slug
        assert "trigger:" in read_text(page.text)


def list_lines(definition: dict[str, Any]) -> int:
    return len(draw(definition).lines)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.slug)
def test_a_drawing_has_the_trigger_and_every_step_apart(template: Any) -> None:
    flow = draw(template.definition)
    places = {(tile.x, tile.y) for tile in flow.tiles}
    assert len(places) == len(flow.tiles) == template.step_count + 1
    assert all(0 < x < flow.width and 0 < y < flow.height for x, y in places)
    assert len(flow.lines) >= template.step_count
    assert "warning" not in {tile.icon for tile in flow.tiles}


def test_no_line_leaves_a_stop() -> None:
    mail = {"id": "m", "action": "send_email", "with": {}}
    stop = {"id": "s", "action": "stop"}
    wait = {"id": "w", "action": "wait_until", "with": {}, "then": [stop], "else": []}
    assert list_lines({"trigger": {"type": "x"}, "steps": [wait, mail]}) == 3
    assert list_lines({"trigger": {"type": "x"}, "steps": [{**wait, "then": [mail]}, mail]}) == 4


def test_a_text_that_is_no_definition_is_drawn_as_far_as_it_goes() -> None:
    for broken in ({}, {"trigger": 1, "steps": 2}, {"trigger": {}, "steps": [1, {"action": 3}]}):
        assert draw(broken).tiles
