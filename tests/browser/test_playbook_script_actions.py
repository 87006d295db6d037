"""The nine actions of playbooks in a real browser, on late elements and on pages that render themselves anew."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.support.customer_site import BODY, SITE_KEY, Site, make_playbook, replace_text
from tests.support.script_visits import PHONE_OPTIONS, OpenVisit

BANNER = {"action": "insert_banner", "position": "top", "text": "Use LUMO20 <b>now</b>", "url": "/sets"}


def act(site: Site, *actions: dict[str, Any], **fields: Any) -> None:
    site.stand_in.playbooks = [make_playbook(*actions, **fields)]


def test_replaced_text_is_text_and_never_html(site: Site, open_visit: OpenVisit) -> None:
    act(site, replace_text("<img src=x onerror=alert(1)> & more"))
    visit = open_visit()
    visit.expect_hero("<img src=x onerror=alert(1)> & more")
    assert visit.page.locator(".hero *").count() == 0


def test_a_replaced_image_wins_over_its_other_sources(site: Site, open_visit: OpenVisit) -> None:
    site.pages["/"] = (
        '<picture><source srcset="/wide.png" media="(min-width: 1px)">'
        '<img class="photo" src="/a.png" srcset="/b.png 2x"></picture>'
        '<div class="photo" style="width: 9px; height: 9px"></div>'
    )
    act(site, {"action": "replace_image", "selector": ".photo", "src": "/new.png"})
    visit = open_visit()
    image = visit.page.locator("img.photo")
    expect(image).to_have_js_property("currentSrc", site.address + "/new.png")
    expect(visit.page.locator("div.photo")).to_have_css("background-image", f'url("{site.address}/new.png")')


def test_attributes_and_styles_are_set(site: Site, open_visit: OpenVisit) -> None:
    style = {"color": "rgb(1, 2, 3)", "--shade": "7px", "margin-left": "5px !important"}
    act(
        site,
        {"action": "set_attribute", "selector": ".buy", "name": "href", "value": "/sale"},
        {"action": "set_style", "selector": ".buy", "style": style},
    )
    button = open_visit().page.locator(".buy")
    expect(button).to_have_attribute("href", "/sale")
    expect(button).to_have_css("color", "rgb(1, 2, 3)")
    expect(button).to_have_css("margin-left", "5px")
    assert button.evaluate("element => element.style.getPropertyValue('--shade')") == "7px"


def test_elements_are_hidden_and_shown_against_the_pages_own_styles(site: Site, open_visit: OpenVisit) -> None:
    site.pages["/"] = (
        "<style>.off { display: none } .ghost { visibility: hidden } .buy { display: block !important }</style>"
        '<p class="offer" hidden>One</p><p class="offer off">Two</p><p class="offer ghost">Three</p>'
        '<p class="offer" style="display: none">Four</p><a class="buy">Buy</a>'
    )
    act(site, {"action": "show", "selector": ".offer"}, {"action": "hide", "selector": ".buy"})
    page = open_visit().page
    expect(page.locator(".offer:visible")).to_have_count(4)
    expect(page.locator(".offer.ghost")).to_have_css("visibility", "visible")
    expect(page.locator(".buy")).to_be_hidden()


@pytest.mark.parametrize("options", [{}, PHONE_OPTIONS], ids=["desktop", "phone"])
def test_a_banner_shows_its_text_and_link_until_it_is_closed(site: Site, open_visit: OpenVisit, options: Any) -> None:
    site.pages["/"] = f"<style>* {{ color: red; font-size: 90px }} body {{ display: flex }}</style>{BODY}"
    act(site, BANNER, {**BANNER, "position": "bottom", "text": "Below", "url": ""})
    page = open_visit(**options).page
    top, bottom = page.locator("beckon-banner").first, page.locator("beckon-banner").last
    expect(top).to_be_in_viewport()
    expect(bottom).to_be_in_viewport()
    link = top.get_by_role("link", name="Use LUMO20 <b>now</b>")
    expect(link).to_have_attribute("href", site.address + "/sets")
    # The page's styles do not reach it.
    expect(link).to_have_css("font-size", "15px")
    box = top.bounding_box()
    assert box
    assert (box["y"], box["width"]) == (0, page.evaluate("document.documentElement.clientWidth"))
    close = top.get_by_role("button", name="Close").bounding_box()
    assert close
    assert min(close["width"], close["height"]) >= 44
    top.get_by_role("button", name="Close").click()
    expect(page.locator("beckon-banner")).to_have_count(1)
    # What the page does afterwards does not bring it back.
    page.evaluate("document.querySelector('main').append('more')")
    expect(page.locator("beckon-banner")).to_have_count(1)


def test_a_banner_that_the_page_removes_comes_back(site: Site, open_visit: OpenVisit) -> None:
    act(site, BANNER)
    page = open_visit().page
    expect(page.locator("beckon-banner")).to_have_count(1)
    page.evaluate("document.querySelector('beckon-banner').remove()")
    expect(page.locator("beckon-banner")).to_have_count(1)


def test_a_redirect_is_tracked_and_leaves_no_trap_in_the_history(site: Site, open_visit: OpenVisit) -> None:
    act(site, {"action": "redirect", "url": "/new"}, trigger={"url": "/old"})
    visit = open_visit("/first")
    visit.page.evaluate("location.href = '/old'")
    visit.page.wait_for_url("**/new")
    (body, *_) = visit.await_executions()
    assert (body["status"], body["actions"][0]["config"]) == ("success", {"url": "/new"})
    visit.page.go_back()
    visit.page.wait_for_url("**/first")


@pytest.mark.parametrize("prepare", ["", "Object.defineProperty(Navigator.prototype, 'doNotTrack', {get: () => '1'})"])
def test_redirects_never_go_round_in_circles(site: Site, open_visit: OpenVisit, prepare: str) -> None:
    site.stand_in.playbooks = [
        make_playbook({"action": "redirect", "url": "/b"}, name="to b", trigger={"url": "/a"}),
        make_playbook({"action": "redirect", "url": "/a"}, name="to a", trigger={"url": "/b"}),
        make_playbook({"action": "redirect", "url": "/a#top"}, name="to itself", trigger={"url": "/a"}),
        make_playbook(replace_text(), trigger={"url": "/a", "timeOnPageMs": 300}),
        make_playbook(replace_text(), name="on b", trigger={"url": "/b", "timeOnPageMs": 300}),
    ]
    visit = open_visit("/a", prepare)
    visit.expect_hero("Welcome back")


def test_a_redirect_of_an_old_copy_is_not_executed(site: Site, open_visit: OpenVisit) -> None:
    act(site, {"action": "redirect", "url": "/new"}, trigger={"event": "later"})
    visit = open_visit()
    visit.page.wait_for_function(f"() => !!localStorage.getItem('beckon:{SITE_KEY}:playbooks')")
    visit.page.evaluate(
        "name => localStorage[name] = localStorage[name].replace('\"event\":\"later\"', '')",
        f"beckon:{SITE_KEY}:playbooks",
    )
    act(site, replace_text())
    visit.page.reload()
    visit.expect_hero("Welcome back")
    assert visit.page.url == site.address + "/"


def test_a_track_event_only_reports_its_name(site: Site, open_visit: OpenVisit) -> None:
    act(site, {"action": "track_event", "name": "pricing_seen"})
    (body,) = open_visit().await_executions()
    (action,) = body["actions"]
    assert (action["name"], action["config"]) == ("Track Event", {"name": "pricing_seen"})


def test_a_late_element_is_waited_for(site: Site, open_visit: OpenVisit) -> None:
    act(site, replace_text("Late", ".made-later"), replace_text())
    visit = open_visit()
    visit.expect_hero("Welcome back")
    assert site.stand_in.reports == []
    visit.page.evaluate("document.getElementById('late').className = 'made-later'; document.body.append('')")
    expect(visit.page.locator(".made-later")).to_have_text("Late")
    (body,) = visit.await_executions()
    assert body["status"] == "success"


def test_an_element_that_comes_after_the_wait_is_changed_all_the_same(site: Site, open_visit: OpenVisit) -> None:
    act(site, replace_text("Late", ".made-later"))
    visit = open_visit(None)
    visit.page.clock.install()
    page = visit.go()
    page.wait_for_function(f"() => !!localStorage.getItem('beckon:{SITE_KEY}:playbooks')")
    page.clock.run_for(11_000)
    assert visit.await_executions()[0]["status"] == "timeout"
    page.evaluate("late.innerHTML = '<b class=made-later>Early</b>'")
    expect(page.locator(".made-later")).to_have_text("Late")


def test_an_element_that_a_framework_renders_anew_is_changed_again(site: Site, open_visit: OpenVisit) -> None:
    act(
        site,
        replace_text(),
        {"action": "set_attribute", "selector": ".buy", "name": "title", "value": "Sale"},
        {"action": "hide", "selector": ".photo"},
    )
    visit = open_visit()
    page = visit.page
    visit.expect_hero("Welcome back")
    for change in (
        "document.querySelector('.hero').replaceWith(Object.assign(document.createElement('h2'), {className: 'hero'}))",
        "document.querySelector('.hero').firstChild.data = 'Rendered'",
        "document.querySelector('.hero').textContent = 'Rendered'",
        "document.querySelector('.buy').title = 'Rendered'",
        "document.querySelector('.photo').style.display = 'block'",
    ):
        page.evaluate(change)
        visit.expect_hero("Welcome back")
        expect(page.locator(".buy")).to_have_attribute("title", "Sale")
        expect(page.locator(".photo")).to_be_hidden()
    assert len(visit.await_executions()) == 1


def test_a_page_that_writes_over_a_change_for_ever_wins_in_the_end(site: Site, open_visit: OpenVisit) -> None:
    site.pages["/"] = BODY + (
        "<script>const hero = document.querySelector('.hero'); window.count = 0; new MutationObserver(() => {"
        "if (hero.textContent !== 'Mine') { count++; hero.textContent = 'Mine' } })"
        ".observe(hero, {childList: true, characterData: true, subtree: true})</script>"
    )
    act(site, replace_text())
    visit = open_visit()
    visit.page.wait_for_function("() => count >= 20")
    visit.expect_hero("Mine")
    (body,) = visit.await_executions()
    assert body["status"] == "success"
    # It stays so: the page's own change is not written over any more.
    visit.page.evaluate("document.body.append('more')")
    visit.expect_hero("Mine")
    assert visit.page.evaluate("count") == 20


def test_of_two_changes_of_one_element_the_later_stays(site: Site, open_visit: OpenVisit) -> None:
    site.pages["/"] = BODY + (
        "<script>window.changes = 0; new MutationObserver(all => changes += all.length)"
        ".observe(document.querySelector('.hero'), {childList: true})</script>"
    )
    act(site, replace_text("First"), replace_text("Second"))
    site.stand_in.playbooks.append(make_playbook(replace_text("Third"), name="Other", trigger={"event": "cart"}))
    visit = open_visit()
    visit.expect_hero("Second")
    visit.page.evaluate("workflowSystem.emit('cart')")
    visit.expect_hero("Third")
    for _ in range(3):
        visit.page.evaluate("document.body.append('more')")
    # Each was applied once, and they do not write over each other for ever.
    assert visit.page.evaluate("changes") == 3
    visit.page.evaluate("document.querySelector('.hero').outerHTML = '<h1 class=hero>New</h1>'")
    visit.expect_hero("Third")


def test_text_of_a_page_that_is_still_being_read_does_not_flicker(site: Site, open_visit: OpenVisit) -> None:
    act(site, replace_text())
    site.head = site.script_tag("") + (
        "<script>window.seen = []; const look = () => { const hero = document.querySelector('.hero');"
        "if (hero) seen.push(hero.textContent); requestAnimationFrame(look) }; look()</script>"
    )
    visit = open_visit()
    visit.expect_hero("Welcome back")
    # On the second page the copy of the playbooks is there before the element: no frame shows the old text.
    visit.page.reload()
    visit.page.wait_for_function("() => seen.length > 2")
    assert set(visit.page.evaluate("seen")) == {"Welcome back"}


def test_a_playbook_that_is_no_longer_active_is_taken_back(site: Site, open_visit: OpenVisit) -> None:
    act(site, replace_text())
    visit = open_visit()
    visit.expect_hero("Welcome back")
    site.stand_in.playbooks = [make_playbook({"action": "hide", "selector": ".buy"}, name="Other")]
    visit.page.reload()
    expect(visit.page.locator(".buy")).to_be_hidden()
    visit.expect_hero("Simple prices")
