"""Single-page applications in a real browser: navigation within a document is a new page for playbooks."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.support.customer_site import SITE_KEY, Site, make_playbook, replace_text
from tests.support.script_visits import OpenVisit

LOADED = f"() => !!localStorage.getItem('beckon:{SITE_KEY}:playbooks')"
#: An application that renders its headline a moment after each navigation.
APPLICATION = """<nav></nav><main></main><script>
const render = () => setTimeout(() => {
  document.querySelector('main').innerHTML = '<h1 class="hero">Page ' + location.pathname + location.hash + '</h1>'
}, 30);
window.go = path => { history.pushState({}, '', path); render() };
addEventListener('popstate', render); render();
</script>"""


@pytest.fixture
def application(site: Site) -> Site:
    for path in ("/", "/pricing"):
        site.pages[path] = APPLICATION
    site.stand_in.playbooks = [
        make_playbook(
            replace_text(), {"action": "insert_banner", "position": "top", "text": "Sale"},
            trigger={"url": "/pricing*"},
        )
    ]  # fmt: skip
    return site


def test_actions_apply_again_after_each_navigation_within_the_page(application: Site, open_visit: OpenVisit) -> None:
    visit = open_visit("/")
    page = visit.page
    visit.expect_hero("Page /")
    page.wait_for_function(LOADED)
    for count in (1, 2):
        page.evaluate("go('/pricing')")
        visit.expect_hero("Welcome back")
        expect(page.locator("beckon-banner")).to_have_count(1)
        assert len(visit.await_executions(count)) == count
        page.evaluate("go('/')")
        visit.expect_hero("Page /")
        expect(page.locator("beckon-banner")).to_have_count(0)
    page.go_back()
    visit.expect_hero("Welcome back")
    urls = [body["pageUrl"] for body in visit.await_executions(3)]
    assert urls == [application.address + "/pricing"] * 3


def test_parameters_and_anchors_are_the_same_page(application: Site, open_visit: OpenVisit) -> None:
    visit = open_visit("/pricing")
    visit.expect_hero("Welcome back")
    visit.page.evaluate("go('/pricing?sort=price'); go('/pricing#plans'); history.replaceState({}, '', '/pricing?a=1')")
    visit.page.evaluate("document.querySelector('.hero').textContent = 'Sorted'")
    visit.expect_hero("Welcome back")
    assert len(visit.await_executions()) == 1


def test_a_hash_that_serves_as_a_path_is_another_page(application: Site, open_visit: OpenVisit) -> None:
    application.stand_in.playbooks = [make_playbook(replace_text())]
    visit = open_visit("/#/first")
    visit.await_executions(1)
    visit.page.evaluate("location.hash = '#/second'")
    visit.await_executions(2)
    visit.expect_hero("Welcome back")


def test_what_a_playbook_changed_is_taken_back_where_it_does_not_apply(
    application: Site, open_visit: OpenVisit
) -> None:
    application.pages["/pricing"] = (
        '<h1 class="hero">Simple <b>prices</b></h1><a class="buy" href="/buy" style="color: rgb(9, 9, 9)">Buy</a>'
    )
    application.stand_in.playbooks = [
        make_playbook(
            replace_text(),
            {"action": "set_attribute", "selector": ".buy", "name": "href", "value": "/sale"},
            {"action": "set_style", "selector": ".buy", "style": {"color": "rgb(1, 2, 3)"}},
            {"action": "hide", "selector": ".buy"},
            trigger={"url": "/pricing"},
        )
    ]
    visit = open_visit("/pricing")
    button = visit.page.locator(".buy")
    expect(button).to_be_hidden()
    visit.page.evaluate("history.pushState({}, '', '/about')")
    expect(visit.page.locator(".hero b")).to_have_text("prices")
    expect(button).to_have_attribute("href", "/buy")
    expect(button).to_have_css("color", "rgb(9, 9, 9)")
    expect(button).to_be_visible()


def test_time_scroll_and_events_begin_anew_on_another_page(application: Site, open_visit: OpenVisit) -> None:
    application.stand_in.playbooks = [
        make_playbook(replace_text(), trigger={"url": "/pricing", "event": "cart"}),
        make_playbook({"action": "hide", "selector": "nav"}, name="Marker", trigger={"url": "/pricing"}),
    ]
    visit = open_visit("/")
    visit.page.wait_for_function(LOADED)
    visit.page.evaluate("workflowSystem.emit('cart'); go('/pricing')")
    expect(visit.page.locator("nav")).to_be_hidden()
    visit.expect_hero("Page /pricing")
    visit.page.evaluate("workflowSystem.emit('cart')")
    visit.expect_hero("Welcome back")


def test_an_application_that_navigates_for_ever_is_not_followed(application: Site, open_visit: OpenVisit) -> None:
    application.stand_in.playbooks = [make_playbook(replace_text())]
    visit = open_visit("/")
    visit.expect_hero("Welcome back")
    visit.page.evaluate("for (let i = 0; i < 120; i++) history.replaceState({}, '', '/' + i % 2)")
    visit.page.evaluate("document.querySelector('main').append('')")
    visit.await_executions(50)
    queue = f"() => localStorage['beckon:{SITE_KEY}:queue'] === '[]'"
    visit.page.wait_for_function(queue)
    assert application.stand_in.count_executions() == 50


def test_the_page_keeps_its_own_history_functions(application: Site, open_visit: OpenVisit) -> None:
    visit = open_visit("/")
    visit.page.wait_for_function(LOADED)
    visit.page.evaluate("history.pushState({ mine: 1 }, '', '/a')")
    assert visit.page.evaluate("[history.state.mine, location.pathname, history.length]") == [1, "/a", 3]
    error = visit.page.evaluate(
        "(() => { try { history.pushState({}, '', 'https://other.example/') } catch (error) { return error.name } })()"
    )
    assert error == "SecurityError"
